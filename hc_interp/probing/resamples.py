"""Scores of cross-fitted predictions on the data and on resamples of its sources, the same ones for every score.

A score is an array of `1 + RESAMPLES` numbers: on all data first, then on each resample. Differences of such arrays are
paired, so that a difference of two scores has an interval of its own.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

from hc_interp.analysis.resampling import BLOCK, bootstrap_counts, bounds, weighted_sums
from hc_interp.analysis.samples import check_level, generator
from hc_interp.analysis.statistics import Interval

RESAMPLES = 1000

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
                upper, lower, wins = _wins(score, above, below, self.source)
                drawn_upper, drawn_lower = (self.weights[:, s].astype(float) for s in (upper, lower))
                right += ((drawn_upper @ wins) * drawn_lower).sum(axis=1)
                counts = [np.unique(self.source[side], return_counts=True)[1] for side in (above, below)]
                pairs += (drawn_upper @ counts[0]) * (drawn_lower @ counts[1])
        return np.divide(right, pairs, out=np.full(len(right), np.nan), where=pairs > 0)

    def interval(self, score: Score) -> Interval:
        """The score on all data between the percentiles of the resamples that define it.

        A score that no resample changes (an accuracy or AUC of exactly 1) gets a point, which is too narrow.
        """
        draws = score[1:][~np.isnan(score[1:])]
        if len(draws) == 0 or self.weights.shape[1] < 2 or np.isnan(score[0]):
            return Interval(float(score[0]), float("nan"), float("nan"), len(self.source))
        low, high = bounds(draws[:, None], score[:1], None, self.level)[:, 0]
        return Interval(float(score[0]), float(low), float(high), len(self.source))


def _wins(
    score: Float[np.ndarray, " place"],
    above: Int[np.ndarray, " positive"],
    below: Int[np.ndarray, " negative"],
    source: Int[np.ndarray, " place"],
) -> tuple[Int[np.ndarray, " upper"], Int[np.ndarray, " lower"], Float[np.ndarray, "upper lower"]]:
    """How often the positives of one source score above the negatives of another; ties count half.

    A resample weighs all pairs of two sources alike, so this table is all that any resample needs.
    """
    above, below = (side[np.argsort(source[side], kind="stable")] for side in (above, below))
    upper, row = np.unique(source[above], return_inverse=True)
    lower, starts = np.unique(source[below], return_index=True)
    wins = np.zeros((len(upper), len(lower)))
    step = max(1, BLOCK // len(below))
    for first in range(0, len(above), step):
        part = slice(first, first + step)
        left, right = score[above[part], None], score[below][None]
        won = (left > right) + 0.5 * (left == right)
        np.add.at(wins, row[part], np.add.reduceat(won, starts, axis=1))
    return upper, lower, wins
