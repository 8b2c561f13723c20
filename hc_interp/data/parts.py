"""`Data`, the type of every argument that takes data, as a list of parts whose rows are numbered through.

A part is an `Examples` (a split of a task, say) or a `Batch`.
"""

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

DataPart = Examples | Batch
Data = DataPart | Iterable[DataPart]


def as_parts(data: Data) -> list[DataPart]:
    """The parts of `data` as a list, which can be read more than once; an iterator is used up.

    Raises `DataError` for anything but a part or an iterable of parts (which may be empty).
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
    """The items of an iterable. A part, a text, a dict or a tensor is itself one item."""
    if isinstance(data, Iterable) and not isinstance(data, Examples | Batch | str | dict | Tensor):
        return list(data)
    return [data]


def sources_of(parts: Sequence[DataPart]) -> list[str]:
    """The source of each row over all parts; each row of a `Batch` is a source."""
    sources: list[str] = []
    for number, part in enumerate(parts):
        sources += part.source if isinstance(part, Examples) else [f"{number}:{row}" for row in range(len(part))]
    return sources


def pick(parts: Sequence[DataPart], rows: Sequence[int] | np.ndarray) -> list[DataPart]:
    """The parts cut to these rows (numbered over all parts, ascending), without parts that have none of them."""
    starts = np.cumsum([0, *map(len, parts)])
    numbers = np.asarray(rows)
    cuts = [numbers[(numbers >= low) & (numbers < high)] - low for low, high in pairwise(starts)]
    return [part.rows(cut.tolist()) for part, cut in zip(parts, cuts, strict=True) if len(cut)]


def label_groups(model_labels: Sequence[str] | None, part: DataPart) -> tuple[LabelGroups, Int[Tensor, " row"]]:
    """The label groups of a part, as indices into the model's classes, and the group's number of each row, on the CPU.

    The labels of a `Batch` are the model's own classes. Raises `LabelError` for a label that is no group's number.
    """
    groups = resolve_groups(model_labels, part if isinstance(part, Examples) else None)
    labels = torch.as_tensor(part.label if isinstance(part, Examples) else part.labels).cpu()
    check_labels(labels.tolist(), groups, repr(part))
    return groups, labels


def fingerprint(parts: Sequence[DataPart]) -> str:
    """A short name of the data in results."""
    return digest([part.fingerprint() for part in parts])
