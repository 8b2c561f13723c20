"""Pairs in groups of equal length, so that a sweep meets no padding."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hc_interp.data.align import PairBatch
from hc_interp.data.batch import Batch
from hc_interp.data.encode import buckets


def equal_lengths(parts: Sequence[PairBatch], batch_size: int) -> list[PairBatch]:
    """The same pairs, at most `batch_size` of one length together, padding cut off.

    Within a group pairs stand in the order of their tokens, whatever order they came in: the same pairs give the same
    numbers to the last bit.
    """
    rows = [
        (length, part, row, clean + corrupt)
        for part in parts
        for row, (length, clean, corrupt) in enumerate(
            zip(
                part.clean.attention_mask.sum(1).tolist(),
                part.clean.input_ids.tolist(),
                part.corrupt.input_ids.tolist(),
                strict=True,
            )
        )
    ]
    found = []
    for length in sorted({row[0] for row in rows}):
        same = sorted((row for row in rows if row[0] == length), key=lambda row: row[3])
        for cut in buckets([0] * len(same), batch_size):
            chosen = [(same[i][1], same[i][2]) for i in cut]
            clean = _joined([(part.clean, row) for part, row in chosen], length)
            corrupt = _joined([(part.corrupt, row) for part, row in chosen], length)
            gold = torch.stack([part.gold[row] for part, row in chosen])
            index = torch.stack([part.index[row] for part, row in chosen])
            found.append(PairBatch(clean, corrupt, gold, index))
    return found


def _joined(rows: Sequence[tuple[Batch, int]], length: int) -> Batch:
    def tokens(name: str) -> Tensor | None:
        values = [getattr(batch, name) for batch, _ in rows]
        if values[0] is None:
            return None
        return torch.stack([value[row, :length] for value, (_, row) in zip(values, rows, strict=True)])

    first = rows[0][0]
    return Batch(
        torch.stack([batch.input_ids[row, :length] for batch, row in rows]),
        token_type_ids=tokens("token_type_ids"),
        labels=None
        if first.labels is None
        else torch.stack([batch.labels[row] for batch, row in rows if batch.labels is not None]),
        ids=None if first.ids is None else tuple(batch.ids[row] for batch, row in rows if batch.ids is not None),
    )
