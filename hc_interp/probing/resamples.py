"""`Resamples`: scores of out-of-fold predictions on all data and on bootstrap resamples of the sources.

A score is an array of `1 + RESAMPLES` numbers: on all data, then on each resample. All scores of a probe are taken on
the same resamples, so that the difference of two such arrays gives the interval of a paired difference.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Num, UInt16
from scipy.sparse import csr_array

from hc_interp.statistics.resampling import bootstrap_counts, bounds, weighted_sums
from hc_interp.statistics.samples import check_level, generator
from hc_interp.statistics.tests import Interval

RESAMPLES = 1000
TOGETHER = 64  # resamples that are scored together: so many fit in the cache with one fold
STRIDE = 64  # rows of one part of a running sum

ScoreDraws = Float[np.ndarray, " draw"]  # one score, on all data and on each resample


@dataclass(frozen=True, eq=False)
class Resamples:
    """`weights` are how often each resample draws each source. Row 0 is all data: each source once."""

    weights: UInt16[np.ndarray, "draw source"]
    source: Int[np.ndarray, " place"]
    level: float

    @classmethod
    def of(cls, source: Int[np.ndarray, " place"], *, level: float, seed: int) -> Self:
        """Draw resamples of the sources, which `source` names for each place. `level` is that of intervals."""
        check_level(level)
        counts = bootstrap_counts(int(source.max()) + 1, RESAMPLES, generator(seed))
        return cls(np.concatenate([np.ones_like(counts[:1]), counts]), source, level)

    def ratio(self, above: Float[np.ndarray, " place"], below: Float[np.ndarray, " place"]) -> ScoreDraws:
        """`sum above / sum below` over places; NaN if the denominator is not positive."""
        sums = np.stack([np.bincount(self.source, weights=part) for part in (above, below)], axis=1)
        top, bottom = weighted_sums(self.weights, sums).T
        return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)

    def mean(self, values: Num[np.ndarray, " place"] | Bool[np.ndarray, " place"]) -> ScoreDraws:
        """The mean over places."""
        return self.ratio(np.asarray(values, dtype=float), np.ones(len(values)))

    def auc(
        self, score: Float[np.ndarray, " place"], positive: Bool[np.ndarray, " place"], folds: Int[np.ndarray, " place"]
    ) -> ScoreDraws:
        """Area under the ROC curve within folds, where a tie counts half; NaN if no fold holds both classes.

        Only places of the same fold are compared. Each fold has a probe of its own, with an offset of its own, and such
        offsets push an AUC over all folds below 0.5 if there is no signal.
        """
        right, pairs = np.zeros(len(self.weights)), np.zeros(len(self.weights))
        for number in np.unique(folds):
            here = folds == number
            sources, unit = np.unique(self.source[here], return_inverse=True)
            beaten, below = _beaten(score[here], positive[here], unit)
            above = np.bincount(unit[positive[here]], minlength=len(sources)).astype(np.float32)
            for block, drawn in zip(self._blocks, self._drawn, strict=True):
                weights = drawn[sources]
                lower = running_sums(weights, below)
                right[block] += np.einsum("sd,sd->d", beaten @ lower, weights, dtype=float)
                pairs[block] += (above @ weights).astype(float) * lower[-1]
        return np.divide(right, pairs, out=np.full(len(right), np.nan), where=pairs > 0)

    @cached_property
    def _blocks(self) -> list[slice]:
        return [slice(i, min(i + TOGETHER, len(self.weights))) for i in range(0, len(self.weights), TOGETHER)]

    @cached_property
    def _drawn(self) -> list[Float32[np.ndarray, "source draw"]]:
        """The weights with an axis of sources first, in float32, in which counts are exact."""
        return [np.ascontiguousarray(self.weights[block].T, dtype=np.float32) for block in self._blocks]

    def interval(self, score: ScoreDraws) -> Interval:
        """The score on all data, and percentiles of the resamples as its interval. Resamples of score NaN are left out.

        A score that is the same in all resamples (an accuracy or AUC of exactly 1) has an interval of width 0, which is
        too narrow.
        """
        draws = score[1:][~np.isnan(score[1:])]
        if len(draws) == 0 or self.weights.shape[1] < 2 or np.isnan(score[0]):
            return Interval(float(score[0]), float("nan"), float("nan"), len(self.source))
        low, high = bounds(draws[:, None], score[:1], self.level)[:, 0]
        return Interval(float(score[0]), float(low), float(high), len(self.source))


def _beaten(
    score: Float[np.ndarray, " place"], positive: Bool[np.ndarray, " place"], unit: Int[np.ndarray, " place"]
) -> tuple[csr_array, Int[np.ndarray, " negative"]]:
    """For each unit, the number of its positives that have exactly `n_below` negatives below them: `[unit, n_below]`.

    A tie counts half below and half above. Also returns the units of the negatives, from the lowest score up.
    """
    above, below = np.flatnonzero(positive), np.flatnonzero(~positive)
    below = below[np.argsort(score[below], kind="stable")]
    ranks = np.concatenate([np.searchsorted(score[below], score[above], side) for side in ("left", "right")])
    halves = np.full(len(ranks), 0.5, dtype=np.float32)
    shape = (int(unit.max()) + 1, len(below) + 1)
    return csr_array((halves, (np.tile(unit[above], 2), ranks)), shape=shape), unit[below]


def running_sums(
    rows: Float32[np.ndarray, "row draw"], order: Int[np.ndarray, " n"]
) -> Float32[np.ndarray, "n_and_1 draw"]:
    """Sums of the first 0, 1, ..., n of `rows[order]`.

    This is faster than numpy's `cumsum` along the first axis, which adds single numbers: here rows are split into parts
    of `STRIDE`, and each step adds one row to the sum of every part.
    """
    n = len(order) + 1
    sums = np.zeros((-(-n // STRIDE) * STRIDE, rows.shape[1]), dtype=np.float32)
    np.take(rows, order, axis=0, out=sums[1:n], mode="clip")  # any other mode makes a copy first
    strides = sums.reshape(-1, STRIDE, rows.shape[1])
    for step in range(1, STRIDE):
        strides[:, step] += strides[:, step - 1]
    strides[1:] += np.cumsum(strides[:-1, -1], axis=0)[:, None]
    return sums[:n]
