"""What counts as data, wherever data is asked for, and its rows counted over all of it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.examples import Examples, LabelGroups
from hc_interp.data.labels import check_labels, resolve_groups
from hc_interp.errors import DataError
from hc_interp.records.digest import digest

Part = Examples | Batch
Data = Part | Iterable[Part]


def as_parts(data: Data) -> list[Part]:
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


def label_groups(model_labels: Sequence[str] | None, part: Part) -> tuple[LabelGroups, Int[Tensor, " row"]]:
    """The label groups of a part, as indices into the model's classes, and the group's number of each row, on the CPU.

    The labels of a `Batch` are the model's own classes. Raises `LabelError` for a label that is no group's number.
    """
    groups = resolve_groups(model_labels, part if isinstance(part, Examples) else None)
    labels = torch.as_tensor(part.label if isinstance(part, Examples) else part.labels).cpu()
    check_labels(labels.tolist(), groups, repr(part))
    return groups, labels


def fingerprint(parts: Sequence[Part]) -> str:
    """A short name of the data in results."""
    return digest([part.fingerprint() for part in parts])
