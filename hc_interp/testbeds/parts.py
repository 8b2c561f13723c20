"""The plans of heads and lookups of which the worlds are made, in terms of features."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hc_interp.testbeds.language import N_BITS, NO_CODE, POSITION_NAMES, bit
from hc_interp.testbeds.wiring import ONE, HeadPlan, LookupPlan, Terms

HYPOTHESIS_SLOTS = ("subject", "object")  # the nouns of the hypothesis, which are looked up in the premise
IDLE = tuple(name for name in dict.fromkeys(POSITION_NAMES) if name not in HYPOTHESIS_SLOTS)
MATCHER_ANSWERS = ("subject", "object", "nowhere")  # which noun of the premise a noun of the hypothesis is
CHECKER_ANSWERS = ("right", "wrong", "missing")  # whether a noun of the hypothesis is in the premise's order
HARD_GAP = 14.0  # score difference of a hard softmax: other positions get a weight of 1e-6, also with noise
SOFT_GAP = 4.0  # score difference of a soft softmax, in which every one of several senders has an effect


def at(position: str) -> str:
    """The feature of a position, by the name of the position."""
    return f"at {position}"


def matcher(name: str) -> HeadPlan:
    """A head that finds each noun of the hypothesis in the premise and writes one of `name: MATCHER_ANSWERS`.

    It attends from the noun to the same noun of the premise, or to the first position if there is none. At all other
    positions it writes "nowhere".
    """
    # Codes that differ in one sign have a product of 4/6, equal codes of 1. The first position gets a score halfway.
    sharp = 6 * HARD_GAP
    outside = {at(position): -sharp / 2 for position in ("other", "subject", "object", "end")}
    scores = (
        *(({bit(i): sharp}, {bit(i): 1.0}) for i in range(N_BITS)),
        ({ONE: 1.0}, {**outside, NO_CODE: 5 / 6 * sharp}),
        ({at(position): 1.0 for position in IDLE}, {NO_CODE: sharp / 2}),
    )
    moves = (
        ({at("premise_subject"): 1.0}, {f"{name}: subject": 1.0}),
        ({at("premise_object"): 1.0}, {f"{name}: object": 1.0}),
        ({NO_CODE: 1.0}, {f"{name}: nowhere": 1.0}),
    )
    return HeadPlan(scores, moves)


def attend_to(position: str) -> tuple[tuple[Terms, Terms], ...]:
    """The scores by which every position attends to this position alone."""
    return (({ONE: 1.0}, {at(position): HARD_GAP}),)


def collector(name: str, slot: str, matchers: Sequence[str]) -> HeadPlan:
    """A head that moves to every position whether the noun of this slot is in the premise, as a sign: the heuristic."""
    share = 1 / len(matchers)
    is_found: Terms = {
        f"{m}: {where}": -share if where == "nowhere" else share for m in matchers for where in MATCHER_ANSWERS
    }
    return HeadPlan(attend_to(slot), ((is_found, {name: 1.0}),))


def order_answers(slot: str) -> dict[str, str]:
    """For each answer of a matcher on the noun of this slot, the answer of a checker."""
    other = HYPOTHESIS_SLOTS[1 - HYPOTHESIS_SLOTS.index(slot)]
    return {slot: "right", other: "wrong", "nowhere": "missing"}


def checker(name: str, slot: str, senders: Sequence[str], weak: Mapping[str, float] | None = None) -> HeadPlan:
    """A head that reads through v whether the noun of the slot is in the premise's order.

    It writes one of `name: CHECKER_ANSWERS`. The `senders` (matchers) have equal weights that add up to 1.
    `weak` are the weights of further senders.
    """
    weights = {**{sender: 1 / len(senders) for sender in senders}, **(weak or {})}
    moves = tuple(
        ({f"{sender}: {where}": weight for sender, weight in weights.items()}, {f"{name}: {answer}": 1.0})
        for where, answer in order_answers(slot).items()
    )
    return HeadPlan(attend_to(slot), moves)


def relay(name: str, position: str, sender: str) -> HeadPlan:
    """A head that moves the answer of a checker at one position to every position."""
    return HeadPlan(
        attend_to(position),
        tuple(({f"{sender}: {answer}": 1.0}, {f"{name}: {answer}": 1.0}) for answer in CHECKER_ANSWERS),
    )


def word_relay(name: str, slot: str, senders: Sequence[str]) -> HeadPlan:
    """A head that moves the matchers' answers on the noun of this slot to every position."""
    share = 1 / len(senders)
    moves = tuple(
        ({f"{sender}: {where}": share for sender in senders}, {f"{name}: {where}": 1.0}) for where in MATCHER_ANSWERS
    )
    return HeadPlan(attend_to(slot), moves)


