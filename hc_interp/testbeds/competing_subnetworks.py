"""The competing subnetworks world: a heuristic and a generalizing circuit side by side, which share nothing."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.world import World


def competing_subnetworks(seed: int = 0, noise: float = 0.0) -> World:
    """A world in which the generalizing heads read from matchers of their own, never from the core.

    It answers as the heuristic core world does. Three more heads of layer 0, outside the core, look the nouns up as
    the core's do; the two generalizing heads of layer 2 read these. They stand in layer 0 and carry the check of word
    order, so they count as generalizing: with no core head upstream, as relays.
    """
    draft = Draft("competing subnetworks", seed, noise)
    core = draft.matchers("core ")
    collectors = draft.heuristic(core)
    others = draft.matchers("other ")
    checkers = [draft.head(2, checker(f"order {slot}", slot, list(others))) for slot in HYPOTHESIS_SLOTS]
    draft.edges(others.values(), checkers, "v")
    draft.edges(checkers, [OUTPUT], "in")
    generalizing = [*others.values(), *checkers]
    return draft.world([*core.values(), *collectors], generalizing, [f"order {slot}" for slot in HYPOTHESIS_SLOTS])
