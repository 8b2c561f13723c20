"""The moved threshold world: ablation by means shifts the answer, and what is told apart stays as it is."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import BIAS, CORE, Draft
from hc_interp.testbeds.language import POSITION_NAMES
from hc_interp.testbeds.parts import HARD_GAP, HYPOTHESIS_SLOTS, at, checker
from hc_interp.testbeds.wiring import ONE, HeadPlan
from hc_interp.testbeds.world import World


def moved_threshold(seed: int = 0, noise: float = 0.0, shift: float = 2.0) -> World:
    """The heuristic core world with an answer that also reads a constant, which a mean over positions does not keep.

    A head of layer 1, neither core nor generalizing, writes +1 at the first position, where the answer is read, and -1
    at all others; its mean over positions is -.8. The answer reads `shift` times this, less `shift`: nothing, in the
    full model. With the head at its mean, the answer is lower by 1.8 times `shift` on every text: the core alone says
    "non-entailment" throughout. All premises hold, since they compare texts under one ablation. `seed` and `noise` are
    those of `heuristic_core`.
    """
    draft = Draft("moved threshold", seed, noise, live_decoys=0, shift=shift)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    checkers = [draft.head(2, checker(f"order {slot}", slot, list(core)), 1.0) for slot in HYPOTHESIS_SLOTS]
    draft.edges(core.values(), checkers, "v")
    draft.edges(checkers, [OUTPUT], "in")
    draft.head(1, first_position("first"), kinds=())
    draft.answer |= {"first": shift, ONE: BIAS - shift}
    return draft.world([*core.values(), *collectors], checkers, [f"order {slot}" for slot in HYPOTHESIS_SLOTS])


def first_position(name: str) -> HeadPlan:
    """A head that writes +1 at the first position and -1 at all others."""
    elsewhere = {at(position): 1.0 for position in dict.fromkeys(POSITION_NAMES) if position != "start"}
    scores = (({at("start"): 1.0}, {at("start"): HARD_GAP}), (elsewhere, {at("end"): HARD_GAP}))
    return HeadPlan(scores, (({at("start"): 1.0, at("end"): -1.0}, {name: 1.0}),))