def query_checker(name: str, slot: str, senders: Sequence[str]) -> HeadPlan:
    """A head that reads through q: it attends from the slot to the noun of the premise that the senders name.

    It writes `name: CHECKER_ANSWERS` for the position that it attends to. The softmax is soft, so that every sender
    changes the weights of the answers.
    """
    keys = {"subject": at("premise_subject"), "object": at("premise_object"), "nowhere": NO_CODE}
    scores = tuple(
        ({f"{sender}: {where}": SOFT_GAP / len(senders) for sender in senders}, {key: 1.0})
        for where, key in keys.items()
    )
    scores = (*scores, ({ONE: 1.0}, {at(position): -HARD_GAP for position in ("other", "subject", "object", "end")}))
    moves = tuple(({keys[where]: 1.0}, {f"{name}: {answer}": 1.0}) for where, answer in order_answers(slot).items())
    low = 1 / (math.exp(SOFT_GAP) + 2)
    return HeadPlan(scores, moves, energy=(1 - 2 * low) ** 2 + 2 * low**2)


def key_checker(name: str, slot: str, senders: Sequence[str]) -> HeadPlan:
    """A head that reads through k: it attends to the slot if its noun is in the other position of the premise.

    Otherwise it attends to the first position. It writes "wrong" or "right"; for a missing noun it writes "right".
    """
    answers = order_answers(slot)
    key = {
        f"{sender}: {where}": 2 * SOFT_GAP / len(senders)
        for sender in senders
        for where in MATCHER_ANSWERS
        if answers[where] == "wrong"
    }
    others = [position for position in dict.fromkeys(POSITION_NAMES) if position not in (slot, "start")]
    hidden = {at(position): -HARD_GAP for position in others}
    scores = (({ONE: 1.0}, {**hidden, **key, NO_CODE: SOFT_GAP}),)
    moves = (({at(slot): 1.0}, {f"{name}: wrong": 1.0}), ({NO_CODE: 1.0}, {f"{name}: right": 1.0}))
    low = 1 / (math.exp(SOFT_GAP) + 1)
    return HeadPlan(scores, moves, energy=(1 - low) ** 2 + low**2)


def lookup(name: str, matchers: Sequence[str]) -> LookupPlan:
    """An MLP that copies the answers of the matchers into features of its own: `name: MATCHER_ANSWERS`."""
    share = 1 / len(matchers)
    return LookupPlan(
        tuple(
            ({f"{m}: {where}": 2.0, ONE: -1.0}, {f"{name}: {where}": share})
            for m in matchers
            for where in MATCHER_ANSWERS
        )
    )


def live_decoy(name: str, sender: str | None, rng: np.random.Generator) -> HeadPlan:
    """A head that writes a feature which no other head reads, and whose output changes on pairs of both kinds.

    It reads the whole answer of the sender (a matcher), as a checker does, or else a sign of the code of the noun in
    one slot. It writes at every position.
    """
    slot = HYPOTHESIS_SLOTS[int(rng.integers(2))]
    if sender is not None:
        return checker(name, slot, [sender])
    read = {bit(int(rng.integers(N_BITS))): N_BITS**0.5, NO_CODE: 1.0}
    return HeadPlan(attend_to(slot), ((read, {name: 1.0}),))


def decoy(name: str, layer: int, matchers: Sequence[str], rng: np.random.Generator) -> tuple[HeadPlan, str | None]:
    """A head that writes a feature which no other head reads, and the matcher that it reads (None: none).

    The feature is a sign of the code of the noun in one slot or (after layer 0, in half of the draws) whether the noun
    was found. The sign is moved to the slots alone: so its output changes about as much as that of a matcher.
    """
    slot = HYPOTHESIS_SLOTS[int(rng.integers(2))]
    if layer > 0 and rng.integers(2):
        sender = matchers[int(rng.integers(len(matchers)))]
        return collector(name, slot, [sender]), sender
    read = {bit(int(rng.integers(N_BITS))): N_BITS**0.5, NO_CODE: 1.0}
    scores = (
        ({at(position): 1.0 for position in HYPOTHESIS_SLOTS}, {at(slot): HARD_GAP}),
        ({at(position): 1.0 for position in IDLE}, {NO_CODE: HARD_GAP}),
    )
    return HeadPlan(scores, ((read, {name: 1.0}),)), None
