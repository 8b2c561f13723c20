"""What counts as data, wherever data is asked for, and its rows counted over all of it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from hc_interp.data.batch import Batch
from hc_interp.data.encode import Data
from hc_interp.data.examples import Examples
from hc_interp.errors import DataError
from hc_interp.records.digest import digest

Part = Examples | Batch


def as_parts(data: Data) -> list[Part]:
    """The splits that `data` is made of, so that it can be counted and read more than once."""
    parts = [data] if isinstance(data, Examples | Batch) or not isinstance(data, Iterable) else list(data)
    for part in parts:
        if not isinstance(part, Examples | Batch):
            raise DataError(
                f"Data holds a {type(part).__name__}; expected a split of a task (task.train), Examples, a Batch or an "
                "iterable of these."
            )
    return parts


def sources_of(parts: Sequence[Part]) -> list[str]:
    """The source of each row over all parts; a row of a `Batch` is its own."""
    found: list[str] = []
    for place, part in enumerate(parts):
        own = part.source if isinstance(part, Examples) else [f"{place}:{row}" for row in range(len(part))]
        found.extend(own or ())
    return found


def pick(parts: Sequence[Part], rows: Sequence[int] | np.ndarray) -> list[Part]:
    """The rows (counted over all parts, ascending) of each part; parts without any are left out."""
    starts = np.cumsum([0, *map(len, parts)])
    chosen = np.asarray(rows)
    cuts = [chosen[(chosen >= low) & (chosen < high)] - low for low, high in pairwise(starts)]
    return [part.rows(cut.tolist()) for part, cut in zip(parts, cuts, strict=True) if len(cut)]


def fingerprint(parts: Sequence[Part]) -> str:
    """A short name of the data in results."""
    return digest([part.fingerprint() if isinstance(part, Examples) else part for part in parts])
