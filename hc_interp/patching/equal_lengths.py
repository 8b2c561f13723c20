"""Pairs in groups of equal length, so that a sweep meets no padding."""

from collections.abc import Sequence

import torch

from hc_interp.data.align import PairBatch
from hc_interp.data.batch import Batch
from hc_interp.data.encode import buckets


def equal_lengths(parts: Sequence[PairBatch], batch_size: int) -> list[PairBatch]:
    """The same pairs, at most `batch_size` of one length together, padding cut off.

    Within a group pairs stand in the order of their tokens, whatever order they came in: the same pairs give the same
    numbers to the last bit.
    """
    clean = Batch.join([part.clean for part in parts], 0)
    corrupt = Batch.join([part.corrupt for part in parts], 0)
    gold, index = torch.cat([part.gold for part in parts]), torch.cat([part.index for part in parts])
    lengths = clean.attention_mask.sum(1).tolist()
    tokens = [
        first + second
        for part in parts
        for first, second in zip(part.clean.input_ids.tolist(), part.corrupt.input_ids.tolist(), strict=True)
    ]
    found = []
    for length in sorted(set(lengths)):
        same = sorted((row for row, n in enumerate(lengths) if n == length), key=tokens.__getitem__)
        for cut in buckets([0] * len(same), batch_size):
            rows = torch.tensor([same[i] for i in cut])
            sides = clean.rows(rows).trim(), corrupt.rows(rows).trim()
            found.append(PairBatch(*sides, gold[rows.to(gold.device)], index[rows]))
    return found
