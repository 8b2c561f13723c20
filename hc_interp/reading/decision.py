"""The decision rule of the reads-from test, as a pure function of its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hc_interp.statistics.tests import RUN_TIE, holm

Answer = Literal["reads_from", "does_not_read_from", "inconclusive"]

# Every reason that a verdict can give, and what it means.
REASONS = {
    "shown": "significant, above the size controls, and the whole interval above the margin",
    "equivalent": "the whole interval inside the margin",
    "no generalizing heads": "there is no generalizing head to test",
    "no core upstream": "no core head stands upstream of a generalizing head, so nothing could be read",
    "too few pairs": "the pairs come from too few sources for an interval",
    "uninformative": "the pairs hardly change the core heads, or the generalizing heads hardly change the metric",
    "resolution": "too few labellings of the core exist (or were drawn) for the test to reach significance",
    "ablation": "necessity has opposite signs under different ablation sources",
    "undefined": "the generalizing heads' node effect is not distinguishable from 0, so no share of it is defined",
    "size": "the effect is not above the 95th percentile of sets of other heads of the core's size",
    "no size controls": (
        "some layer has fewer other heads than core heads, so no set of like-sized heads could be compared; a smaller "
        "core (higher share or sparsity, more seeds) leaves more"
    ),
    "significance": "the effect is not significantly larger than that of relabelled cores",
    "margin": "the interval is neither above the margin nor inside it",
}


@dataclass(frozen=True)
class Evidence:
    """One kind of pairs in numbers: the statistic and its interval on route "all", its p, its controls.

    `size_limit` is NaN if no set of like-sized heads exists. `why` says why the kind is not informative ("" if it is).
    `necessity` holds one interval per ablation source.
    """

    kind: str
    why: str
    statistic: float
    low: float
    high: float
    p: float
    n_labellings: int
    size_limit: float
    necessity: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Decision:
    """An answer, its reason (a key of `REASONS`), the kinds that it rests on, and p after Holm by kind."""

    answer: Answer
    reason: str
    kinds: tuple[str, ...] = ()
    p_holm: dict[str, float] = field(default_factory=dict)


def decide(evidence: Sequence[Evidence], *, margin: float, alpha: float) -> Decision:
    """Answer from the evidence of all kinds of pairs.

    In this order: no informative kind -> inconclusive ("too few pairs" if that is so for all, else "uninformative");
    fewer than `1 / alpha` labellings -> "resolution"; opposite signs of necessity within an informative kind
    (`signs_disagree`) -> "ablation"; any informative kind with Holm p <= alpha, T > size limit and low > margin ->
    reads_from; every informative kind with -margin < low and high < margin -> does_not_read_from; else inconclusive.
    NaN meets no condition: without size controls the answer cannot be reads_from ("no size controls").
    """
    told = [item for item in evidence if not item.why]
    if not told:
        few = bool(evidence) and all(item.why == "too few pairs" for item in evidence)
        return Decision("inconclusive", "too few pairs" if few else "uninformative")
    adjusted = holm(np.array([item.p for item in told]))
    p_holm = {item.kind: float(p) for item, p in zip(told, adjusted, strict=True)}
    if any(item.n_labellings * alpha < 1 - 1e-9 for item in told):
        return Decision("inconclusive", "resolution", (), p_holm)
    if any(signs_disagree(item.necessity, margin) for item in told):
        return Decision("inconclusive", "ablation", (), p_holm)
    shown = tuple(i.kind for i in told if is_significant(p_holm[i.kind], alpha) and _sizable(i) and i.low > margin)
    if shown:
        return Decision("reads_from", "shown", shown, p_holm)
    if all(-margin < item.low and item.high < margin for item in told):
        return Decision("does_not_read_from", "equivalent", tuple(item.kind for item in told), p_holm)
    return Decision("inconclusive", _missing(told, p_holm, margin, alpha), (), p_holm)


def is_significant(p: float, alpha: float) -> bool:
    return p <= alpha + 1e-12


def signs_disagree(intervals: Sequence[tuple[float, float]], margin: float) -> bool:
    """Whether one interval is positive and another negative; one that contains 0 or is inside the margin is neither."""
    positive = any(low > 0 and high >= margin for low, high in intervals)
    return positive and any(high < 0 and low <= -margin for low, high in intervals)


def _sizable(item: Evidence) -> bool:
    """Above the size controls by more than the rounding of model runs."""
    slack = RUN_TIE * max(abs(item.statistic), abs(item.size_limit))
    return item.statistic > item.size_limit + slack


def _missing(told: Sequence[Evidence], p_holm: dict[str, float], margin: float, alpha: float) -> str:
    """What kept the kind that came nearest from showing it."""
    above = [item for item in told if item.low > margin]
    significant = [item for item in above if is_significant(p_holm[item.kind], alpha)]
    if significant:
        return "no size controls" if all(np.isnan(item.size_limit) for item in significant) else "size"
    if above:
        # The smallest p that these labellings can give was reached and did not suffice: several kinds share alpha.
        lowest = any(item.p * item.n_labellings <= 1 + 1e-9 for item in above)
        return "resolution" if lowest else "significance"
    return "undefined" if any(np.isnan(item.statistic) for item in told) else "margin"
