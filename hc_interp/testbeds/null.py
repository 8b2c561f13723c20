"""The null world: the heuristic alone, without generalization."""

from hc_interp.testbeds.draft import CORE, Draft
from hc_interp.testbeds.world import World


def null(seed: int = 0, noise: float = 0.0, live_decoys: int | None = 0) -> World:
    """The heuristic core world without its generalizing heads.

    The model answers "entailment" on every example of the case "swap", and (without noise) the two sides of an
    order pair get the same logits: there is no effect to test. `seed`, `noise` and `live_decoys` are those of
    `heuristic_core`.
    """
    draft = Draft("null", seed, noise, live_decoys)
    core = draft.matchers(CORE)
    return draft.world(
        [*core.values(), *draft.heuristic(core)],
        [],
        premises={"model_generalizes": "fails", "heads_generalize": "fails"},
    )
