"""`Units`: intervals for rows that share words, by the variance of sources and of every unit that rows have in common.

A unit (source, verb, noun, ...) has levels, and a row may have several levels of a unit. Rows with a common level are
not independent: a conclusion about new verbs must count the verbs, not the pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.stats import t as student

from hc_interp.errors import DataError
from hc_interp.statistics.samples import as_denominator, as_rows, check_level
from hc_interp.statistics.tests import RUN_TIE, Interval

SOURCE = "source"  # the unit that every row has
MIN_LEVELS = 5  # a unit with fewer levels shows no variance between levels; conclusions hold for these levels only
STEP = 1e-6  # relative step of numerical derivatives


@dataclass(frozen=True, eq=False)
class Units:
    """Which rows share a level of which unit, for `n_rows` rows.

    `members[name]` is [row, level], for each unit that counts: where a row has a level, 1 / (1 - h), with h the share
    of the rows of its block that have this level. `with_source[name]` is [cell, row], with the same entries: the rows
    of one source that have one level. `left_out` are the units with fewer than five levels, by their number of levels:
    a conclusion holds for these levels alone.
    """

    n_rows: int
    members: dict[str, Any]  # scipy's csr_array
    with_source: dict[str, Any]
    left_out: dict[str, int]

    @classmethod
    def of(cls, units: Mapping[str, Sequence[Sequence[str]]], block_sizes: Sequence[int] | None = None) -> "Units":
        """From the levels of each row by unit, "source" among them, where each row has exactly one level.

        `block_sizes` are the numbers of rows of the blocks that follow one another (the examples of a case), in each of
        which the influences add up to 0; without it all rows are one block. Raises `DataError` for units without
        "source", for units of different lengths, and for blocks of another number of rows.
        """
        sizes = {name: len(rows) for name, rows in units.items()}
        if SOURCE not in units or len(set(sizes.values())) != 1 or any(len(row) != 1 for row in units[SOURCE]):
            raise DataError(
                f"Units were given as {sizes}. Expected the levels of each row for every unit, 'source' among them "
                "with one level a row."
            )
        n_rows = sizes[SOURCE]
        blocks = [n_rows] if block_sizes is None else list(block_sizes)
        if sum(blocks) != n_rows:
            raise DataError(f"block_sizes={blocks} was given for {n_rows} rows. Expected sizes that add up to it.")
        block_of = np.repeat(np.arange(len(blocks)), blocks)
        sources = pd.factorize(np.array([row[0] for row in units[SOURCE]], dtype=object))[0]
        members, with_source, left_out = {}, {}, {}
        for name, rows in units.items():
            row_of = np.repeat(np.arange(n_rows), [len(set(row)) for row in rows])
            levels = [level for row in rows for level in dict.fromkeys(row)]
            codes, names = pd.factorize(np.array(levels, dtype=object)) if levels else (np.empty(0, int), [])
            if len(names) < MIN_LEVELS and name != SOURCE:
                left_out[name] = len(names)
                continue
            weight = _without(block_of[row_of] * len(names) + codes, np.array(blocks)[block_of[row_of]])
            members[name] = csr_array((weight, (row_of, codes)), shape=(n_rows, len(names)))
            cells = pd.factorize(sources[row_of] * len(names) + codes)[0]
            n_cells = int(cells.max()) + 1 if len(cells) else 0
            with_source[name] = csr_array((weight, (cells, row_of)), shape=(n_cells, n_rows))
        return cls(n_rows, members, with_source, left_out)

    @property
    def levels(self) -> dict[str, int]:
        """The number of levels of each unit that counts."""
        return {name: matrix.shape[1] for name, matrix in self.members.items()}

    @property
    def degrees(self) -> int:
        """Degrees of freedom: the smallest number of levels of a unit that counts, less one."""
        return min(self.levels.values()) - 1

    def variance(self, influence: ArrayLike) -> Float[np.ndarray, " *columns"] | float:
        """The variance of a statistic from the influence of each row on it, [row] or [row, column].

        It is the sum of a part for sources and one for each further unit that counts:

            (G-1)/G sum over sources of (sum of influences)^2
            + sum over units of (G-1)/G max(0, sum over levels of (sum of influences)^2 - its expectation without a
              variance between levels)

        with G the number of levels, and each influence divided by 1 - h: the statistic without a level differs from the
        statistic by minus these sums, so that the parts are those of a jackknife over levels. Without the division a
        level that many rows have hides its own effect, since influences add up to 0. The expectation is the same sum
        over cells of one level and one source. (Without it rows of several levels would count once for each. A sum over
        all rows that share anything is up to twice as wide: experiments/unit_coverage.py.)
        """
        u = np.asarray(influence, dtype=float)
        if len(u) != self.n_rows:
            raise DataError(f"{len(u)} influences were given for {self.n_rows} rows. Expected one for each row.")
        total = np.zeros(u.shape[1:])
        for name, matrix in self.members.items():
            n_levels = matrix.shape[1]
            correction = (n_levels - 1) / n_levels if n_levels > 1 else np.nan
            squares = (matrix.T @ u) ** 2
            part = squares.sum(axis=0)
            if name != SOURCE:
                part = np.maximum(0, part - ((self.with_source[name] @ u) ** 2).sum(axis=0))
            total = total + correction * part
        return total if total.shape else float(total)

    def interval(self, value: ArrayLike, influence: ArrayLike, level: float = 0.95, more: ArrayLike = 0.0) -> Interval:
        """`value` with t bounds from the influences of rows on it. `more` is variance from elsewhere, added to theirs.

        The bounds are NaN with a single source.
        """
        check_level(level)
        values = np.asarray(value, dtype=float)
        half = self.quantile(level) * np.sqrt(np.asarray(self.variance(influence)) + np.asarray(more, dtype=float))
        low, high = values - half, values + half
        if values.shape:
            return Interval(values, low, high, self.n_rows)
        return Interval(float(values), float(low), float(high), self.n_rows)

    def quantile(self, level: float) -> float:
        """The half width of an interval in standard errors."""
        return float(student.ppf((1 + level) / 2, self.degrees)) if self.degrees > 0 else np.nan

    def p_above_zero(self, value: ArrayLike, influence: ArrayLike) -> Float[np.ndarray, " *columns"] | float:
        """One-sided p of the hypothesis that a statistic is at most 0, by the t distribution of its intervals.

        A value of 0, but for rounding in runs of models, has p = 1. p is NaN with a single source.
        """
        values, variance = np.asarray(value, dtype=float), np.asarray(self.variance(influence))
        if self.degrees < 1:
            return (values * np.nan)[()]
        with np.errstate(divide="ignore", invalid="ignore"):
            p = student.sf(values / np.sqrt(variance), self.degrees)
        return np.where(np.abs(values) <= RUN_TIE, 1.0, p)[()]

    def mean(self, values: ArrayLike, level: float = 0.95) -> Interval:
        """The mean over rows of `values`, [row] or [row, column]."""
        rows = as_rows(values, "values")
        mean = rows.mean(axis=0)
        return self.interval(mean, (rows - mean) / len(rows), level)

    def ratio(self, numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Interval:
        """`sum numerator / sum denominator` over rows, linearised; NaN where the denominator's interval contains 0.

        The denominator is [row], one for all columns of the numerator, or broadcasts to it.
        """
        top = as_rows(numerator, "numerator")
        bottom = as_denominator(denominator, top)
        value, influence = ratio_influences(top, bottom)
        found = self.interval(value, influence, level)
        whole = self.mean(bottom, level)
        defined = np.broadcast_to(np.asarray(whole.excludes(0.0)), np.shape(value))
        parts = [np.where(defined, part, np.nan) for part in (found.value, found.low, found.high)]
        if np.shape(value):
            return Interval(parts[0], parts[1], parts[2], self.n_rows)
        return Interval(float(parts[0]), float(parts[1]), float(parts[2]), self.n_rows)

    def of_sums(
        self,
        function: Callable[[np.ndarray], float],
        columns: Float[np.ndarray, "row column"],
        level: float = 0.95,
        more: float = 0.0,
    ) -> Interval:
        """A smooth function of the column sums, linearised by its numerical gradient; `more` as in `interval`."""
        return self.interval(function(columns.sum(axis=0)), columns @ gradient(function, columns), level, more)


def _without(levels: np.ndarray, block_sizes: np.ndarray) -> Float[np.ndarray, " member"]:
    """1 / (1 - the share of a block's rows that have a level), for each row and level of it.

    0 where all rows of a block have the level: their influences add up to 0, whatever its effect is.
    """
    codes = pd.factorize(levels)[0]
    others = 1 - np.bincount(codes)[codes] / block_sizes if len(codes) else np.empty(0)
    return np.divide(1.0, others, out=np.zeros(len(codes)), where=others > 0)


def ratio_influences(
    numerator: Float[np.ndarray, "row *columns"], denominator: Float[np.ndarray, "row *#columns"]
) -> tuple[Float[np.ndarray, " *columns"], Float[np.ndarray, "row *columns"]]:
    """`sum numerator / sum denominator`, and the influence of each row on it."""
    below = denominator.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = numerator.sum(axis=0) / below
        return value, (numerator - value * denominator) / below


def gradient(
    function: Callable[[np.ndarray], float], columns: Float[np.ndarray, "row column"]
) -> Float[np.ndarray, " column"]:
    """The derivatives of `function` of the column sums, by central differences."""
    sums = columns.sum(axis=0)
    slopes = np.zeros(len(sums))
    scale = np.abs(sums).max() if len(sums) else 0.0
    for k, value in enumerate(sums):
        step = STEP * max(abs(value), 1e-3 * scale, 1e-300)
        up, down = sums.copy(), sums.copy()
        up[k], down[k] = value + step, value - step
        slopes[k] = (function(up) - function(down)) / (2 * step)
    return slopes


def auc_influences(
    higher: Float[np.ndarray, " a"], lower: Float[np.ndarray, " b"]
) -> tuple[float, Float[np.ndarray, " a"], Float[np.ndarray, " b"]]:
    """The AUC, the chance that an entry of `higher` exceeds one of `lower` (ties half), and each entry's influence.

    The influence of an entry is the share of the other group that it is on the right side of, less the AUC, over the
    size of its own group (DeLong, DeLong & Clarke-Pearson 1988).
    """
    above = _share_below(higher, lower)
    below = 1 - _share_below(lower, higher)
    auc = float(above.mean())
    return auc, (above - auc) / len(higher), (below - auc) / len(lower)


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each value the share of the others that are below it, ties half."""
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return (left + right) / (2 * len(ordered))
