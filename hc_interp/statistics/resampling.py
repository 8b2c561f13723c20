"""Resamples as matrices of weights, and interval bounds from bootstrap draws: the numerics of `statistics/tests.py`.

A bootstrap of sums is one matrix product. The weight of unit g in resample b is the number of times that g was drawn,
and the resampled sums are `weights @ values`. A sign flip is the same with weights of +1 and -1. A unit is a row, or a
cluster of rows that are drawn together.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int8, Shaped, UInt16
from scipy.special import ndtr, stdtrit

Method = Literal["percentile", "expanded"]

BLOCK = 2**22  # entries of one dense block: 32 MiB in float64
ROUNDING_SPREAD = 1e-12  # draws whose relative spread is smaller differ by rounding alone


def bootstrap_counts(n_units: int, n_resamples: int, rng: np.random.Generator) -> UInt16[np.ndarray, "resample unit"]:
    """How often each unit is drawn in each resample: rows are multinomial with equal chances and sum to `n_units`."""
    counts = np.empty((n_resamples, n_units), dtype=np.uint16)
    for block in _blocks(n_resamples, n_units):
        rows = counts[block]
        drawn = rng.integers(0, n_units, size=rows.shape)
        drawn += np.arange(len(rows))[:, None] * n_units
        rows[:] = np.bincount(drawn.ravel(), minlength=rows.size).reshape(rows.shape)
    return counts


def sign_flips(n_units: int, n_resamples: int, rng: np.random.Generator) -> tuple[Int8[np.ndarray, "flip unit"], bool]:
    """Rows of +1 and -1, and whether they are exhaustive: all `2^n_units` if there are at most `n_resamples`."""
    if n_units < 63 and 2**n_units <= n_resamples:
        bits = (np.arange(2**n_units)[:, None] >> np.arange(n_units)) & 1
        return (1 - 2 * bits).astype(np.int8), True
    return 2 * rng.integers(0, 2, size=(n_resamples, n_units), dtype=np.int8) - 1, False


def weighted_sums(
    weights: Shaped[np.ndarray, "resample unit"], values: Float[np.ndarray, "unit column"]
) -> Float[np.ndarray, "resample column"]:
    """`weights @ values` in float64, by blocks of resamples, so that the weights keep their small integer type."""
    parts = [weights[block].astype(float) @ values for block in _blocks(*weights.shape)]
    return np.concatenate(parts)


def ratio_bounds(
    numerator: Float[np.ndarray, "unit column"],
    denominator: Float[np.ndarray, "unit #column"],
    counts: UInt16[np.ndarray, "resample unit"],
    level: float,
    method: Method,
) -> Float[np.ndarray, "3 column"]:
    """Value, low and high of `sum numerator / sum denominator`, both resampled together.

    The denominator has one column for all numerators, or one for each. The bounds are NaN if there is a single unit,
    which shows no spread.
    """
    result = np.empty((3, numerator.shape[1]))
    level = expanded_level(level, len(numerator)) if method == "expanded" else level
    shared = denominator.shape[1] == 1
    with np.errstate(divide="ignore", invalid="ignore"):
        for columns in _blocks(numerator.shape[1], max(counts.shape)):
            top, bottom = numerator[:, columns], denominator if shared else denominator[:, columns]
            value = top.sum(axis=0) / bottom.sum(axis=0)
            draws = weighted_sums(counts, top) / weighted_sums(counts, bottom)
            result[0, columns] = value
            result[1:, columns] = bounds(draws, value, level) if len(numerator) > 1 else np.nan
    return result


def expanded_level(level: float, n_units: int) -> float:
    """The nominal level that a percentile interval of `n_units` needs so that its coverage is about `level`.

    The spread of resampled means is too small by a factor of `sqrt((n - 1) / n)`, and their percentiles are those of a
    normal distribution instead of Student's t. With 40 units, a 95 % percentile interval covers about 94 %. Source:
    Hesterberg 2015 (arXiv 1411.5279), "expanded percentile".
    """
    if n_units < 2:
        return level
    half_width = stdtrit(n_units - 1, (1 + level) / 2) * (n_units / (n_units - 1)) ** 0.5
    return float(2 * ndtr(half_width) - 1)


def bounds(
    draws: Float[np.ndarray, "resample column"], value: Float[np.ndarray, " column"], level: float
) -> Float[np.ndarray, "2 column"]:
    """Low and high percentiles of bootstrap draws. Where draws differ by rounding alone, both are `value`."""
    with np.errstate(invalid="ignore"):
        percentiles = _quantiles(draws, np.array([(1 - level) / 2, (1 + level) / 2])[:, None])
        constant = np.ptp(draws, axis=0) <= ROUNDING_SPREAD * np.abs(draws).max(axis=0)
    return np.where(constant, value, percentiles)


def _quantiles(
    draws: Float[np.ndarray, "resample column"], at: Float[np.ndarray, "end 1"]
) -> Float[np.ndarray, "end column"]:
    """Quantiles of every column, linear between draws (as `np.quantile`). A column that holds a NaN gives NaN."""
    ordered = np.sort(draws, axis=0)
    position = at * (len(draws) - 1)
    lower = np.floor(position).astype(int)
    low, high = ordered[lower[:, 0]], ordered[np.minimum(lower[:, 0] + 1, len(draws) - 1)]
    return np.where(np.isnan(ordered[-1]), np.nan, low + (position - lower) * (high - low))


def _blocks(length: int, width: int) -> list[slice]:
    """Slices that cover `length`, each of at most `BLOCK` entries if an item has `width` entries."""
    step = max(1, BLOCK // max(width, 1))
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]
