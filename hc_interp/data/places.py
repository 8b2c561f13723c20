"""Which rows are meant: slices, places and boolean masks as one list of places."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hc_interp.errors import DataError

if TYPE_CHECKING:  # the grammar's case ids, which the command line lists, are to load without torch
    from torch import Tensor


def places(index: "slice | Sequence[int] | np.ndarray | Tensor", n: int) -> list[int]:
    """The places in `range(n)` that `index` names, in its order; repeats stay, negative places count from the end.

    A boolean mask names the places where it is true. Raises `DataError` for a place outside, a mask of another length,
    and anything that is not whole numbers (which would otherwise pick rows that nobody asked for).
    """
    if isinstance(index, slice):
        return list(range(*index.indices(n)))
    found = np.asarray(index.cpu() if hasattr(index, "cpu") else index)  # pyright: ignore[reportAttributeAccessIssue]
    if found.ndim == 1 and found.dtype == bool and len(found) == n:
        return np.flatnonzero(found).tolist()
    if found.ndim == 1 and len(found) == 0:
        return []
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise _refuse(index, found, n)
    if outside := [int(i) for i in found if not -n <= i < n]:
        raise DataError(f"Row {outside[0]} was asked for, but there are {n} rows: expected places 0 to {n - 1}.")
    return [int(i) % n for i in found]


def _refuse(index: Any, found: np.ndarray, n: int) -> DataError:
    given = f"an array of {found.dtype}, shape {found.shape}" if found.ndim else repr(index)
    return DataError(
        f"Rows were asked for by {given}; expected a slice, a list of places like [0, 3], or a boolean mask of "
        f"{n} entries. For one row write [i]."
    )
