"""Overlap pairs: one word of the hypothesis becomes a word that the premise does not have.

Nouns are replaced, and the verb of a claim without an object. Verbs with an object are left alone: too many of them
imply one another ("recommended", "mentioned", "praised") for a label to rest on the difference.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hc_interp.data.grammar import lexicon
from hc_interp.data.grammar.constructions import NOUN_SLOTS
from hc_interp.data.grammar.meaning import Parsed, Tokens, label, parse_claim, parse_premise


@dataclass(frozen=True)
class WordPool:
    """Words that may stand in a hypothesis, by what they are: "singular", "plural", "verb"."""

    words: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, claims: Iterable[Parsed]) -> "WordPool":
        """The words seen at each kind of place in these hypotheses, in alphabetical order."""
        seen: dict[str, set[str]] = {"singular": set(), "plural": set(), "verb": set()}
        for claim in claims:
            for slot in _replaceable(claim):
                seen[_kind(slot, claim.filled[slot])].add(claim.filled[slot])
        return cls({kind: tuple(sorted(words)) for kind, words in seen.items()})


OWN_WORDS = WordPool(
    {
        "singular": lexicon.PEOPLE,
        "plural": tuple(lexicon.plural(noun) for noun in lexicon.PEOPLE),
        "verb": lexicon.INTRANSITIVE,
    }
)


def _replaceable(claim: Parsed) -> list[str]:
    clause = claim.asserted[0]
    slots = list(claim.construction.noun_slots)
    if clause.object is None and clause.place is None:
        slots.append("I")
    return slots


def _kind(slot: str, word: str) -> str:
    if slot not in NOUN_SLOTS:
        return "verb"
    return "plural" if lexicon.is_plural(word) else "singular"


def overlap_edit(
    premise: Tokens, hypothesis: Tokens, gold: int, pool: WordPool, rng: np.random.Generator
) -> tuple[Tokens, Tokens] | None:
    """The premise, and the hypothesis with one word that makes it not follow; None if no word proves it.

    A replacement is unrelated to every noun (or verb) of the premise: no synonym, no kind of it, nothing that holds of
    everybody. The pool is tried first, then the grammar's own words. None too if `gold` itself cannot be proved.
    """
    said, claim = parse_premise(premise), parse_claim(hypothesis)
    if said is None or claim is None or label(said, claim) != gold:
        return None
    slots = [slot for slot in _replaceable(claim) if claim.filled[slot] in premise]
    for slot in rng.permutation(slots) if slots else ():
        for words in (pool, OWN_WORDS):
            choices = list(_proved(said, claim, str(slot), words))
            if choices:
                return premise, choices[rng.integers(len(choices))]
    return None


def _proved(said: Parsed, claim: Parsed, slot: str, pool: WordPool) -> Iterable[Tokens]:
    present = said.nouns if slot in NOUN_SLOTS else _verbs(said)
    for word in pool.words[_kind(slot, claim.filled[slot])]:
        if any(lexicon.related(word, other) for other in present):
            continue
        edited = claim.construction.fill({**claim.filled, slot: word})
        parsed = parse_claim(edited)
        if parsed is not None and label(said, parsed) == 1:
            yield edited


def _verbs(said: Parsed) -> tuple[str, ...]:
    return tuple(word for slot, word in said.filled.items() if slot not in NOUN_SLOTS and slot not in "LE")
