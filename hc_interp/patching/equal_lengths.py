"""Pairs in batches of equal length, which have no padding."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.align import PairBatch
from hc_interp.data.batch import Batch
from hc_interp.data.encode import buckets

ReadPosition = Callable[[Batch], Int[Tensor, " batch"]]


def first_position(batch: Batch) -> Int[Tensor, " batch"]:
    """The position that an encoder's classifier reads."""
    return torch.zeros_like(batch.attention_mask[:, 0])


def equal_lengths(
    parts: Sequence[PairBatch], batch_size: int, read_at: ReadPosition = first_position
) -> list[PairBatch]:
    """The same pairs in batches of at most `batch_size` pairs, without padding.

    `read_at` gives the position of each row at which the logits are read. The clean sides of a batch have one length
    and one read position, and so have its corrupt sides. Pairs of one length are sorted by their tokens: the same
    pairs in another order give the same numbers to the last bit.
    """
    clean = Batch.join([part.clean for part in parts], 0)
    corrupt = Batch.join([part.corrupt for part in parts], 0)
    index = torch.cat([part.index for part in parts])
    keys = [clean.attention_mask.sum(1).tolist(), read_at(clean).tolist(), read_at(corrupt).tolist()]
    key_of = list(zip(*keys, strict=True))  # by row
    tokens = [
        first + second
        for part in parts
        for first, second in zip(part.clean.input_ids.tolist(), part.corrupt.input_ids.tolist(), strict=True)
    ]
    result = []
    for key in sorted(set(key_of)):
        same = sorted((row for row, row_key in enumerate(key_of) if row_key == key), key=tokens.__getitem__)
        for cut in buckets([0] * len(same), batch_size):
            rows = torch.tensor([same[i] for i in cut])
            sides = clean.rows(rows).trim(), corrupt.rows(rows).trim()
            result.append(PairBatch(*sides, index[rows]))
    return result
