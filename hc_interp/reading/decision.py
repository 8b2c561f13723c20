"""The decision rule of the reads-from test: a pure function from the numbers of each kind of pairs to an answer.

T is the effect of patching all core heads into all generalizing heads, as a share of the effect of setting the
generalizing heads' `z` to their corrupt values (`hc.reads_from` defines it).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hc_interp.statistics.tests import RUN_TIE, holm

Answer = Literal["reads_from", "does_not_read_from", "inconclusive"]

# Each reason that a decision or a verdict can give, in words.
REASONS = {
    "shown": "significant, above the size controls, and the whole interval above the margin",
    "equivalent": "the whole interval inside the margin",
    "no generalizing heads": "there is no generalizing head to test",
    "no core upstream": "no core head is upstream of a generalizing head, so nothing could be read",
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
    """The numbers of one kind of pairs that decide: T on route "all" (`statistic`, `low`, `high`), p and the controls.

    `why` says why the kind is uninformative; it is "" for an informative kind. `n_labellings` counts the labellings of
    the core that p was taken over, the observed one included. `size_limit` is the value that T must exceed, the 95th
    percentile of the size controls; it is NaN where no set of like-sized heads exists. `necessity` holds an interval
    (low, high) for each ablation source.
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
    """An answer, its reason (a key of `REASONS`), the kinds of pairs that support it, and Holm-adjusted p by kind."""

    answer: Answer
    reason: str
    kinds: tuple[str, ...] = ()
    p_holm: dict[str, float] = field(default_factory=dict)


def decide(evidence: Sequence[Evidence], *, margin: float, alpha: float) -> Decision:
    """Answer from the evidence of all kinds of pairs. The first rule that applies decides:

    1. No kind is informative: inconclusive, "too few pairs" if all kinds have too few, else "uninformative".
    2. An informative kind has fewer than `1 / alpha` labellings: inconclusive, "resolution".
    3. The necessity intervals of an informative kind have opposite signs (`signs_disagree`): inconclusive, "ablation".
    4. An informative kind has Holm p <= alpha, T > size limit and low > margin: reads_from, on all kinds that do.
    5. All informative kinds have -margin < low and high < margin: does_not_read_from.
    6. Anything else: inconclusive, with the condition that was missed as the reason.

    NaN meets no condition. Without size controls the answer is therefore never reads_from ("no size controls"). Holm's
    correction is over the informative kinds.
    """
    informative = [item for item in evidence if not item.why]
    if not informative:
        few = bool(evidence) and all(item.why == "too few pairs" for item in evidence)
        return Decision("inconclusive", "too few pairs" if few else "uninformative")
    adjusted = holm(np.array([item.p for item in informative]))
    p_holm = {item.kind: float(p) for item, p in zip(informative, adjusted, strict=True)}
    if any(item.n_labellings * alpha < 1 - 1e-9 for item in informative):
        return Decision("inconclusive", "resolution", (), p_holm)
    if any(signs_disagree(item.necessity, margin) for item in informative):
        return Decision("inconclusive", "ablation", (), p_holm)
    shown = tuple(
        item.kind
        for item in informative
        if is_significant(p_holm[item.kind], alpha) and _above_size_controls(item) and item.low > margin
    )
    if shown:
        return Decision("reads_from", "shown", shown, p_holm)
    if all(-margin < item.low and item.high < margin for item in informative):
        return Decision("does_not_read_from", "equivalent", tuple(item.kind for item in informative), p_holm)
    return Decision("inconclusive", _missed_condition(informative, p_holm, margin, alpha), (), p_holm)


def is_significant(p: float, alpha: float) -> bool:
    return p <= alpha + 1e-12


def signs_disagree(intervals: Sequence[tuple[float, float]], margin: float) -> bool:
    """Whether one interval is positive and another is negative.

    An interval that contains 0, or that lies inside the margin as a whole, has no sign.
    """
    positive = any(low > 0 and high >= margin for low, high in intervals)
    return positive and any(high < 0 and low <= -margin for low, high in intervals)


def _above_size_controls(item: Evidence) -> bool:
    """Whether T exceeds the size limit by more than the rounding of model runs."""
    slack = RUN_TIE * max(abs(item.statistic), abs(item.size_limit))
    return item.statistic > item.size_limit + slack


def _missed_condition(informative: Sequence[Evidence], p_holm: dict[str, float], margin: float, alpha: float) -> str:
    """The first condition (margin, then p, then size controls) that fails in every kind that met the ones before."""
    above = [item for item in informative if item.low > margin]
    significant = [item for item in above if is_significant(p_holm[item.kind], alpha)]
    if significant:
        return "no size controls" if all(np.isnan(item.size_limit) for item in significant) else "size"
    if above:
        # With several kinds Holm's correction can turn even the smallest p of these labellings into one above alpha.
        smallest_p = any(item.p * item.n_labellings <= 1 + 1e-9 for item in above)
        return "resolution" if smallest_p else "significance"
    return "undefined" if any(np.isnan(item.statistic) for item in informative) else "margin"
