"""The exchangeable world, the null of the test: core and decoys alike write weakly into generalizing heads."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import N_HEADS, N_MATCHERS, Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.world import World


def exchangeable(seed: int = 0, noise: float = 0.0, leak: float = 0.1) -> World:
    """A world in which no head of layer 0 is anything special to the generalizing heads.

    All ten heads of layer 0 are matchers, and three of them, drawn at random, are the core: the collectors read these
    alone. The generalizing heads are two matchers of layer 1, which work on their own, and the two checkers of layer 2
    that read them. Each checker also reads every head of layer 0 with a weight of its own, drawn from a normal
    distribution of size `leak` (relative to all that it reads from its own matchers): edges that are as strong for core
    as for other heads. So labels of the core are exchangeable in layer 0, and its share is anything around 0.
    """
    draft = Draft("exchangeable", seed, noise, leak=leak)
    core = draft.matchers("core ")
    collectors = draft.heuristic(core)
    others = draft.matchers("other ", n=N_HEADS - N_MATCHERS)
    own = draft.matchers("own ", layer=1, n=2)
    checkers = []
    for slot in HYPOTHESIS_SLOTS:
        weak = {name: leak * float(draft.rng.standard_normal()) for name in (*core, *others)}
        checkers.append(draft.head(2, checker(f"order {slot}", slot, list(own), weak)))
    draft.edges(own.values(), checkers, "v")
    if leak:
        draft.edges([*core.values(), *others.values()], checkers, "v")
    draft.edges(checkers, [OUTPUT], "in")
    generalizing = [*own.values(), *checkers]
    return draft.world([*core.values(), *collectors], generalizing, [f"order {slot}" for slot in HYPOTHESIS_SLOTS])
