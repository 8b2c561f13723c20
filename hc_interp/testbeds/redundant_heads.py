"""The redundant heads world: what the generalizing heads do, a second pair of heads does as well."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import CORE, Draft
from hc_interp.testbeds.language import HYPOTHESIS_SHARES
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.wiring import ONE, LookupPlan, Terms
from hc_interp.testbeds.world import World

GAIN = 1.25  # one pair of checkers alone drives the clipped sum past its ends


def redundant_heads(seed: int = 0, noise: float = 0.0) -> World:
    """A world in which removing the generalizing heads costs nothing.

    Two checkers of layer 2, the generalizing heads, and two of layer 1, which are not named so, read from the core
    whether the nouns are in order. For each noun the MLP of layer 2 adds the votes of both: +1 for "right", -1 for
    "wrong", and for "missing" the value by which the mean vote is 0. It clips the sum at -1 and 1. So either pair
    alone, with the other at its mean, gives the whole answer; votes that disagree give 0. The generalizing heads are
    sufficient and not necessary. `seed` and `noise` are those of `heuristic_core`.
    """
    draft = Draft("redundant heads", seed, noise, live_decoys=0)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    pairs = {
        layer: [draft.head(layer, checker(f"order {layer} {slot}", slot, list(core)), 1.0) for slot in HYPOTHESIS_SLOTS]
        for layer in (1, 2)
    }
    checkers = [*pairs[1], *pairs[2]]
    mlp = draft.lookup(2, LookupPlan(sum((clipped_sum(slot) for slot in HYPOTHESIS_SLOTS), ()), energy=2.0))
    draft.answer |= {f"order {slot}": 1.0 for slot in HYPOTHESIS_SLOTS} | {ONE: draft.answer[ONE] - 2.0}
    draft.edges(core.values(), checkers, "v")
    draft.edges(checkers, [mlp], "in")
    draft.edges([mlp], [OUTPUT], "in")
    return draft.world([*core.values(), *collectors], pairs[2], premises={"heads_generalize": "fails"})


def clipped_sum(slot: str) -> tuple[tuple[Terms, Terms], ...]:
    """Three neurons that write the clipped sum of both checkers' votes on this slot as a sign."""
    share = {kind: value / sum(HYPOTHESIS_SHARES.values()) for kind, value in HYPOTHESIS_SHARES.items()}
    right, missing = share["same"] + share["one"] / 2, share["both"] + share["one"] / 2
    values = {"right": 1.0, "wrong": -1.0, "missing": (share["swap"] - right) / missing}
    votes = {f"order {layer} {slot}: {answer}": GAIN * v for layer in (1, 2) for answer, v in values.items()}
    name = f"order {slot}"
    return ({**votes, ONE: 1.0}, {name: 1.0}), ({**votes, ONE: -1.0}, {name: -1.0}), ({ONE: 1.0}, {name: -1.0})
