"""Overlap pairs: one word of the hypothesis is replaced by a word that the premise does not have.

The replaced word is a noun, or the verb of a hypothesis without an object. Verbs with an object are not replaced: too
many of them may imply one another ("recommended", "mentioned", "praised"), so the label could not be proved.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hc_interp.data.grammar import lexicon
from hc_interp.data.grammar.constructions import NOUN_SLOTS
from hc_interp.data.grammar.meaning import Parsed, Tokens, label, parse_claim, parse_premise


@dataclass(frozen=True)
class WordPool:
    """Replacement words by kind: "singular" and "plural" nouns, and "verb"."""

    words: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, claims: Iterable[Parsed]) -> "WordPool":
        """The words of each kind in these hypotheses, in alphabetical order."""
        by_kind: dict[str, set[str]] = {"singular": set(), "plural": set(), "verb": set()}
        for claim in claims:
            for slot in _replaceable(claim):
                by_kind[_kind(slot, claim.filled[slot])].add(claim.filled[slot])
        return cls({kind: tuple(sorted(words)) for kind, words in by_kind.items()})


GRAMMAR_WORDS = WordPool(
    {
        "singular": lexicon.PEOPLE,
        "plural": tuple(lexicon.plural(noun) for noun in lexicon.PEOPLE),
        "verb": lexicon.INTRANSITIVE,
    }
)


def _replaceable(claim: Parsed) -> list[str]:
    clause = claim.asserted[0]
    slots = list(claim.construction.noun_slots)
    if clause.object is None and clause.location is None:
        slots.append("I")
    return slots


def _kind(slot: str, word: str) -> str:
    if slot not in NOUN_SLOTS:
        return "verb"
    return "plural" if lexicon.is_plural(word) else "singular"


def overlap_edit(
    premise: Tokens, hypothesis: Tokens, gold: int, pool: WordPool, rng: np.random.Generator
) -> tuple[Tokens, Tokens] | None:
    """The premise, and the hypothesis with one word replaced so that it does not follow from the premise.

    None if no replacement is proved to do so, or if `gold` is not proved. A replacement is unrelated (by
    `lexicon.related`) to every noun, or verb, of the premise. It is drawn by `rng` from `pool`, or from the grammar's
    own words if no word of `pool` fits.
    """
    parsed, claim = parse_premise(premise), parse_claim(hypothesis)
    if parsed is None or claim is None or label(parsed, claim) != gold:
        return None
    slots = [slot for slot in _replaceable(claim) if claim.filled[slot] in premise]
    for slot in rng.permutation(slots) if slots else ():
        for words in (pool, GRAMMAR_WORDS):
            choices = list(_proved(parsed, claim, str(slot), words))
            if choices:
                return premise, choices[rng.integers(len(choices))]
    return None


def _proved(parsed: Parsed, claim: Parsed, slot: str, pool: WordPool) -> Iterable[Tokens]:
    present = parsed.nouns if slot in NOUN_SLOTS else _verbs(parsed)
    for word in pool.words[_kind(slot, claim.filled[slot])]:
        if any(lexicon.related(word, other) for other in present):
            continue
        edited = claim.fill({**claim.filled, slot: word})
        edited_claim = parse_claim(edited)
        if edited_claim is not None and label(parsed, edited_claim) == 1:
            yield edited


def _verbs(parsed: Parsed) -> tuple[str, ...]:
    return tuple(word for slot, word in parsed.filled.items() if slot not in NOUN_SLOTS and slot not in "LE")
