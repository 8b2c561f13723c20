"""Order pairs: the same words in another order, so that the gold label flips.

The candidates, in order: subject and object of the hypothesis exchanged; then other orders of the premise's words, from
the fewest changed positions to the most. These exchange nouns or verbs, or put the words into another construction. Of
the candidates with the fewest changes whose label `meaning.label` proves to be the opposite one, one is drawn.
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
    """`premise` and `hypothesis` with the words of one of them in another order and the opposite label.

    None if no other order is proved to have the opposite label, or if `gold` is not proved. Where the hypothesis has no
    object, only nouns in `agents`, which can be subjects, are moved: this avoids sentences like "the soup ate the
    nurse". `rng` draws among the orders that are proved.
    """
    parsed, claim = parse_premise(premise), parse_claim(hypothesis)
    if parsed is None or claim is None or label(parsed, claim) != gold:
        return None
    exchanged = _exchanged(claim)
    if exchanged is not None and _label(premise, exchanged) == 1 - gold:
        return premise, exchanged
    movable = None if claim.asserted[0].object is not None else agents
    candidates: list[Tokens] = []
    fewest = 0
    for changes, reordered in sorted(set(_reordered(parsed, premise, movable))):
        if candidates and changes > fewest:
            break
        if _label(reordered, hypothesis) == 1 - gold:
            fewest = changes
            candidates.append(reordered)
    return (candidates[rng.integers(len(candidates))], hypothesis) if candidates else None


def _label(premise: Tokens, hypothesis: Tokens) -> int | None:
    parsed, claim = parse_premise(premise), parse_claim(hypothesis)
    return None if parsed is None or claim is None else label(parsed, claim)


def _exchanged(claim: Parsed) -> Tokens | None:
    """The claim with subject and object exchanged; None without an object, or if a singular would lack its "the"."""
    if len(claim.nouns) != 2:
        return None
    one, other = claim.construction.noun_slots
    filled = {**claim.filled, one: claim.filled[other], other: claim.filled[one]}
    return claim.fill(filled) if claim.construction.accepts(filled) else None


def _reordered(parsed: Parsed, premise: Tokens, movable: frozenset[str] | None) -> Iterator[tuple[int, Tokens]]:
    """All orders of the premise's nouns and of its verbs, each after the number of positions that change."""
    nouns = [slot for slot in parsed.construction.noun_slots if movable is None or parsed.filled[slot] in movable]
    verbs = [slot for slot in parsed.construction.slot_index if slot in "TUZ"]
    for noun_order in permutations(nouns):
        for verb_order in permutations(verbs):
            filled = dict(parsed.filled)
            filled |= {slot: parsed.filled[old] for slot, old in zip(nouns, noun_order, strict=True)}
            filled |= {slot: parsed.filled[old] for slot, old in zip(verbs, verb_order, strict=True)}
            if parsed.construction.accepts(filled):
                yield _with_changes(premise, parsed.fill(filled))
    if parsed.construction.pattern in RELINEARIZED:
        pattern, slots = RELINEARIZED[parsed.construction.pattern]
        filled = {new: parsed.filled[old] for new, old in slots.items()}
        yield _with_changes(premise, parsed.fill(filled, _construction(pattern)))


def _with_changes(premise: Tokens, reordered: Tokens) -> tuple[int, Tokens]:
    return sum(old != new for old, new in zip(premise, reordered, strict=True)), reordered


def _construction(pattern: str) -> Construction:
    return next(item for item in PREMISES if item.pattern == pattern)


def agents_of(texts: Iterable[Parsed]) -> frozenset[str]:
    """Nouns that are a subject in the sentences `texts`, and the grammar's nouns for people."""
    agents = set(lexicon.PEOPLE) | {lexicon.plural(noun) for noun in lexicon.PEOPLE}
    for parsed in texts:
        agents |= {clause.subject for clause in (*parsed.asserted, *parsed.open) if clause.subject is not None}
    return frozenset(agents)
