"""The exchangeable world, a null hypothesis: generalizing heads read as weakly from the core as from other heads."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import CORE, N_HEADS, N_MATCHERS, Draft
from hc_interp.testbeds.language import LENGTH
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.world import World


def exchangeable(seed: int = 0, noise: float = 0.0, leak: float = 0.1, live_decoys: int | None = 0) -> World:
    """A world in which the generalizing heads do not distinguish the core from the other heads of layer 0.

    All ten heads of layer 0 are matchers, which find the nouns of the hypothesis in the premise. Three of them, drawn
    at random, are the core: the heuristic reads from these alone. The generalizing heads are two matchers of layer 1
    and the two checkers of layer 2 that read from them. Each checker also reads from every head of layer 0, by weights
    drawn from a normal distribution with standard deviation `leak` (relative to its total weight on the matchers of
    layer 1). The label "core" is therefore exchangeable within layer 0, and the core's share of the effect is
    distributed around 0. `seed`, `noise` and `live_decoys` are those of
    `heuristic_core`.
    """
    draft = Draft("exchangeable", seed, noise, live_decoys, leak=leak)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    others = draft.matchers("other ", n=N_HEADS - N_MATCHERS)
    late = draft.matchers("own ", layer=1, n=2)
    checkers = []
    for slot in HYPOTHESIS_SLOTS:
        weak = {name: leak * float(draft.rng.standard_normal()) for name in (*core, *others)}
        total = 1 + sum(weak.values())
        response = sum(weak[name] for name in core) / total
        plan = checker(f"order {slot}", slot, list(late), weak)
        checkers.append(draft.head(2, plan, response, extent=LENGTH * total**2))
    draft.edges(late.values(), checkers, "v")
    if leak:
        draft.edges([*core.values(), *others.values()], checkers, "v")
    draft.edges(checkers, [OUTPUT], "in")
    generalizing = [*late.values(), *checkers]
    return draft.world([*core.values(), *collectors], generalizing, [f"order {slot}" for slot in HYPOTHESIS_SLOTS])
