"""What counts as data, wherever data is asked for, and its rows counted over all of it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.examples import Examples
from hc_interp.errors import DataError
from hc_interp.records.digest import digest

DataPart = Examples | Batch
Data = DataPart | Iterable[DataPart]


def as_parts(data: Data) -> list[DataPart]:
    """The splits that `data` is made of, so that it can be counted and read more than once.

    Raises `DataError` for anything but a split, a batch, or an iterable of these (which may be empty).
    """
    parts = listed(data)
    for part in parts:
        if not isinstance(part, Examples | Batch):
            inside = "" if part is data else f" that holds a {type(part).__name__}"
            raise DataError(
                f"Data was given as {type(data).__name__}{inside}; expected a split of a task (task.train, "
                "task.case(name)), Examples, a Batch (model.tokenize(first, second)) or an iterable of these."
            )
    return parts


def listed(data: Any) -> list[Any]:
    """The items of an iterable; one split or batch, a text, a dict or a tensor is one item."""
    if isinstance(data, Iterable) and not isinstance(data, Examples | Batch | str | dict | Tensor):
        return list(data)
    return [data]


def sources_of(parts: Sequence[DataPart]) -> list[str]:
    """The source of each row over all parts; a row of a `Batch` is its own."""
    found: list[str] = []
    for place, part in enumerate(parts):
        own = part.source if isinstance(part, Examples) else [f"{place}:{row}" for row in range(len(part))]
        found.extend(own or ())
    return found


def pick(parts: Sequence[DataPart], rows: Sequence[int] | np.ndarray) -> list[DataPart]:
    """The rows (counted over all parts, ascending) of each part; parts without any are left out."""
    starts = np.cumsum([0, *map(len, parts)])
    chosen = np.asarray(rows)
    cuts = [chosen[(chosen >= low) & (chosen < high)] - low for low, high in pairwise(starts)]
    return [part.rows(cut.tolist()) for part, cut in zip(parts, cuts, strict=True) if len(cut)]


def fingerprint(parts: Sequence[DataPart]) -> str:
    """A short name of the data in results."""
    return digest([part.fingerprint() for part in parts])
