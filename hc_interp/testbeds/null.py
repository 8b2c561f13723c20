"""The null world: the heuristic alone, without generalization."""

from hc_interp.testbeds.draft import Draft
from hc_interp.testbeds.world import World


def null(seed: int = 0, noise: float = 0.0) -> World:
    """The heuristic core world without its generalizing heads.

    The model answers "entailment" on every example of the case "swap", and (without noise) the two sides of an
    order pair get the same logits: there is no effect to test. `seed` and `noise` are those of `heuristic_core`.
    """
    draft = Draft("null", seed, noise)
    core = draft.matchers("core ")
    return draft.world([*core.values(), *draft.heuristic(core)], [])
