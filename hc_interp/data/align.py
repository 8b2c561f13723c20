"""Encoding of contrast pairs: both sides of the aligned pairs in batches of similar length."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.encode import TokenizingModel, buckets, check_lengths, pad, token_rows
from hc_interp.data.examples import Examples
from hc_interp.data.layout import check_masks
from hc_interp.torch_modes import own_torch_modes


class PairBatch(NamedTuple):
    """Rows of both sides, on the model's device; `index` is their places among the kept pairs."""

    clean: Batch
    corrupt: Batch
    gold: Int[Tensor, " batch"]
    index: Int[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class EncodedPairs:
    """Aligned pairs in batches of similar length; `dropped` counts those that were not aligned.

    `kept_ids` and `sources` are in the pairs' original order; `index` of a batch counts in the same order, so
    `in_order(values, [b.index for b in encoded.batches])` restores it.
    """

    batches: list[PairBatch]
    dropped: int
    kept_ids: tuple[str, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kept_ids)


@own_torch_modes
def encode_pairs(model: TokenizingModel, pairs: ContrastPairs, batch_size: int = 64) -> EncodedPairs:
    """Encode both sides of all aligned pairs.

    Raises `AlignmentError`, naming pair, position and both tokens, for an unaligned pair that may not be dropped, and
    when none is left; `DataError` for texts longer than the model's positions.
    """
    kept = pairs.aligned(model)
    sides: list[tuple[Batch, Batch]]
    if isinstance(kept.clean, Batch) and isinstance(kept.corrupt, Batch):
        check_lengths([kept.clean.input_ids.shape[1]], [f"of {kept.clean!r}"], model.max_positions)
        cuts = buckets([0] * len(kept), batch_size)  # equal lengths: the rows stay in order
        sides = [(kept.clean.rows(cut), kept.corrupt.rows(cut)) for cut in cuts]
    else:
        assert isinstance(kept.clean, Examples)
        assert isinstance(kept.corrupt, Examples)
        clean, corrupt = token_rows(model, kept.clean), token_rows(model, kept.corrupt)
        cuts = buckets([len(row["input_ids"]) for row in clean], batch_size)
        sides = [(pad(model, [clean[i] for i in cut]), pad(model, [corrupt[i] for i in cut])) for cut in cuts]
    gold = torch.tensor(kept.gold)
    found = []
    for cut, (clean_batch, corrupt_batch) in zip(cuts, sides, strict=True):
        index = torch.tensor(cut)
        ids = tuple(kept.ids[i] for i in cut)  # type: ignore[index]
        check_masks(clean_batch, corrupt_batch, ids)  # model.tokenize may add to what its tokenizer makes
        clean_batch = replace(clean_batch, ids=ids, labels=gold[index]).to(model.device)
        corrupt_batch = replace(corrupt_batch, ids=ids).to(model.device)
        found.append(PairBatch(clean_batch, corrupt_batch, gold[index].to(model.device), index))
    return EncodedPairs(found, kept.dropped or 0, kept.ids or (), kept.sources)
