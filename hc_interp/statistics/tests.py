"""Intervals, tests and corrections for many statistics at once. They take arrays and know no model.

The first axis of `values` is the sample (examples or pairs). Each entry of the further axes is one statistic, called a
column, such as the effect of one edge. All columns are resampled together; a column's result does not depend on the
others. Rows that share an entry of `clusters` (one premise, one template) are not independent: they are drawn, or
flipped, together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.stats import binomtest, false_discovery_control

from hc_interp.errors import DataError, HCError
from hc_interp.records.result import Result
from hc_interp.statistics.resampling import (
    BLOCK,
    Method,
    bootstrap_counts,
    bounds,
    expanded_level,
    ratio_bounds,
    sign_flips,
    weighted_sums,
)
from hc_interp.statistics.samples import (
    Clusters,
    as_denominator,
    as_rows,
    as_units,
    check_count,
    check_level,
    check_options,
    generator,
    unit_sums,
)

# Sums of the same terms in another order differ by rounding. They are equal if they differ by less than this share of
# the terms' size.
TIE = 1e-10
# The same share for statistics of float32 model runs: a value that is computed again agrees to about 1e-6.
RUN_TIE = 1e-6


@dataclass(frozen=True)
class Interval(Result):
    """Point estimates with two-sided bounds. `n` is the number of rows that each was computed from.

    The other fields are floats for one statistic and arrays of one shape for many. NaN means that the statistic is not
    defined on this sample.
    """

    value: float | Float[np.ndarray, "*columns"]
    low: float | Float[np.ndarray, "*columns"]
    high: float | Float[np.ndarray, "*columns"]
    n: int

    def excludes(self, point: float) -> bool | np.bool_ | Bool[np.ndarray, "*columns"]:
        """Whether the whole interval is on one side of `point`. An undefined interval excludes no point."""
        return (np.asarray(self.low) > point) | (np.asarray(self.high) < point)

    def __float__(self) -> float:
        """The value of a single statistic."""
        return float(self.value)

    def to_frame(self) -> pd.DataFrame:
        """One row per statistic: value, low, high, n."""
        columns = {name: np.ravel(getattr(self, name)) for name in ("value", "low", "high")}
        return pd.DataFrame(columns).assign(n=self.n)


def bootstrap(
    values: ArrayLike,
    statistic: Literal["mean"] | Callable[[np.ndarray], np.ndarray | float] = "mean",
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    method: Method = "percentile",
    seed: int,
) -> Interval:
    """Bootstrap intervals of the mean over the first axis, or of any function of the resampled rows.

    `values` is `[n, *columns]`. The mean of all columns costs one matrix product. A function `rows [m, *columns] ->
    [...]` is called once per resample. `method="expanded"` widens percentile intervals of few rows. Sources: Hesterberg
    2015 (arXiv 1411.5279), Efron & Tibshirani 1993. Raises `DataError` for values or clusters that cannot be resampled,
    `HCError` for other arguments. The interval of constant data is a point, so it is too narrow for an accuracy of
    exactly 0 or 1: use `clopper_pearson` there. With a single row or cluster the bounds are NaN.
    """
    check_options(level, n_resamples, method)
    rows = as_rows(values, "values")
    codes, n_units = as_units(clusters, len(rows))
    counts = bootstrap_counts(n_units, n_resamples, generator(seed))
    if not callable(statistic):
        if statistic != "mean":
            raise HCError(f"statistic={statistic!r} is not known. Pass 'mean' or a function of the resampled rows.")
        sizes = np.bincount(codes, minlength=n_units).astype(float)[:, None]
        estimates = ratio_bounds(unit_sums(rows, codes, n_units), sizes, counts, level, method)
        return _interval(estimates, rows.shape[1:], len(rows))

    value = np.asarray(statistic(rows), dtype=float)
    if n_units == 1:
        return _interval(np.stack([value, value * np.nan, value * np.nan]), value.shape, len(rows))
    draws = [statistic(np.repeat(rows, count[codes], axis=0)) for count in counts]
    level = expanded_level(level, n_units) if method == "expanded" else level
    ends = bounds(_stack(draws), value.ravel(), level)
    return _interval(np.stack([value.ravel(), *ends]), value.shape, len(rows))


def ratio_interval(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    method: Method = "percentile",
    seed: int,
) -> Interval:
    """Bootstrap intervals of `sum numerator / sum denominator`, both resampled together.

    The numerator is `[n, *columns]`. The denominator is `[n]` (one for all columns), or has as many axes as the
    numerator and broadcasts to it. Value and bounds are NaN where the denominator's own interval contains 0 or is
    undefined, since the ratio means nothing there. Raises `DataError` for arrays that do not fit, `HCError` for other
    arguments.
    """
    check_options(level, n_resamples, method)
    top = as_rows(numerator, "numerator")
    bottom = as_denominator(denominator, top)
    codes, n_units = as_units(clusters, len(top))
    counts = bootstrap_counts(n_units, n_resamples, generator(seed))
    above, below = unit_sums(top, codes, n_units), unit_sums(bottom, codes, n_units)
    _, low, high = ratio_bounds(below, np.ones((n_units, 1)), counts, level, method)
    estimates = ratio_bounds(above, below, counts, level, method)
    estimates = np.where((low > 0) | (high < 0), estimates, np.nan)
    return _interval(estimates, top.shape[1:], len(top))


def sign_flip_test(
    values: ArrayLike,
    *,
    clusters: Clusters | None = None,
    n_resamples: int = 9999,
    seed: int,
) -> float | Float[np.ndarray, "*columns"]:
    """Two-sided p of the hypothesis that rows are symmetric about 0, by flipping their signs. The statistic is |sum|.

    `values` is `[n, *columns]`. p is exact, over all `2^n` flips, if there are at most `n_resamples`. Otherwise it is
    `(1 + #) / (1 + B)` over B random flips, where # counts those that reach the observed |sum|. Columns of zeros give
    1. With clusters, whole clusters flip. A small p speaks against symmetry about 0; it shows a mean other than 0 only
    if rows are not skewed. Raises `DataError` for values or clusters that cannot be used, `HCError` for other
    arguments.
    """
    check_count(n_resamples)
    rows = as_rows(values, "values")
    codes, n_units = as_units(clusters, len(rows))
    sums = unit_sums(rows, codes, n_units)
    flips, exact = sign_flips(n_units, n_resamples, generator(seed))
    p = np.empty(sums.shape[1])
    step = max(1, BLOCK // len(flips))
    for start in range(0, sums.shape[1], step):
        part = sums[:, start : start + step]
        reached = np.abs(part.sum(axis=0)) - TIE * np.abs(part).sum(axis=0)
        extreme = (np.abs(weighted_sums(flips, part)) >= reached).sum(axis=0)
        p[start : start + step] = extreme / len(flips) if exact else (1 + extreme) / (1 + len(flips))
    return np.where(np.isnan(sums).any(axis=0), np.nan, p).reshape(rows.shape[1:])[()]


def permutation_p(observed: ArrayLike, null: ArrayLike, *, exhaustive: bool) -> float | Float[np.ndarray, "*columns"]:
    """One-sided p of an observed statistic `[*columns]` against its values under other labellings.

    `null` is `[labellings, *columns]`. Large values are extreme. With `exhaustive=True`, `null` holds every labelling,
    the observed one once among them, and p is the share of labellings that reach the observed value. Otherwise `null`
    holds B random labellings, and p is `(1 + #) / (1 + B)` (Phipson & Smyth 2010). Values that differ by at most 1e-6
    of the largest count as ties, which can only raise p. p is NaN where the observed value is. Raises `DataError` for
    shapes that do not fit, for `null` values that are not finite, and for an observed value that an exhaustive `null`
    lacks.
    """
    reference, drawn = np.asarray(observed, dtype=float), np.asarray(null, dtype=float)
    if drawn.ndim == 0 or len(drawn) == 0 or drawn.shape[1:] != reference.shape:
        raise DataError(
            f"An observed statistic of shape {reference.shape} was given with null values of shape {drawn.shape}. "
            f"Expected null values of shape (labellings, *{reference.shape}), at least one; stack one per labelling."
        )
    defined = ~np.isnan(reference)
    broken = int((~np.isfinite(drawn[:, defined])).sum())
    if broken or np.isinf(reference).any():
        raise DataError(
            f"{broken} of {drawn[:, defined].size} null values are NaN or infinite, or the observed one is. "
            "Expected one number per labelling; leave out statistics that are not defined, or score them so that they "
            "are."
        )
    slack = RUN_TIE * np.maximum(np.abs(drawn).max(axis=0), np.abs(reference))
    reached = np.sum(drawn >= reference - slack, axis=0)
    if exhaustive:
        included = np.any(np.abs(drawn - reference) <= slack, axis=0)
        if not np.all(included | ~defined):
            raise DataError(
                f"None of the {len(drawn)} null values equals the observed statistic. Expected all labellings, the "
                "observed one among them; add it, or pass exhaustive=False for random labellings."
            )
        p = reached / len(drawn)
    else:
        p = (1 + reached) / (1 + len(drawn))
    return np.where(defined, p, np.nan)[()]


def fdr(p: ArrayLike) -> Float[np.ndarray, "*tests"]:
    """Benjamini-Hochberg q values of a family of p values. A NaN is not counted in the family and stays NaN.

    They control the false discovery rate of independent or positively dependent tests. Raises `DataError` for values
    outside [0, 1].
    """
    return _adjust(p, false_discovery_control)


def holm(p: ArrayLike) -> Float[np.ndarray, "*tests"]:
    """Holm-Bonferroni adjusted p values, which control the family-wise error under any dependence.

    A NaN is not counted in the family and stays NaN. Raises `DataError` for values outside [0, 1].
    """

    def step_down(family: np.ndarray) -> np.ndarray:
        order = np.argsort(family)
        scaled = np.maximum.accumulate(family[order] * np.arange(len(family), 0, -1))
        return np.minimum(scaled, 1)[np.argsort(order)]

    return _adjust(p, step_down)


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """Exact binomial interval of `k` successes in `n` independent trials. Its coverage is at least `level`."""
    check_level(level)
    if not 0 <= k <= n or n < 1 or k != int(k) or n != int(n):
        raise DataError(f"{k} successes in {n} trials were given. Expected whole numbers with 0 <= k <= n and n >= 1.")
    ends = binomtest(int(k), int(n)).proportion_ci(level, "exact")
    return Interval(k / n, float(ends.low), float(ends.high), int(n))


def _adjust(p: ArrayLike, adjust: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    values = np.asarray(p, dtype=float)
    defined = ~np.isnan(values)
    family = values[defined]
    if ((family < 0) | (family > 1)).any():
        raise DataError(
            f"p values from {family.min():g} to {family.max():g} were given. Expected 0 to 1, or NaN "
            "where there is no test; pass p values, not statistics."
        )
    result = np.full(values.shape, np.nan)
    if defined.any():
        result[defined] = adjust(family)
    return result


def _stack(draws: list[np.ndarray | float]) -> Float[np.ndarray, "resample column"]:
    return np.stack([np.ravel(np.asarray(draw, dtype=float)) for draw in draws])


def _interval(estimates: Float[np.ndarray, "3 *column"], columns: tuple[int, ...], n: int) -> Interval:
    value, low, high = (part.reshape(columns)[()] for part in estimates)
    return Interval(value, low, high, n)
