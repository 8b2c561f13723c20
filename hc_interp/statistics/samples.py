"""Checks of a sample and its settings: the rows, the units that they belong to, the seed, the level.

A unit is what is drawn in a resample: a single row, or a cluster of rows that are not independent.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from hc_interp.errors import DataError, HCError
from hc_interp.statistics.resampling import Method

# The name of each row's cluster.
Clusters = Sequence | Shaped[np.ndarray, " n"]


def as_rows(values: ArrayLike, name: str) -> Float[np.ndarray, "n *columns"]:
    """The values as float64. A column may be all NaN, which means that its statistic is not defined.

    Raises `DataError`, which names the argument `name`, for an empty array and for other values that are not finite.
    """
    rows = np.asarray(values, dtype=float)
    if rows.ndim == 0 or rows.size == 0:
        raise DataError(
            f"{name} has shape {rows.shape}. Expected (n, ...) with at least one row and one column: an array of "
            "per-example values, first axis the examples."
        )
    broken = ~np.isfinite(rows)
    partly = broken.any(axis=0) & ~np.isnan(rows).all(axis=0)
    if partly.any():
        raise DataError(
            f"{name} has {int(broken[:, partly].sum())} entries that are NaN or infinite, in columns "
            "that also hold numbers. Expected finite values; drop those rows, or make the whole column NaN where it is "
            "undefined."
        )
    return rows


def as_denominator(
    values: ArrayLike, top: Float[np.ndarray, "n *columns"]
) -> Float[np.ndarray, "n *columns"] | Float[np.ndarray, "n *ones"]:
    """A ratio's denominator, with as many axes as the numerator `top`: one column for all numerators, or one for each.

    Raises `DataError` for shapes that do not fit.
    """
    bottom = as_rows(values, "denominator")
    if bottom.ndim == 1:
        bottom = bottom.reshape(-1, *(1 for _ in top.shape[1:]))
    fits = bottom.ndim == top.ndim and len(bottom) == len(top)
    if not fits or any(size not in (1, whole) for size, whole in zip(bottom.shape[1:], top.shape[1:], strict=True)):
        raise DataError(
            f"A numerator of shape {top.shape} and a denominator of shape {np.shape(values)} do not fit. Expected a "
            f"denominator of shape ({len(top)},) or one that broadcasts to the numerator; give both the same rows."
        )
    return bottom if bottom.size == len(bottom) else np.broadcast_to(bottom, top.shape)


def as_units(clusters: Clusters | None, n_rows: int) -> tuple[Int[np.ndarray, " n"], int]:
    """The unit of each row, from 0 to n_units - 1, and n_units. Without `clusters` each row is a unit.

    Raises `DataError` for a number of names other than `n_rows`, and for a row without a name.
    """
    if clusters is None:
        return np.arange(n_rows), n_rows
    if len(clusters) != n_rows:
        raise DataError(
            f"{len(clusters)} cluster names were given for {n_rows} rows. Expected one per row, such as each "
            "example's source."
        )
    codes, names = pd.factorize(pd.Series(list(clusters), dtype=object))
    if (codes < 0).any():
        raise DataError(
            f"{int((codes < 0).sum())} of {n_rows} rows have no cluster (None or NaN). Expected a source for every "
            "row; name them, or leave clusters out if rows are independent."
        )
    return codes, len(names)


def unit_sums(
    rows: Float[np.ndarray, "n *columns"], codes: Int[np.ndarray, " n"], n_units: int
) -> Float[np.ndarray, "unit column"]:
    """The sum of each unit's rows. All axes but the first are flattened into one of columns."""
    flat = rows.reshape(len(rows), -1)
    if n_units == len(rows):
        return flat
    membership = csr_array((np.ones(len(rows)), (codes, np.arange(len(rows)))), shape=(n_units, len(rows)))
    return membership @ flat


def generator(seed: int) -> np.random.Generator:
    """A random generator that starts at `seed`. Raises `HCError` for a seed that is not a whole number from 0."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise HCError(f"seed={seed!r} was given. Expected a whole number from 0, so that the result can be repeated.")
    return np.random.default_rng(seed)


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise HCError(f"level={level!r} was given. Expected a share between 0 and 1; 95 % is level=0.95.")


def check_count(n_resamples: int) -> None:
    if n_resamples != int(n_resamples) or n_resamples < 1:
        raise HCError(f"n_resamples={n_resamples!r} was given. Expected a whole number from 1; 2000 is usual.")


def check_options(level: float, n_resamples: int, method: str) -> None:
    check_level(level)
    check_count(n_resamples)
    if method not in get_args(Method):
        raise HCError(f"method={method!r} was given. Expected one of {', '.join(get_args(Method))}.")
