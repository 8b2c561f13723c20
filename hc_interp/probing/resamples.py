"""Scores of cross-fitted predictions on the data and on resamples of its sources, the same ones for every score.

A score is an array of `1 + RESAMPLES` numbers: on all data first, then on each resample. Differences of such arrays are
paired, so that a difference of two scores has an interval of its own.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from hc_interp.analysis.resampling import bootstrap_counts, bounds, weighted_sums
from hc_interp.analysis.samples import check_level, generator
from hc_interp.analysis.statistics import Interval

RESAMPLES = 1000
TOGETHER = 128  # resamples at once: what they need of one fold stays in the cache

Score = Float[np.ndarray, " draw"]


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each source is drawn: once in row 0, by the bootstrap in all others."""

    weights: Int[np.ndarray, "draw source"]
    source: Int[np.ndarray, " place"]
    level: float

    @classmethod
    def of(cls, source: Int[np.ndarray, " place"], *, level: float, seed: int) -> Self:
        check_level(level)
        counts = bootstrap_counts(int(source.max()) + 1, RESAMPLES, generator(seed))
        return cls(np.concatenate([np.ones_like(counts[:1]), counts]), source, level)

    def ratio(self, above: Float[np.ndarray, " place"], below: Float[np.ndarray, " place"]) -> Score:
        """`sum above / sum below`."""
        sums = np.stack([np.bincount(self.source, weights=part) for part in (above, below)], axis=1)
        top, bottom = weighted_sums(self.weights, sums).T
        return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)

    def mean(self, values: Float[np.ndarray, " place"] | Bool[np.ndarray, " place"]) -> Score:
        return self.ratio(np.asarray(values, dtype=float), np.ones(len(values)))

    def auc(
        self, score: Float[np.ndarray, " place"], positive: Bool[np.ndarray, " place"], folds: Int[np.ndarray, " place"]
    ) -> Score:
        """Area under the ROC curve of scores compared within folds, ties half; NaN if no fold holds both classes.

        Only places of one fold are compared: scores of different probes have different offsets, which push a pooled
        AUC below 0.5 where there is no signal.
        """
        right, pairs = np.zeros(len(self.weights)), np.zeros(len(self.weights))
        for number in np.unique(folds):
            above, below = (np.flatnonzero((folds == number) & side) for side in (positive, ~positive))
            if len(above) and len(below):
                below = below[np.argsort(score[below], kind="stable")]
                under, up_to = (np.searchsorted(score[below], score[above], side) for side in ("left", "right"))
                ties = bool((under != up_to).any())
                for block, drawn in zip(self._blocks, self._drawn, strict=True):
                    lower = np.zeros((len(below) + 1, drawn.shape[1]), dtype=np.float32)
                    np.cumsum(drawn[self.source[below]], axis=0, out=lower[1:])
                    beaten = (lower[under] + lower[up_to]) / 2 if ties else lower[under]
                    upper = drawn[self.source[above]]
                    right[block] += (beaten * upper).sum(axis=0, dtype=float)
                    pairs[block] += upper.sum(axis=0, dtype=float) * lower[-1]
        return np.divide(right, pairs, out=np.full(len(right), np.nan), where=pairs > 0)

    @cached_property
    def _blocks(self) -> list[slice]:
        return [slice(i, min(i + TOGETHER, len(self.weights))) for i in range(0, len(self.weights), TOGETHER)]

    @cached_property
    def _drawn(self) -> list[Float32[np.ndarray, "source draw"]]:
        """The weights, sources first: whole rows are gathered. Counts are exact in float32."""
        return [np.ascontiguousarray(self.weights[block].T, dtype=np.float32) for block in self._blocks]

    def interval(self, score: Score) -> Interval:
        """The score on all data between the percentiles of the resamples that define it.

        A score that no resample changes (an accuracy or AUC of exactly 1) gets a point, which is too narrow.
        """
        draws = score[1:][~np.isnan(score[1:])]
        if len(draws) == 0 or self.weights.shape[1] < 2 or np.isnan(score[0]):
            return Interval(float(score[0]), float("nan"), float("nan"), len(self.source))
        low, high = bounds(draws[:, None], score[:1], None, self.level)[:, 0]
        return Interval(float(score[0]), float(low), float(high), len(self.source))
