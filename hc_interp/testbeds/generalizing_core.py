"""The generalizing core world: the heads named core check the word order themselves."""

from hc_interp.components import OUTPUT
from hc_interp.testbeds.draft import CHECKER_VALUES, CORE, Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker
from hc_interp.testbeds.world import World


def generalizing_core(seed: int = 0, noise: float = 0.0, own: float = 0.6) -> World:
    """A world whose core has the share `own` of the generalization.

    It is the heuristic core world with two more core heads in layer 1, which check the word order as the two
    generalizing heads of layer 2 do. The answer reads the share `own` of the word order from the former and the rest
    from the latter. `seed` and `noise` are those of `heuristic_core`.
    """
    draft = Draft("generalizing core", seed, noise, live_decoys=0, own=own)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    pairs = []
    for layer, share in ((1, own), (2, 1 - own)):
        names = [f"order {layer} {slot}" for slot in HYPOTHESIS_SLOTS]
        pairs.append(
            [
                draft.head(layer, checker(name, slot, list(core)), 1.0)
                for name, slot in zip(names, HYPOTHESIS_SLOTS, strict=True)
            ]
        )
        draft.answer |= {f"{name}: {word}": share * v for name in names for word, v in CHECKER_VALUES.items()}
        draft.edges(core.values(), pairs[-1], "v")
        draft.edges(pairs[-1], [OUTPUT], "in")
    return draft.world([*core.values(), *pairs[0], *collectors], pairs[1], premises={"core_is_heuristic": "fails"})
