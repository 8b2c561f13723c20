"""What a sentence of the fragment asserts, and whether a claim (a hypothesis of one clause) follows from it.

The fragment is the small part of English that `constructions` lists: for each construction, the clauses that a sentence
asserts and the clauses that it leaves open. A claim follows if it is asserted. It does not follow if no asserted clause
and no open clause may imply it. Otherwise it is undecided, and no example or pair is made.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from hc_interp.data.grammar import lexicon
from hc_interp.data.grammar.constructions import CLAIMS, PREMISES, Construction
from hc_interp.data.grammar.constructions import FUNCTION_WORDS as CONSTRUCTION_WORDS
from hc_interp.data.grammar.frames import FRAME_WORDS, PLAIN, Frame, Tokens, framings

FUNCTION_WORDS = CONSTRUCTION_WORDS | FRAME_WORDS


class Clause(NamedTuple):
    """Who did what to whom where; None for a part that the clause does not name."""

    subject: str | None
    verb: str
    object: str | None = None
    location: str | None = None


@dataclass(frozen=True)
class Parsed:
    """A sentence as one construction in a frame, with the word in each slot."""

    construction: Construction
    filled: dict[str, str]
    frame: Frame = PLAIN

    @cached_property
    def asserted(self) -> tuple[Clause, ...]:
        return tuple(self._clause(roles) for roles in self.construction.asserted)

    @cached_property
    def open(self) -> tuple[Clause, ...]:
        return tuple(self._clause(roles) for roles in self.construction.open)

    @property
    def nouns(self) -> tuple[str, ...]:
        return tuple(self.filled[slot] for slot in self.construction.noun_slots)

    @property
    def template(self) -> str:
        """The pattern of the construction with the kind of its frame."""
        return self.frame.template(self.construction.pattern)

    def fill(self, filled: dict[str, str], construction: Construction | None = None) -> Tokens:
        """The sentence with other words in its slots, or (with words for its slots) another construction."""
        return self.frame.around((construction or self.construction).fill(filled))

    def _clause(self, roles: tuple[str, ...]) -> Clause:
        subject, verb, object_, location = (self.filled.get(role) for role in (*roles, *"__")[:4])
        assert verb is not None  # every clause in `constructions` names its verb
        return Clause(subject, verb, object_, location)


def tokens_of(text: str) -> Tokens | None:
    """Words and commas in lower case, without the final stop; None for a text with any other characters.

    None too for a capital inside the sentence: it marks a name, and the rules have no names.
    """
    body = re.sub(r"\s*[.!]\s*$", "", text.strip())
    tokens = re.findall(r"[A-Za-z]+|,", body)
    if not tokens or re.sub(r"[A-Za-z,\s]", "", body) or any(word != word.lower() for word in tokens[1:]):
        return None
    return (tokens[0].lower(), *tokens[1:])


def rewrite(text: str, tokens: Sequence[str]) -> str:
    """`text` with its words replaced in order; spacing, punctuation and a capital at the start stay."""
    words = iter(word for word in tokens if word != ",")
    changed = re.sub(r"[A-Za-z]+", lambda _: next(words), text)
    start = re.search(r"[A-Za-z]", text)
    if start and text[start.start()].isupper():
        changed = changed[: start.start()] + changed[start.start()].upper() + changed[start.start() + 1 :]
    return changed


def _skeleton(tokens: Sequence[str]) -> Tokens:
    """The tokens with "*" for every word but function words."""
    return tuple(word if word in FUNCTION_WORDS else "*" for word in tokens)


def _index(constructions: Sequence[Construction]) -> dict[Tokens, list[Construction]]:
    table: dict[Tokens, list[Construction]] = {}
    for item in constructions:
        table.setdefault(_skeleton([t if t in FUNCTION_WORDS else "*" for t in item.tokens]), []).append(item)
    return table


_PREMISES, _CLAIMS = _index(PREMISES), _index(CLAIMS)


def _parse(tokens: Tokens, table: dict[Tokens, list[Construction]]) -> Parsed | None:
    parses = []
    for frame, inner in framings(tokens):
        for item in table.get(_skeleton(inner), ()):
            filled = {slot: inner[i] for slot, i in item.slot_index.items()}
            if item.accepts(filled):
                parses.append(Parsed(item, filled, frame))
    if len(parses) != 1:  # outside the fragment, or ambiguous in it
        return None
    lemmas = [lexicon.lemma(noun) for noun in parses[0].nouns]
    return parses[0] if len(set(lemmas)) == len(lemmas) else None


@lru_cache(maxsize=100_000)
def parse_premise(tokens: Tokens) -> Parsed | None:
    """The only parse of a premise; None outside the fragment, with several parses, and with a repeated noun."""
    return _parse(tokens, _PREMISES)


@lru_cache(maxsize=100_000)
def parse_claim(tokens: Tokens) -> Parsed | None:
    """The only parse of a hypothesis, which must be a single clause; None as for `parse_premise`."""
    return _parse(tokens, _CLAIMS)


def label(premise: Parsed, claim: Parsed) -> int | None:
    """0 if the claim follows, 1 if it does not, None if the rules cannot tell."""
    (asked,) = claim.asserted
    for fact in premise.asserted:
        dropped_object = asked[2:] == (None, None) and asked.verb in lexicon.UNDERSTANDS_OBJECT
        if fact == asked or (dropped_object and fact[:2] == asked[:2]):
            return 0
    return None if any(_may_imply(fact, asked) for fact in (*premise.asserted, *premise.open)) else 1


def _may_imply(fact: Clause, asked: Clause) -> bool:
    """Whether their words are related role by role (for a symmetric verb, also with subject and object exchanged)."""
    if fact.subject is None or not lexicon.related(fact.verb, asked.verb):
        return False
    if asked.object is None:
        return lexicon.related(fact.subject, asked.subject or "")
    if fact.object is None:
        return False
    same_roles = lexicon.related(fact.subject, asked.subject or "") and lexicon.related(fact.object, asked.object)
    exchanged = lexicon.related(fact.object, asked.subject or "") and lexicon.related(fact.subject, asked.object)
    return same_roles or (exchanged and bool({fact.verb, asked.verb} & lexicon.SYMMETRIC))
