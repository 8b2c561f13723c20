"""`row_indices`: slices, lists of indices and boolean masks of rows as one list of indices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hc_interp.errors import DataError

if TYPE_CHECKING:  # the grammar's case ids, which the command line lists, are to load without torch
    from torch import Tensor


def row_indices(index: "slice | Sequence[int] | np.ndarray | Tensor", n: int) -> list[int]:
    """The row numbers, from 0 to `n - 1`, that `index` selects, in the order of `index`.

    Repeated numbers are kept and negative numbers count from the end. A boolean mask of length `n` selects the rows
    where the mask is true. Raises `DataError` for a number outside the range, a mask of another length, and anything
    but whole numbers (True and False would otherwise be read as rows 1 and 0).
    """
    if isinstance(index, slice):
        return list(range(*index.indices(n)))
    numbers = np.asarray(index.cpu() if hasattr(index, "cpu") else index)  # pyright: ignore[reportAttributeAccessIssue]
    if numbers.ndim == 1 and numbers.dtype == bool and len(numbers) == n:
        return np.flatnonzero(numbers).tolist()
    if numbers.ndim == 1 and len(numbers) == 0:
        return []
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise _not_rows(index, numbers, n)
    if outside := [int(i) for i in numbers if not -n <= i < n]:
        raise DataError(f"Row {outside[0]} was asked for, but there are {n} rows: expected row numbers 0 to {n - 1}.")
    return [int(i) % n for i in numbers]


def _not_rows(index: Any, numbers: np.ndarray, n: int) -> DataError:
    description = f"an array of {numbers.dtype}, shape {numbers.shape}" if numbers.ndim else repr(index)
    return DataError(
        f"Rows were asked for by {description}; expected a slice, a list of row numbers like [0, 3], or a boolean mask "
        f"of {n} entries. For one row write [i]."
    )
