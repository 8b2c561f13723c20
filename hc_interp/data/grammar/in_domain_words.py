"""The words of the in-domain sentences, with the predicates that each of them implies and excludes."""

from typing import NamedTuple

from hc_interp.data.grammar.lexicon import PEOPLE


class Activity(NamedTuple):
    """A phrase after "is", where it can happen, the predicates that it implies, and the predicates that it excludes."""

    doing: str
    where: str  # a key of LOCATION_PHRASES, or "both" for "in" and "out"
    implied: tuple[str, ...]
    excluded: tuple[str, ...]


class Deed(NamedTuple):
    """A verb with an object: its past tense, its base form, and a paraphrase that also takes an object."""

    past: str
    base: str
    restated: str


class AdjectiveScale(NamedTuple):
    """An adjective, a synonym of it, and its opposite."""

    word: str
    same: str
    opposite: str


_STILL = ("is standing still", "is lying in bed", "is sitting down")
_ASLEEP = ("is asleep", "is fast asleep", "is taking a nap")
ACTIVITIES = (
    Activity("sleeping", "both", ("is asleep", "is not awake", "is resting"), ("is awake", "is dancing", "is running")),
    Activity("running", "both", ("is moving", "is not standing still", "is on foot"), (*_STILL, "is asleep")),
    Activity("walking", "both", ("is moving", "is on foot", "is not asleep"), (*_STILL, "is riding a bike")),
    Activity("dancing", "both", ("is moving", "is not asleep"), (*_STILL, "is asleep")),
    Activity("swimming", "water", ("is in the water", "is moving"), (*_STILL, "is on a horse", "is driving a truck")),
    Activity("riding a horse", "out", ("is on an animal", "is not on foot"), (*_ASLEEP, "is swimming", "is walking")),
    Activity("driving a car", "out", ("is in a vehicle", "is not on foot"), ("is walking", "is swimming", *_ASLEEP)),
    Activity("reading a book", "both", ("is reading something", "is looking at a page"), ("is swimming", *_ASLEEP)),
    Activity("writing a letter", "both", ("is writing something", "is not asleep"), ("is swimming", *_ASLEEP)),
    Activity("playing the guitar", "both", ("is making music", "is playing an instrument"), _ASLEEP),
    Activity("singing a song", "both", ("is making music", "is not silent"), ("is silent", *_ASLEEP)),
    Activity("eating an apple", "both", ("is eating fruit", "is having some food"), ("is eating nothing", *_ASLEEP)),
    Activity("drinking water", "both", ("is having a drink", "is not asleep"), ("is drinking nothing", *_ASLEEP)),
    Activity("cooking dinner", "in", ("is preparing a meal", "is making food"), ("is swimming", *_ASLEEP)),
    Activity("painting a picture", "both", ("is making art", "is not asleep"), ("is swimming", *_ASLEEP)),
    Activity("shouting", "both", ("is making noise", "is not silent"), ("is silent", "is asleep", "is whispering")),
    Activity(
        "sitting on a chair", "both", ("is seated", "is not standing"), ("is standing", "is running", "is walking")
    ),
    Activity("standing on a box", "both", ("is not sitting down", "is not lying in bed"), _STILL[1:]),
)
LOCATION_PHRASES = {
    "in": ("in the kitchen", "in the library", "in the office", "in the bedroom", "in the classroom"),
    "out": ("in the park", "in the street", "in the field", "in the forest", "on the beach"),
    "water": ("in the lake", "in the river", "in the sea"),
}
WHEREABOUTS = {
    "in": ("is indoors", "is inside"),
    "out": ("is outdoors", "is outside"),
    "water": ("is outdoors", "is outside"),
}
DEEDS = (
    Deed("rescued", "rescue", "saved"),
    Deed("mocked", "mock", "made fun of"),
    Deed("hired", "hire", "gave a job to"),
    Deed("insulted", "insult", "was rude to"),
    Deed("praised", "praise", "spoke well of"),
    Deed("followed", "follow", "went after"),
    Deed("watched", "watch", "kept an eye on"),
    Deed("questioned", "question", "asked questions of"),
    Deed("protected", "protect", "shielded"),
    Deed("attacked", "attack", "was violent towards"),
    Deed("visited", "visit", "went to see"),
    Deed("invited", "invite", "gave an invitation to"),
    Deed("accused", "accuse", "made a charge against"),
    Deed("betrayed", "betray", "was disloyal to"),
)
ADJECTIVE_SCALES = (
    AdjectiveScale("rich", "wealthy", "poor"),
    AdjectiveScale("poor", "penniless", "rich"),
    AdjectiveScale("tall", "of great height", "short"),
    AdjectiveScale("strong", "powerful", "weak"),
    AdjectiveScale("weak", "feeble", "strong"),
    AdjectiveScale("famous", "well known", "unknown"),
    AdjectiveScale("friendly", "amiable", "hostile"),
    AdjectiveScale("healthy", "in good health", "ill"),
    AdjectiveScale("ill", "sick", "healthy"),
    AdjectiveScale("clever", "smart", "stupid"),
    AdjectiveScale("brave", "courageous", "cowardly"),
    AdjectiveScale("honest", "truthful", "dishonest"),
)
SUBJECTS = {
    **dict.fromkeys(PEOPLE, "person"),
    **{"boy": "child", "girl": "child", "man": "adult", "woman": "adult"},
}
TIMES = ("yesterday", "last night", "this morning", "on Monday", "after the storm", "before dinner")
# Predicates that no premise implies or excludes.
UNSUPPORTED = (
    "has two brothers",
    "was born in this town",
    "will go home soon",
    "lives near the river",
    "has a new job",
    "likes the weather today",
    "won a prize last year",
    "is waiting for a letter from home",
    "hopes to move to another city",
    "had eggs for breakfast",
    "is about to retire",
    "owns three dogs",
)
DETAILS = (
    "for the first time",
    "because of a bet",
    "with a friend nearby",
    "for more than an hour",
    "to impress a neighbor",
    "despite the doctor's advice",
    "for the sake of a film",
)
LINKS = ("are cousins", "are old friends", "live in the same town", "work together", "met years ago")
