"""The competing subnetworks world: a heuristic circuit and a generalizing circuit that share no head."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import CORE, Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.world import World


def competing_subnetworks(seed: int = 0, noise: float = 0.0, live_decoys: int | None = 0) -> World:
    """A world in which the generalizing heads of layer 2 read from other heads than the core.

    The model gives the same answers as the heuristic core world. Three heads of layer 0 outside the core find the nouns
    of the hypothesis in the premise, as the three core heads of layer 0 do. The two generalizing heads of layer 2 read
    from these three alone. The three also carry the check of word order, so they count as generalizing heads
    (as relays, since no core head is upstream of layer 0). `seed`, `noise` and `live_decoys` are those of
    `heuristic_core`.
    """
    draft = Draft("competing subnetworks", seed, noise, live_decoys)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    others = draft.matchers("other ")
    checkers = [draft.head(2, checker(f"order {slot}", slot, list(others))) for slot in HYPOTHESIS_SLOTS]
    draft.edges(others.values(), checkers, "v")
    draft.edges(checkers, [OUTPUT], "in")
    generalizing = [*others.values(), *checkers]
    return draft.world([*core.values(), *collectors], generalizing, [f"order {slot}" for slot in HYPOTHESIS_SLOTS])
