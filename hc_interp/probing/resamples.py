"""Scores of cross-fitted predictions on the data and on resamples of its sources, the same ones for every score.

A score is an array of `1 + RESAMPLES` numbers: on all data first, then on each resample. Differences of such arrays are
paired, so that a difference of two scores has an interval of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

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
        step = max(1, BLOCK // len(score))
        blocks = [self.weights[start : start + step] for start in range(0, len(self.weights), step)]
        return np.concatenate([_auc(score, positive, folds, block[:, self.source]) for block in blocks])

    def interval(self, score: Score) -> Interval:
        """The score on all data between the percentiles of the resamples that define it.

        A score that no resample changes (an accuracy or AUC of exactly 1) gets a point, which is too narrow.
        """
        draws = score[1:][~np.isnan(score[1:])]
        if len(draws) == 0 or self.weights.shape[1] < 2 or np.isnan(score[0]):
            return Interval(float(score[0]), float("nan"), float("nan"), len(self.source))
        low, high = bounds(draws[:, None], score[:1], None, self.level)[:, 0]
        return Interval(float(score[0]), float(low), float(high), len(self.source))


def _auc(
    score: np.ndarray, positive: np.ndarray, folds: np.ndarray, weights: Shaped[np.ndarray, "draw place"]
) -> Score:
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for above, below in _by_rank(score, positive, folds, weights):
        right += (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
        pairs += above.sum(axis=1) * below.sum(axis=1)
    return np.divide(right, pairs, out=np.full(len(right), np.nan), where=pairs > 0)


def _by_rank(
    score: np.ndarray, positive: np.ndarray, folds: np.ndarray, weights: np.ndarray
) -> Iterator[tuple[Float[np.ndarray, "draw rank"], Float[np.ndarray, "draw rank"]]]:
    """For each fold the weight of positives and of negatives at each distinct score, lowest first."""
    for number in np.unique(folds):
        places = np.flatnonzero(folds == number)
        places = places[np.argsort(score[places], kind="stable")]
        starts = np.flatnonzero(np.diff(score[places], prepend=-np.inf) > 0)
        drawn = weights[:, places].astype(float)
        above = np.add.reduceat(drawn * positive[places], starts, axis=1)
        yield above, np.add.reduceat(drawn, starts, axis=1) - above
