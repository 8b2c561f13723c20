"""Pairs in groups of equal length, so that a sweep meets no padding."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hc_interp.data.align import PairBatch
from hc_interp.data.batch import Batch
from hc_interp.data.encode import buckets

ReadAt = Callable[[Batch], Tensor]


def first_position(batch: Batch) -> Tensor:
    """Where an encoder's classifier is read."""
    return torch.zeros_like(batch.attention_mask[:, 0])


def equal_lengths(parts: Sequence[PairBatch], batch_size: int, read_at: ReadAt = first_position) -> list[PairBatch]:
    """The same pairs, at most `batch_size` of one length together, padding cut off.

    `read_at` gives the position of each row that the logits are read at. It is one position for all clean sides of a
    group, and one for all corrupt sides. Within a group pairs stand in the order of their tokens, whatever order they
    came in: the same pairs give the same numbers to the last bit.
    """
    clean = Batch.join([part.clean for part in parts], 0)
    corrupt = Batch.join([part.corrupt for part in parts], 0)
    gold, index = torch.cat([part.gold for part in parts]), torch.cat([part.index for part in parts])
    kinds = [clean.attention_mask.sum(1).tolist(), read_at(clean).tolist(), read_at(corrupt).tolist()]
    groups = list(zip(*kinds, strict=True))
    tokens = [
        first + second
        for part in parts
        for first, second in zip(part.clean.input_ids.tolist(), part.corrupt.input_ids.tolist(), strict=True)
    ]
    found = []
    for group in sorted(set(groups)):
        same = sorted((row for row, own in enumerate(groups) if own == group), key=tokens.__getitem__)
        for cut in buckets([0] * len(same), batch_size):
            rows = torch.tensor([same[i] for i in cut])
            sides = clean.rows(rows).trim(), corrupt.rows(rows).trim()
            found.append(PairBatch(*sides, gold[rows.to(gold.device)], index[rows]))
    return found
