"""The null world: the heuristic alone, which nothing corrects."""

from hc_interp.testbeds.draft import Draft
from hc_interp.testbeds.world import World


def null(seed: int = 0, noise: float = 0.0) -> World:
    """A world without generalization: the heuristic core world without its generalizing heads.

    It answers "entailment" on every swap, so it is at the floor of that case and order pairs change nothing. There is
    nothing that a test could be about.
    """
    draft = Draft("null", seed, noise)
    core = draft.matchers("core ")
    return draft.world([*core.values(), *draft.heuristic(core)], [])
