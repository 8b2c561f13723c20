"""`scored_rows`: what a metric is told of the rows of one part of the data."""

from collections.abc import Sequence

import torch

from hc_interp.data.batch import Batch
from hc_interp.data.encode import EncodedBatch
from hc_interp.data.parts import DataPart, label_groups
from hc_interp.metrics import MetricRows
from hc_interp.models.hooked import HookedModel


def scored_rows(model: HookedModel, part: DataPart, encoded: Sequence[EncodedBatch], start: int = 0) -> MetricRows:
    """All rows of a part in their order, numbered from `start`: with labels, or with answers and foils.

    `encoded` are the part's batches, and `model` has logits `[batch, class]` (`at_one_word`).
    """
    ids = part.ids if isinstance(part, Batch) else part.id
    index = torch.arange(start, start + len(part), device=model.device)
    names = None if ids is None else tuple(ids)
    if model.labels is not None:
        groups, labels = label_groups(model.labels, part)
        return MetricRows(index, names, labels.to(model.device), groups)
    joined = Batch.join([item.batch for item in encoded], 0)
    order = torch.argsort(torch.cat([item.index for item in encoded]))
    words = joined.rows(order)
    return MetricRows(index, names, answer=words.answer, foil=words.foil)
