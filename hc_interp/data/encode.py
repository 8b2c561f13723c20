"""Text to batches: tokens in buckets of similar length, with the way back to the original order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.batch import Batch, TokenRow
from hc_interp.data.examples import Examples
from hc_interp.data.parts import Data, as_parts
from hc_interp.errors import DataError

CHUNK = 256  # texts tokenized at once


class TokenizingModel(Protocol):
    """What encoding needs from a model."""

    tokenizer: Any

    @property
    def max_positions(self) -> int: ...
    @property
    def device(self) -> "torch.device | str": ...
    def tokenize(self, first: Sequence[str], second: Sequence[str] | None = None) -> Batch: ...


@dataclass(frozen=True, eq=False)
class EncodedBatch:
    """A batch on the model's device and the places of its rows in the data that it came from."""

    batch: Batch
    index: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.batch)


def batches(model: TokenizingModel, data: Data, batch_size: int = 32, with_labels: bool = True) -> list[EncodedBatch]:
    """Encode a split of a task, one batch, or an iterable of either.

    Texts are sorted by length so that a batch holds little padding; given batches keep their rows' order and are cut
    at `batch_size`. `index` counts over all of `data`, and `in_order` puts per-example values back. `with_labels`
    demands labels; without it they are left out. Raises `DataError` for an empty split, a missing label, or a text that
    is longer than the model's positions (nothing is ever truncated).
    """
    found: list[EncodedBatch] = []
    start = 0
    for part in as_parts(data):
        if len(part) == 0:
            raise DataError(
                "The data has no examples; expected at least one. Check the file or the filter it came from."
            )
        if with_labels and (part.label if isinstance(part, Examples) else part.labels) is None:
            raise DataError(
                f"{part!r} has no labels, which this computation needs. Build it with a label for each example: "
                "Examples(..., label=[...]) or Batch(..., labels=[...])."
            )
        encode = _from_examples if isinstance(part, Examples) else _from_batch
        pieces = encode(model, part, batch_size)  # type: ignore[arg-type]
        for batch, index in pieces:
            batch = batch if with_labels else replace(batch, labels=None)
            found.append(EncodedBatch(batch.to(model.device), index + start))
        start += len(part)
    if not found:
        raise DataError("The data is an empty iterable; expected Examples, a Batch, or several of them.")
    return found


def in_order(parts: Sequence[Tensor], indices: Sequence[Int[Tensor, " batch"]]) -> Tensor:
    """Join per-row values of several batches in the original order of the rows."""
    return torch.cat(list(parts))[torch.argsort(torch.cat([i.cpu() for i in indices])).to(parts[0].device)]


def _from_batch(model: TokenizingModel, batch: Batch, size: int) -> Iterator[tuple[Batch, Tensor]]:
    check_lengths([batch.input_ids.shape[1]], [f"of {batch!r}"], model.max_positions)
    for cut in buckets([0] * len(batch), size):  # equal lengths: the rows stay in order
        index = torch.tensor(cut)
        yield (batch if len(index) == len(batch) else batch.rows(index)), index


def _from_examples(model: TokenizingModel, examples: Examples, size: int) -> Iterator[tuple[Batch, Tensor]]:
    rows = token_rows(model, examples)
    labels = None if examples.label is None else torch.tensor(examples.label)
    for index in buckets([len(row["input_ids"]) for row in rows], size):
        batch = pad(model, [rows[i] for i in index])
        ids = tuple(examples.id[i] for i in index)
        order = torch.tensor(index)
        yield replace(batch, ids=ids, labels=None if labels is None else labels[order]), order


def buckets(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Places sorted by length (stable) and cut into buckets of `size`."""
    if size < 1:
        raise DataError(f"batch_size is {size}; expected 1 or more.")
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[i : i + size] for i in range(0, len(order), size)]


def token_rows(model: TokenizingModel, examples: Examples) -> list[TokenRow]:
    """Each example's tensors without padding. Raises `DataError` naming those that the model cannot read."""
    rows: list[TokenRow] = [{} for _ in range(len(examples))]
    characters = [len(a) + len(b) for a, b in zip(examples.first, examples.second or examples.first, strict=True)]
    for places in buckets(characters, CHUNK):  # texts of similar length together: the tokenizer pads each chunk
        part = examples.rows(places)
        texts = list(part.first), None if part.second is None else list(part.second)
        try:
            batch = model.tokenize(*texts)
        except DataError:  # a model refuses what it cannot read, but does not know the ids
            check_lengths(
                [len(row) for row in model.tokenizer(*texts)["input_ids"]], part.id or (), model.max_positions
            )
            raise
        for place, row in zip(places, batch.token_rows(), strict=True):
            rows[place] = row
    check_lengths([len(row["input_ids"]) for row in rows], examples.id or (), model.max_positions)
    return rows


def check_lengths(lengths: Sequence[int], ids: Sequence[str], limit: int) -> None:
    """Raise `DataError` naming the examples that have no tokens, or more than the model has positions."""
    if empty := [i for i, length in enumerate(lengths) if not length]:
        raise DataError(
            f"{len(empty)} of {len(lengths)} examples have no tokens (ids {_some(ids, empty)}): their texts are empty, "
            "and this tokenizer adds none of its own. Drop them (task.fitting(model), examples.rows(...)), or give "
            "them a text."
        )
    if too_long := [i for i, length in enumerate(lengths) if length > limit]:
        raise DataError(
            f"{len(too_long)} of {len(lengths)} examples are longer than the model's {limit} positions (up to "
            f"{max(lengths)} tokens; ids {_some(ids, too_long)}). They are not truncated, because a cut text may no "
            "longer have its label: drop them (task.fitting(model), examples.rows(...)), or use a model with more "
            "positions."
        )


def _some(ids: Sequence[str], places: Sequence[int]) -> str:
    return ", ".join(ids[i] for i in places[:5]) + (", ..." if len(places) > 5 else "")


def _pad_id(tokenizer: Any) -> int | None:
    if tokenizer is None:  # a model of encoded batches only: padding is masked, any token of the vocabulary will do
        return 0
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id


def pad(model: TokenizingModel, rows: Sequence[TokenRow]) -> Batch:
    """Right-pad to the longest row. Padding is masked, so a tokenizer without a padding token lends its end token."""
    pad_id = _pad_id(model.tokenizer)
    if pad_id is None and len({len(row["input_ids"]) for row in rows}) > 1:
        raise DataError(
            "The tokenizer has neither a padding nor an end-of-text token, so texts of different lengths cannot "
            "share a batch. Set tokenizer.pad_token, or use batch_size=1."
        )
    return Batch.of_rows(rows, pad_id or 0)
