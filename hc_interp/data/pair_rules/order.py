"""Order pairs: the same words in another order, so that the gold label flips.

Candidates are tried from the smallest move up: subject and object of the hypothesis change places; then nouns and verbs
of the premise change places, two at a time, then three or more; then the premise's words take another construction. The
first moves whose label `meaning.label` proves to be the opposite one are kept.
"""

from collections.abc import Iterable, Iterator
from itertools import permutations

import numpy as np

from hc_interp.data.grammar import lexicon
from hc_interp.data.grammar.constructions import PREMISES, RELINEARIZED, Construction
from hc_interp.data.grammar.meaning import Parsed, Tokens, label, parse_claim, parse_premise


def order_edit(
    premise: Tokens, hypothesis: Tokens, gold: int, agents: frozenset[str], rng: np.random.Generator
) -> tuple[Tokens, Tokens] | None:
    """Premise and hypothesis with the same words each and the opposite label, or None if no move proves it.

    `agents` are nouns known to do things: where the hypothesis has no object, only such nouns are moved ("the soup ate
    the nurse" is no sentence to test a model on). None too if `gold` itself cannot be proved.
    """
    said, claim = parse_premise(premise), parse_claim(hypothesis)
    if said is None or claim is None or label(said, claim) != gold:
        return None
    turned = _exchange(claim)
    if turned is not None and _label(premise, turned) == 1 - gold:
        return premise, turned
    movable = None if claim.asserted[0].object is not None else agents
    found: list[Tokens] = []
    smallest = 0
    for changed, moved in sorted(set(_rearranged(said, premise, movable))):
        if found and changed > smallest:
            break
        if _label(moved, hypothesis) == 1 - gold:
            smallest = changed
            found.append(moved)
    return (found[rng.integers(len(found))], hypothesis) if found else None


def _label(premise: Tokens, hypothesis: Tokens) -> int | None:
    said, claim = parse_premise(premise), parse_claim(hypothesis)
    return None if said is None or claim is None else label(said, claim)


def _exchange(claim: Parsed) -> Tokens | None:
    """The claim with subject and object exchanged; None if it has no object or a bare noun would be a singular."""
    if len(claim.nouns) != 2:
        return None
    one, other = claim.construction.noun_slots
    filled = {**claim.filled, one: claim.filled[other], other: claim.filled[one]}
    return claim.construction.fill(filled) if claim.construction.accepts(filled) else None


def _rearranged(said: Parsed, premise: Tokens, movable: frozenset[str] | None) -> Iterator[tuple[int, Tokens]]:
    """All other orders of the premise's nouns and of its verbs, each with the number of places that change."""
    nouns = [slot for slot in said.construction.noun_slots if movable is None or said.filled[slot] in movable]
    verbs = [slot for slot in said.construction.places if slot in "TUZ"]
    for noun_order in permutations(nouns):
        for verb_order in permutations(verbs):
            filled = dict(said.filled)
            filled |= {slot: said.filled[old] for slot, old in zip(nouns, noun_order, strict=True)}
            filled |= {slot: said.filled[old] for slot, old in zip(verbs, verb_order, strict=True)}
            if said.construction.accepts(filled):
                yield _counted(premise, said.construction.fill(filled))
    if said.construction.pattern in RELINEARIZED:
        pattern, slots = RELINEARIZED[said.construction.pattern]
        filled = {new: said.filled[old] for new, old in slots.items()}
        yield _counted(premise, _construction(pattern).fill(filled))


def _counted(premise: Tokens, moved: Tokens) -> tuple[int, Tokens]:
    return sum(old != new for old, new in zip(premise, moved, strict=True)), moved


def _construction(pattern: str) -> Construction:
    return next(item for item in PREMISES if item.pattern == pattern)


def agents_of(texts: Iterable[Parsed]) -> frozenset[str]:
    """Nouns that are the subject of something in these sentences, and the grammar's own people."""
    found = set(lexicon.PEOPLE) | {lexicon.plural(noun) for noun in lexicon.PEOPLE}
    for parsed in texts:
        found |= {fact.subject for fact in (*parsed.asserted, *parsed.open) if fact.subject is not None}
    return frozenset(found)
