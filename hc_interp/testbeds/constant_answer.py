"""The constant answer world: the model answers "entailment" whatever it reads."""

from hc_interp.testbeds.draft import CORE, Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.wiring import ONE
from hc_interp.testbeds.world import ALL_HOLD, World


def constant_answer(seed: int = 0, noise: float = 0.0) -> World:
    """The heuristic core world with an answer that reads no head.

    The heads named generalizing read from the core whether the nouns are in order, as in `heuristic_core`, but the
    logits are the same for all texts, also with noise. So no premise holds: every "entailment" is right and every
    "non-entailment" wrong, but nothing is told apart. `seed` and `noise` are those of `heuristic_core`.
    """
    draft = Draft("constant answer", seed, noise, live_decoys=0)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    checkers = [draft.head(2, checker(f"order {slot}", slot, list(core)), 1.0) for slot in HYPOTHESIS_SLOTS]
    draft.answer = {ONE: 2.0}
    draft.truth = []
    fails = dict.fromkeys(ALL_HOLD, "fails")
    return draft.world([*core.values(), *collectors], checkers, premises=fails)
