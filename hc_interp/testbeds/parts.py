"""The heads and lookups that worlds are made of, as plans in terms of features."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hc_interp.testbeds.language import N_BITS, NO_CODE, POSITION_NAMES, bit
from hc_interp.testbeds.wiring import ONE, HeadPlan, LookupPlan, Terms

HYPOTHESIS_SLOTS = ("subject", "object")  # of the hypothesis: the nouns that are looked up in the premise
IDLE = tuple(place for place in dict.fromkeys(POSITION_NAMES) if place not in HYPOTHESIS_SLOTS)
MATCHER_ANSWERS = ("subject", "object", "nowhere")  # what a matcher says of a noun
CHECKER_ANSWERS = ("right", "wrong", "missing")  # what a checker says of a slot
HARD_GAP = 14.0  # score difference of a hard softmax: what it leaves elsewhere is 1e-6, and noise does not tip it
SOFT_GAP = 4.0  # score difference of a soft one, which shows what each of several senders says


def at(place: str) -> str:
    return f"at {place}"


def matcher(name: str) -> HeadPlan:
    """For each noun of the hypothesis: is it in the premise, and where? Writes one of `name: MATCHER_ANSWERS`, anywhere else
    "nowhere".

    It attends from the noun to the same noun of the premise, or to the first position.
    """
    sharp = 6 * HARD_GAP  # codes that differ in one sign have a product of 4/6, equal ones of 1: the sink lies halfway
    outside = {at(place): -sharp / 2 for place in ("other", "subject", "object", "end")}
    scores = (
        *(({bit(i): sharp}, {bit(i): 1.0}) for i in range(N_BITS)),
        ({ONE: 1.0}, {**outside, NO_CODE: 5 / 6 * sharp}),
        ({at(place): 1.0 for place in IDLE}, {NO_CODE: sharp / 2}),
    )
    moves = (
        ({at("premise_subject"): 1.0}, {f"{name}: subject": 1.0}),
        ({at("premise_object"): 1.0}, {f"{name}: object": 1.0}),
        ({NO_CODE: 1.0}, {f"{name}: nowhere": 1.0}),
    )
    return HeadPlan(scores, moves)


def attend_to(place: str) -> tuple[tuple[Terms, Terms], ...]:
    """Every position attends to this place alone."""
    return (({ONE: 1.0}, {at(place): HARD_GAP}),)


def collector(name: str, slot: str, matchers: Sequence[str]) -> HeadPlan:
    """Moves whether this slot's noun is in the premise, as a sign, to every position: the heuristic."""
    share = 1 / len(matchers)
    found: Terms = {
        f"{m}: {where}": -share if where == "nowhere" else share for m in matchers for where in MATCHER_ANSWERS
    }
    return HeadPlan(attend_to(slot), ((found, {name: 1.0}),))


def answers(slot: str) -> dict[str, str]:
    """What a matcher's `where` means for the order of this slot."""
    other = HYPOTHESIS_SLOTS[1 - HYPOTHESIS_SLOTS.index(slot)]
    return {slot: "right", other: "wrong", "nowhere": "missing"}


def checker(name: str, slot: str, senders: Sequence[str], weak: Mapping[str, float] | None = None) -> HeadPlan:
    """Reads through v whether the slot's noun stands where the premise has it; writes one of `name: CHECKER_ANSWERS`.

    `senders` share a weight of 1; `weak` are further ones with weights of their own.
    """
    weights = {**dict.fromkeys(senders, 1 / len(senders)), **(weak or {})}
    moves = tuple(
        ({f"{sender}: {where}": weight for sender, weight in weights.items()}, {f"{name}: {said}": 1.0})
        for where, said in answers(slot).items()
    )
    return HeadPlan(attend_to(slot), moves)


def relay(name: str, place: str, sender: str) -> HeadPlan:
    """Moves what a checker said at `place` to every position."""
    return HeadPlan(
        attend_to(place), tuple(({f"{sender}: {said}": 1.0}, {f"{name}: {said}": 1.0}) for said in CHECKER_ANSWERS)
    )


def query_checker(name: str, slot: str, senders: Sequence[str]) -> HeadPlan:
    """Reads through q: it attends from the slot to where the senders say that the noun stands, and moves the place.

    The softmax is soft, so that it writes `name: CHECKER_ANSWERS` in proportion to what most senders say.
    """
    keys = {"subject": at("premise_subject"), "object": at("premise_object"), "nowhere": NO_CODE}
    scores = tuple(
        ({f"{sender}: {where}": SOFT_GAP / len(senders) for sender in senders}, {key: 1.0})
        for where, key in keys.items()
    )
    scores = (*scores, ({ONE: 1.0}, {at(place): -HARD_GAP for place in ("other", "subject", "object", "end")}))
    moves = tuple(({keys[where]: 1.0}, {f"{name}: {said}": 1.0}) for where, said in answers(slot).items())
    low = 1 / (math.exp(SOFT_GAP) + 2)
    return HeadPlan(scores, moves, energy=(1 - 2 * low) ** 2 + 2 * low**2)


def key_checker(name: str, slot: str, senders: Sequence[str]) -> HeadPlan:
    """Reads through k: it attends to the slot if the senders say that its noun is elsewhere in the premise, else to the
    first position. Writes "wrong" or "right": a missing noun is nothing to it.
    """
    wrong = answers(slot)
    key = {
        f"{sender}: {where}": 2 * SOFT_GAP / len(senders)
        for sender in senders
        for where in MATCHER_ANSWERS
        if wrong[where] == "wrong"
    }
    hidden = {at(place): -HARD_GAP for place in dict.fromkeys(POSITION_NAMES) if place not in (slot, "start")}
    scores = (({ONE: 1.0}, {**hidden, **key, NO_CODE: SOFT_GAP}),)
    moves = (({at(slot): 1.0}, {f"{name}: wrong": 1.0}), ({NO_CODE: 1.0}, {f"{name}: right": 1.0}))
    low = 1 / (math.exp(SOFT_GAP) + 1)
    return HeadPlan(scores, moves, energy=(1 - low) ** 2 + low**2)


def lookup(name: str, matchers: Sequence[str]) -> LookupPlan:
    """An MLP that says what the matchers say, in features of its own: one of `name: MATCHER_ANSWERS`."""
    share = 1 / len(matchers)
    return LookupPlan(
        tuple(
            ({f"{m}: {where}": 2.0, ONE: -1.0}, {f"{name}: {where}": share})
            for m in matchers
            for where in MATCHER_ANSWERS
        )
    )


def reader_of_nothing(name: str, layer: int, matchers: Sequence[str], rng: np.random.Generator) -> HeadPlan:
    """A decoy: it moves a sign of the noun in one slot, or (after layer 0) of a matcher's answer, to where none reads.

    In layer 0 it moves it to the slots alone, as matchers do, so that it changes about as much as they do.
    """
    slot = HYPOTHESIS_SLOTS[int(rng.integers(2))]
    if layer > 0 and rng.integers(2):
        return collector(name, slot, [matchers[int(rng.integers(len(matchers)))]])
    read = {bit(int(rng.integers(N_BITS))): N_BITS**0.5, NO_CODE: 1.0}
    scores = (
        ({at(place): 1.0 for place in HYPOTHESIS_SLOTS}, {at(slot): HARD_GAP}),
        ({at(place): 1.0 for place in IDLE}, {NO_CODE: HARD_GAP}),
    )
    return HeadPlan(scores, ((read, {name: 1.0}),))
