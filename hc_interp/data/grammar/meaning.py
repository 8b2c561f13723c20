"""What a sentence of the fragment asserts, and whether a claim follows from it.

The fragment is small on purpose. A construction lists the clauses that it asserts and those that it leaves open; a
claim follows if it is asserted, does not follow if nothing asserted or open comes near it, and is undecided otherwise.
Undecided sentences make no examples and no pairs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from hc_interp.data.grammar import lexicon
from hc_interp.data.grammar.constructions import CLAIMS, FUNCTION_WORDS, PREMISES, Construction

Tokens = tuple[str, ...]  # words and commas of a sentence, in lower case


class Clause(NamedTuple):
    """Who did what to whom where; None where the clause does not say."""

    subject: str | None
    verb: str
    object: str | None = None
    place: str | None = None


@dataclass(frozen=True)
class Parsed:
    """A sentence as one construction with its slots filled."""

    construction: Construction
    filled: dict[str, str]

    @property
    def asserted(self) -> tuple[Clause, ...]:
        return tuple(self._clause(roles) for roles in self.construction.asserted)

    @property
    def open(self) -> tuple[Clause, ...]:
        return tuple(self._clause(roles) for roles in self.construction.open)

    @property
    def nouns(self) -> tuple[str, ...]:
        return tuple(self.filled[slot] for slot in self.construction.noun_slots)

    def _clause(self, roles: tuple[str, ...]) -> Clause:
        subject, verb, object_, place = (self.filled.get(role) for role in (*roles, *"__")[:4])
        assert verb is not None  # every clause of the table names its verb
        return Clause(subject, verb, object_, place)


def tokens_of(text: str) -> tuple[str, ...] | None:
    """Words and commas in lower case, without the final stop; None if the text holds anything else.

    A capital inside the sentence is a name, about which the rules know nothing.
    """
    body = re.sub(r"\s*[.!]\s*$", "", text.strip())
    found = re.findall(r"[A-Za-z]+|,", body)
    if not found or re.sub(r"[A-Za-z,\s]", "", body) or any(word != word.lower() for word in found[1:]):
        return None
    return (found[0].lower(), *found[1:])


def rewrite(text: str, tokens: Sequence[str]) -> str:
    """`text` with its words replaced in order; spacing, punctuation and the first capital stay."""
    words = iter(word for word in tokens if word != ",")
    changed = re.sub(r"[A-Za-z]+", lambda _: next(words), text)
    start = re.search(r"[A-Za-z]", text)
    if start and text[start.start()].isupper():
        changed = changed[: start.start()] + changed[start.start()].upper() + changed[start.start() + 1 :]
    return changed


def _skeleton(tokens: Sequence[str]) -> tuple[str, ...]:
    return tuple(word if word in FUNCTION_WORDS else "*" for word in tokens)


def _index(constructions: Sequence[Construction]) -> dict[tuple[str, ...], list[Construction]]:
    table: dict[tuple[str, ...], list[Construction]] = {}
    for item in constructions:
        table.setdefault(_skeleton([t if t in FUNCTION_WORDS else "*" for t in item.tokens]), []).append(item)
    return table


_PREMISES, _CLAIMS = _index(PREMISES), _index(CLAIMS)


def _parse(tokens: tuple[str, ...], table: dict[tuple[str, ...], list[Construction]]) -> Parsed | None:
    readings = []
    for item in table.get(_skeleton(tokens), ()):
        filled = {slot: tokens[place] for slot, place in item.places.items()}
        if item.accepts(filled):
            readings.append(Parsed(item, filled))
    if len(readings) != 1:  # outside the fragment, or ambiguous in it
        return None
    lemmas = [lexicon.lemma(noun) for noun in readings[0].nouns]
    return readings[0] if len(set(lemmas)) == len(lemmas) else None


@lru_cache(maxsize=100_000)
def parse_premise(tokens: tuple[str, ...]) -> Parsed | None:
    """The one reading of a premise; None outside the fragment, if ambiguous, or if a noun comes twice."""
    return _parse(tokens, _PREMISES)


@lru_cache(maxsize=100_000)
def parse_claim(tokens: tuple[str, ...]) -> Parsed | None:
    """The one reading of a hypothesis, which is a single clause."""
    return _parse(tokens, _CLAIMS)


def label(premise: Parsed, claim: Parsed) -> int | None:
    """0 if the claim follows, 1 if it does not, None if the rules cannot tell."""
    (wanted,) = claim.asserted
    for fact in premise.asserted:
        dropped_object = wanted[2:] == (None, None) and wanted.verb in lexicon.UNDERSTANDS_OBJECT
        if fact == wanted or (dropped_object and fact[:2] == wanted[:2]):
            return 0
    return None if any(_near(fact, wanted) for fact in (*premise.asserted, *premise.open)) else 1


def _near(fact: Clause, wanted: Clause) -> bool:
    """Whether `fact` may imply `wanted`: each role is the same or related, or the two are turned round."""
    if fact.subject is None or not lexicon.related(fact.verb, wanted.verb):
        return False
    if wanted.object is None:
        return lexicon.related(fact.subject, wanted.subject or "")
    if fact.object is None:
        return False
    straight = lexicon.related(fact.subject, wanted.subject or "") and lexicon.related(fact.object, wanted.object)
    turned = lexicon.related(fact.object, wanted.subject or "") and lexicon.related(fact.subject, wanted.object)
    return straight or (turned and bool({fact.verb, wanted.verb} & lexicon.SYMMETRIC))
