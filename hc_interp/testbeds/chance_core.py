"""The chance core world: the heads named core are read by the generalizing heads, but know nothing in domain."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import CORE, Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.world import World


def chance_core(seed: int = 0, noise: float = 0.0) -> World:
    """A world whose core alone gives the same answer to every example.

    The heuristic is computed by three heads of layer 0 and two collectors of layer 2, of which none is named core. The
    core are three other heads of layer 0, which find the nouns as well. The generalizing heads of layer 2 read from
    the core alone whether the nouns are in order, and specifically so. But without other heads nothing of the core
    reaches the answer: in domain it is at chance. `seed` and `noise` are those of `heuristic_core`.
    """
    draft = Draft("chance core", seed, noise, live_decoys=0)
    core, others = draft.matchers(CORE), draft.matchers("other ")
    draft.heuristic(others, response=0.0)
    checkers = [draft.head(2, checker(f"order {slot}", slot, list(core)), 1.0) for slot in HYPOTHESIS_SLOTS]
    draft.edges(core.values(), checkers, "v")
    draft.edges(checkers, [OUTPUT], "in")
    orders = [f"order {slot}" for slot in HYPOTHESIS_SLOTS]
    return draft.world(core.values(), checkers, orders, {"core_is_heuristic": "fails"})
