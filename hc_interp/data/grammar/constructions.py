"""The constructions of the fragment: word order, what it asserts, what it leaves open.

A pattern is a line of literal words and slots. `A B C D` are nouns (`S` a singular, `P` a plural one), `T U` verbs
with an object, `I J` without, `L` a place; the other verb slots are the word classes of `SLOT_RULES`. Capitalised
classes of function words (`REL`, `PREP`, ...) are expanded, so every construction has fixed function words.
A clause is written "subject verb [object [place]]" in slots, `_` for what is not said.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from hc_interp.data.grammar import lexicon

WORD_CLASSES: dict[str, tuple[str, ...]] = {
    "REL": ("who", "that"),
    "PREP": (
        *("near", "behind", "beside", "by", "next to", "in front of", "close to", "far from", "across from"),
        *("opposite", "above", "below"),
    ),
    # Subordinators: both clauses asserted; the main clause only; neither; "in case" as "lest" or as "if".
    "SINCE": ("because", "since", "after", "although", "though", "while", "when"),
    "BEFORE": ("before",),
    "WHETHER": ("whether or not",),
    "IF": ("if", "unless", "provided that"),
    "INCASE": ("in case",),
    "SURELY": (
        *("clearly", "obviously", "definitely", "certainly", "of course", "suddenly", "without a doubt"),
        *("fortunately", "sadly", "finally", "yesterday", "indeed", "luckily"),
    ),
    "MAYBE": (
        *("maybe", "probably", "hopefully", "supposedly", "perhaps", "possibly", "allegedly", "reportedly"),
        "presumably",
    ),
}
NOUN_SLOTS = frozenset("ABCDSP")
VERB_SLOTS = frozenset("TUIJZNFGRX")
SLOT_RULES: dict[str, Callable[[str], bool]] = {
    "S": lambda word: not lexicon.is_plural(word),
    "P": lexicon.is_plural,
    "Z": lambda word: word in lexicon.OBJECT_OPTIONAL,
    "N": lambda word: word in lexicon.CLAUSE_TAKING,
    "F": lambda word: word in lexicon.FACTIVE,
    "G": lambda word: word in lexicon.NONFACTIVE,
    "R": lambda word: word not in lexicon.TAKES_OBJECT_AND_CLAUSE,
    "X": lambda word: word not in lexicon.IMPLIES_CLAUSE,
    "E": lambda word: word not in lexicon.PRIVATIVE_ADJECTIVES,
}
SLOTS = NOUN_SLOTS | VERB_SLOTS | frozenset("LE")


@dataclass(frozen=True, eq=False)
class Construction:
    """One order of slots and function words. `asserted` and `open` are clauses over slot names."""

    pattern: str
    tokens: tuple[str, ...]
    asserted: tuple[tuple[str, ...], ...]
    open: tuple[tuple[str, ...], ...] = ()

    @cached_property
    def places(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.tokens) if token in SLOTS}

    @cached_property
    def noun_slots(self) -> tuple[str, ...]:
        return tuple(slot for slot in self.places if slot in NOUN_SLOTS)

    def accepts(self, filled: dict[str, str]) -> bool:
        return all(SLOT_RULES[slot](word) for slot, word in filled.items() if slot in SLOT_RULES)

    def fill(self, filled: dict[str, str]) -> tuple[str, ...]:
        return tuple(filled.get(token, token) for token in self.tokens)


def expand(pattern: str) -> Iterator[tuple[str, ...]]:
    """All token lines of a pattern, one for each choice of its function words."""
    choices = [WORD_CLASSES.get(part, (part,)) for part in pattern.split()]
    for choice in product(*choices):
        yield tuple(" ".join(choice).split())


def _clauses(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(clause.split()) for clause in text.split(";") if clause.strip())


def _build(rows: list[tuple[str, str, str]]) -> tuple[Construction, ...]:
    return tuple(
        Construction(pattern, tokens, _clauses(asserted), _clauses(left_open))
        for pattern, asserted, left_open in rows
        for tokens in expand(pattern)
    )


def _two_clauses() -> Iterator[tuple[str, str, str]]:
    """Subordination and coordination of two full clauses, each with or without an object."""
    for first, said in (("the A T the B", "A T B"), ("the A I", "A I")):
        for second, also in (("the C U the D", "C U D"), ("the C J", "C J")):
            both = f"{said}; {also}"
            yield f"SINCE {first} , {second}", both, ""
            yield f"BEFORE {first} , {second}", also, said  # "he left before he was paid": paid or not
            yield f"WHETHER {first} , {second}", also, ""
            yield f"IF {first} , {second}", "", ""
            yield f"INCASE {first} , {second}", "", also
            yield f"{first} , and {second}", both, ""
            yield f"{first} , or {second}", "", ""


_ROWS = [
    ("the A T the B", "A T B", ""),
    ("the S was T by the B", "B T S", ""),
    ("the P were T by the B", "B T P", ""),
    ("the A and the B T the C", "A T C; B T C", ""),
    ("the A and the B I", "A I; B I", ""),
    ("the A T the B and the C", "A T B; A T C", ""),
    ("the A REL the B T U the C", "B T A; A U C", ""),
    ("the A REL the B T I", "B T A; A I", ""),
    ("the A REL T the B U the C", "A T B; A U C", ""),
    ("the A REL T the B I", "A T B; A I", ""),
    ("the A REL I T the B", "A I; A T B", ""),
    ("the A T the B REL U the C", "A T B; B U C", ""),
    ("the A T the B REL I", "A T B; B I", ""),
    ("the A T the B who the C U", "A T B; C U B", ""),
    ("the A R the B that the C U", "A R B; C U B", ""),
    ("the A PREP the B T the C", "A T C", ""),
    ("the A PREP the B I", "A I", ""),
    ("the A T the B PREP the C", "A T B", ""),
    ("E P T the B", "P T B", ""),
    ("E P I", "P I", ""),
    # NP/Z: the noun after the first verb is the subject of the second.
    ("SINCE the A Z the B T the C", "A Z; B T C", ""),
    ("SINCE the A Z the B I", "A Z; B I", ""),
    ("BEFORE the A Z the B T the C", "B T C", "A Z"),
    ("BEFORE the A Z the B I", "B I", "A Z"),
    # NP/S: the noun after the verb is the subject of its clause, true or not.
    ("the A N the B T the C", "", "B T C"),
    ("the A N the B I", "", "B I"),
    # Reduced relative clauses: somebody did it to A, in L.
    ("the A T in the L U the C", "_ T A L; A U C", ""),
    ("the A T in the L I", "_ T A L; A I", ""),
    ("the A X the B U in the L", "A X B; _ U B L", ""),
    # ... and relative clauses without a pronoun, in which A itself did it.
    ("the A the C U T in the L", "C U A; A T _ L", ""),
    ("the A F that the B T the C", "B T C", ""),
    ("the A F that the B I", "B I", ""),
    ("the A G that the B T the C", "", ""),
    ("the A G that the B I", "", ""),
    *(
        (f"{adverb} {clause}", said if adverb == "SURELY" else "", "")
        for adverb in ("SURELY", "MAYBE")
        for clause, said in (("the A T the B", "A T B"), ("the A I", "A I"))
    ),
    *_two_clauses(),
]
PREMISES = _build(_ROWS)
CLAIMS = _build(
    [
        ("the A T the B", "A T B", ""),
        ("the A I", "A I", ""),
        ("the A I in the L", "A I _ L", ""),
        ("P T the B", "P T B", ""),
        ("P I", "P I", ""),
    ]
)
# Patterns whose words can also stand in another order: slot of the new pattern -> slot of the old one.
RELINEARIZED: dict[str, tuple[str, dict[str, str]]] = {
    "the A T in the L U the C": ("the A the C U T in the L", {slot: slot for slot in "ACTUL"}),
    "the A X the B U in the L": ("the A the C U T in the L", {"A": "B", "C": "A", "U": "X", "T": "U", "L": "L"}),
}
FUNCTION_WORDS = frozenset(token for item in (*PREMISES, *CLAIMS) for token in item.tokens if token not in SLOTS)
