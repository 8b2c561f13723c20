"""The constructions that the label rules cover: the word order of each, and the clauses that it asserts.

A pattern is a sequence of words and slots. The slots `A B C D` are nouns (`S` a singular noun, `P` a plural noun),
`T U` are verbs with an object, `I J` verbs without an object, `L` is a location, `E` an adjective. The other slots, and
restrictions of these, are in `SLOT_RULES`. A key of `WORD_CLASSES` (`REL`, `PREP`, ...) can be any of its function
words: a pattern becomes one construction for each choice of them.

A clause is written as the slots "subject verb [object [location]]", with `_` for a part that the sentence leaves out.
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
    # Subordinators. SINCE asserts both clauses, BEFORE and WHETHER assert the main clause only, IF asserts neither.
    # INCASE can mean "lest", which asserts the main clause, or "if".
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
    """One order of slots and function words, with the clauses that it asserts, written in slots.

    `open` lists the clauses that the sentence may or may not imply: a hypothesis close to one of them gets no label.
    """

    pattern: str
    tokens: tuple[str, ...]
    asserted: tuple[tuple[str, ...], ...]
    open: tuple[tuple[str, ...], ...] = ()

    @cached_property
    def slot_index(self) -> dict[str, int]:
        """The index in `tokens` of each slot."""
        return {token: i for i, token in enumerate(self.tokens) if token in SLOTS}

    @cached_property
    def noun_slots(self) -> tuple[str, ...]:
        return tuple(slot for slot in self.slot_index if slot in NOUN_SLOTS)

    def accepts(self, filled: dict[str, str]) -> bool:
        """Whether each slot may hold the word that `filled` maps it to."""
        return all(SLOT_RULES[slot](word) for slot, word in filled.items() if slot in SLOT_RULES)

    def fill(self, filled: dict[str, str]) -> tuple[str, ...]:
        """The tokens with each slot replaced by its word."""
        return tuple(filled.get(token, token) for token in self.tokens)


def expand(pattern: str) -> Iterator[tuple[str, ...]]:
    """The tokens of a pattern, for each choice of its function words."""
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
    for first, first_clause in (("the A T the B", "A T B"), ("the A I", "A I")):
        for second, second_clause in (("the C U the D", "C U D"), ("the C J", "C J")):
            both = f"{first_clause}; {second_clause}"
            yield f"SINCE {first} , {second}", both, ""
            yield f"BEFORE {first} , {second}", second_clause, first_clause  # "before he was paid": paid or not
            yield f"WHETHER {first} , {second}", second_clause, ""
            yield f"IF {first} , {second}", "", ""
            yield f"INCASE {first} , {second}", "", second_clause
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
    # NP/S: the noun after the verb is the subject of a clause, which may be true or not.
    ("the A N the B T the C", "", "B T C"),
    ("the A N the B I", "", "B I"),
    # Reduced relative clauses: somebody not named did T to A, in L.
    ("the A T in the L U the C", "_ T A L; A U C", ""),
    ("the A T in the L I", "_ T A L; A I", ""),
    ("the A X the B U in the L", "A X B; _ U B L", ""),
    # A relative clause without a pronoun; here A itself did T, in L.
    ("the A the C U T in the L", "C U A; A T _ L", ""),
    ("the A F that the B T the C", "B T C", ""),
    ("the A F that the B I", "B I", ""),
    ("the A G that the B T the C", "", ""),
    ("the A G that the B I", "", ""),
    *(
        (f"{adverb} {text}", clause if adverb == "SURELY" else "", "")
        for adverb in ("SURELY", "MAYBE")
        for text, clause in (("the A T the B", "A T B"), ("the A I", "A I"))
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
# Patterns whose words also fit another pattern: the new pattern, and for each slot of it the slot of the old pattern.
RELINEARIZED: dict[str, tuple[str, dict[str, str]]] = {
    "the A T in the L U the C": ("the A the C U T in the L", {slot: slot for slot in "ACTUL"}),
    "the A X the B U in the L": ("the A the C U T in the L", {"A": "B", "C": "A", "U": "X", "T": "U", "L": "L"}),
}
FUNCTION_WORDS = frozenset(token for item in (*PREMISES, *CLAIMS) for token in item.tokens if token not in SLOTS)
