"""The answer carriers world: the heads named generalizing pass on an answer that other heads computed."""

from hc_interp.components import OUTPUT
from hc_interp.errors import HCError
from hc_interp.testbeds.draft import CHECKER_VALUES, CORE, FOUND, Draft
from hc_interp.testbeds.parts import CHECKER_ANSWERS, HYPOTHESIS_SLOTS, attend_to, checker
from hc_interp.testbeds.wiring import HeadPlan
from hc_interp.testbeds.world import World

N_CARRIERS = 2


def answer_carriers(seed: int = 0, noise: float = 0.0, carried: float = 0.7) -> World:
    """A world whose generalizing heads carry the answer, order and overlap alike, and compute nothing.

    The core are three heads of layer 0, which find the nouns, and two collectors of layer 1. Two checkers of layer 1,
    which are neither core nor named generalizing, read from the core whether the nouns are in order. The two heads of
    layer 2 that are named generalizing move what collectors and checkers wrote. The answer reads the share `carried`
    from them, and the rest from layer 1 itself. The core's whole effect on the carriers is what they do, and other
    heads of layer 2 lack it. But without the carriers the effects of order and of overlap shrink by the same factor.
    `seed` and `noise` are those of `heuristic_core`. Raises `HCError` for `carried` outside 0 to 1.
    """
    if not 0 < carried < 1:
        raise HCError(f"carried={carried!r} was given. Expected a share between 0 and 1.")
    draft = Draft("answer carriers", seed, noise, live_decoys=0, carried=carried)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core, layer=1)
    checkers = [draft.head(1, checker(f"order {slot}", slot, list(core)), 1.0) for slot in HYPOTHESIS_SLOTS]
    answer = {f"found {slot}": FOUND for slot in HYPOTHESIS_SLOTS}
    answer |= {f"order {slot}: {word}": v for slot in HYPOTHESIS_SLOTS for word, v in CHECKER_VALUES.items()}
    passed = [*answer, *(f"order {slot}: {word}" for slot in HYPOTHESIS_SLOTS for word in CHECKER_ANSWERS)]
    carriers = [draft.head(2, carrier(f"carrier {i}", list(dict.fromkeys(passed))), 1.0) for i in range(N_CARRIERS)]
    for name, value in answer.items():
        draft.answer[name] = (1 - carried) * value
        draft.answer |= {f"carrier {i} {name}": carried * value / N_CARRIERS for i in range(N_CARRIERS)}
    draft.edges(core.values(), checkers, "v")
    draft.edges(checkers, carriers, "v")
    draft.edges(collectors, carriers, "v", kinds=("overlap",))
    draft.edges([*checkers, *carriers], [OUTPUT], "in")
    return draft.world([*core.values(), *collectors], carriers, premises={"heads_generalize": "fails"})


def carrier(name: str, features: list[str]) -> HeadPlan:
    """A head that moves these features to every position: two signs, and one of several answers for each slot."""
    moves = tuple(({feature: 1.0}, {f"{name} {feature}": 1.0}) for feature in features)
    return HeadPlan(attend_to("end"), moves, energy=2.0 * len(HYPOTHESIS_SLOTS))
