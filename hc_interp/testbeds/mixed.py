"""The mixed world: one generalizing head reads from the core, the other from heads of its own."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.world import World


def mixed(seed: int = 0, noise: float = 0.0) -> World:
    """A world in which half of what the generalizing heads do comes from the core.

    The head that checks the subject's place reads from the core's three matchers, the head that checks the object's
    from three matchers outside it (which count as generalizing, with no core head upstream). The core as a whole is
    nothing special here, since other heads of its layer are read as much: what is asked of a test are the edges.
    """
    draft = Draft("mixed", seed, noise)
    core = draft.matchers("core ")
    collectors = draft.heuristic(core)
    others = draft.matchers("other ")
    checkers = []
    for slot, senders in zip(HYPOTHESIS_SLOTS, (core, others), strict=True):
        checkers.append(draft.head(2, checker(f"order {slot}", slot, list(senders))))
        draft.edges(senders.values(), checkers[-1:], "v")
    draft.edges(checkers, [OUTPUT], "in")
    generalizing = [*others.values(), *checkers]
    return draft.world([*core.values(), *collectors], generalizing, [f"order {slot}" for slot in HYPOTHESIS_SLOTS])
