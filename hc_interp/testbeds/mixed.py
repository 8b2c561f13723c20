"""The mixed world: one of two generalizing heads reads from the core, the other from other heads."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import CORE, Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.world import World


def mixed(seed: int = 0, noise: float = 0.0, live_decoys: int | None = 0) -> World:
    """A world in which one generalizing head reads from the core and the other does not.

    The head that checks the position of the subject reads from the three core heads of layer 0. The head that checks
    the object reads from three other heads of layer 0, which count as generalizing heads without a core head upstream.
    The generalizing heads read as much from these as from the core, so no verdict about the whole core is expected
    here: a test should find the edges. `seed`, `noise` and `live_decoys` are those of `heuristic_core`.
    """
    draft = Draft("mixed", seed, noise, live_decoys)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    others = draft.matchers("other ")
    checkers = []
    for slot, senders in zip(HYPOTHESIS_SLOTS, (core, others), strict=True):
        checkers.append(draft.head(2, checker(f"order {slot}", slot, list(senders)), float(senders is core)))
        draft.edges(senders.values(), checkers[-1:], "v")
    draft.edges(checkers, [OUTPUT], "in")
    generalizing = [*others.values(), *checkers]
    return draft.world([*core.values(), *collectors], generalizing, [f"order {slot}" for slot in HYPOTHESIS_SLOTS])
