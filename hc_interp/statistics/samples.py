"""What a sample may look like: its rows, the units they fall into, its seed and its settings, each checked once."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped
from scipy.sparse import csr_array

from hc_interp.errors import DataError, HCError
from hc_interp.statistics.resampling import Method

Clusters = Sequence | Shaped[np.ndarray, " n"]


def as_rows(values: Shaped[np.ndarray, "n *columns"], name: str) -> Float[np.ndarray, "n *columns"]:
    """Float64 rows; a column may be NaN throughout (not defined), never in part."""
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
    values: Shaped[np.ndarray, "m *denominators"], top: Float[np.ndarray, "n *columns"]
) -> Float[np.ndarray, "n *columns"] | Float[np.ndarray, "n *ones"]:
    """A ratio's denominators with as many axes as its numerators `top`: one column for all, or one for each."""
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
    """The unit of each row, 0 to n_units - 1: the row itself, or its cluster."""
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
    """Sums of each unit's rows, all further axes flattened."""
    flat = rows.reshape(len(rows), -1)
    if n_units == len(rows):
        return flat
    membership = csr_array((np.ones(len(rows)), (codes, np.arange(len(rows)))), shape=(n_units, len(rows)))
    return membership @ flat


def generator(seed: int) -> np.random.Generator:
    """A generator of its own for one call; no seed, no result."""
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
