"""`encode_pairs`: both sides of the aligned contrast pairs as batches of similar length.

A pair is aligned if a position means the same place in the sentence on both sides (`data.layout`).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.encode import (
    TokenizingModel,
    buckets,
    check_gold,
    check_lengths,
    pad,
    reads_vocabulary,
    token_rows,
    words_of,
)
from hc_interp.data.examples import Examples
from hc_interp.data.layout import check_masks
from hc_interp.data.roles import with_roles_of
from hc_interp.data.units import Levels
from hc_interp.torch_modes import own_torch_modes


class PairBatch(NamedTuple):
    """Some of the aligned pairs on the model's device: row i of `clean` and row i of `corrupt` are one pair.

    Both sides are scored by what `clean` has: labels (gold), or answers and foils. `index` numbers the rows among all
    aligned pairs.
    """

    clean: Batch
    corrupt: Batch
    index: Int[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class EncodedPairs:
    """Aligned pairs in batches of similar length; `dropped` is the number of unaligned pairs.

    `kept_ids`, `sources` and the levels of `units` (with "source") list the aligned pairs in their original order.
    `rows` numbers them in the pairs that were given, before unaligned ones were left out. Values that were computed
    batch by batch are put back into this order by `in_order(values, [b.index for b in encoded.batches])`.
    """

    batches: list[PairBatch]
    dropped: int
    kept_ids: tuple[str, ...]
    sources: tuple[str, ...]
    units: dict[str, Levels]
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.kept_ids)


@own_torch_modes
def encode_pairs(model: TokenizingModel, pairs: ContrastPairs, batch_size: int = 64) -> EncodedPairs:
    """Encode both sides of all aligned pairs, at most `batch_size` pairs to a batch.

    Raises `AlignmentError`, which names pair, position and both tokens, for an unaligned pair unless the pairs have
    `unaligned="drop"`, and if no pair is aligned. Raises `DataError` for texts with more tokens than the model has
    positions, and `LabelError` for pairs without what the model is scored by.
    """
    if reads_vocabulary(model) or pairs.gold is None:
        check_gold(model, pairs.clean)
    rows = pairs.aligned_rows(model)
    aligned = pairs.rows(rows)
    words: dict[str, Tensor] = {}
    sides: list[tuple[Batch, Batch]]
    if isinstance(aligned.clean, Batch) and isinstance(aligned.corrupt, Batch):
        check_lengths([aligned.clean.input_ids.shape[1]], [f"of {aligned.clean!r}"], model.max_positions)
        cuts = buckets([0] * len(aligned), batch_size)  # all rows are of one length, so they stay in order
        sides = [(aligned.clean.rows(cut), aligned.corrupt.rows(cut)) for cut in cuts]
    else:
        assert isinstance(aligned.clean, Examples)
        assert isinstance(aligned.corrupt, Examples)
        clean, corrupt = token_rows(model, aligned.clean), token_rows(model, aligned.corrupt)
        cuts = buckets([len(row["input_ids"]) for row in clean], batch_size)
        sides = [(pad(model, [clean[i] for i in cut]), pad(model, [corrupt[i] for i in cut])) for cut in cuts]
        words = words_of(model, aligned.clean)
    gold = None if aligned.gold is None else torch.tensor(aligned.gold)
    encoded = []
    for cut, (clean_batch, corrupt_batch) in zip(cuts, sides, strict=True):
        index = torch.tensor(cut)
        ids = tuple(aligned.ids[i] for i in cut)  # type: ignore[index]
        check_masks(
            clean_batch, corrupt_batch, ids
        )  # `aligned` looked at the tokenizer's tokens; model.tokenize may add others
        own = {name: tokens[index] for name, tokens in words.items()}
        labels = None if gold is None else gold[index]
        clean_batch = replace(clean_batch, ids=ids, labels=labels, **own)
        corrupt_batch = with_roles_of(replace(corrupt_batch, ids=ids), clean_batch).to(model.device)
        encoded.append(PairBatch(clean_batch.to(model.device), corrupt_batch, index))
    dropped = (pairs.dropped or 0) + len(pairs) - len(rows)
    return EncodedPairs(encoded, dropped, tuple(aligned.ids or ()), aligned.sources, aligned.all_units, tuple(rows))
