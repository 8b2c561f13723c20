"""Text to batches of similar length, with the index that puts results back into the original order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad as pad_right

from hc_interp.data.answer_tokens import word_tokens
from hc_interp.data.batch import Batch, TokenRow, role_key
from hc_interp.data.examples import Examples
from hc_interp.data.parts import Data, as_parts
from hc_interp.data.roles import span_masks
from hc_interp.errors import DataError, LabelError

CHUNK = 256  # texts tokenized at once


class TokenizingModel(Protocol):
    """What encoding needs of a model: its tokenizer, its number of positions and its device."""

    tokenizer: Any

    @property
    def max_positions(self) -> int: ...
    @property
    def device(self) -> "torch.device | str": ...
    def tokenize(self, first: Sequence[str], second: Sequence[str] | None = None) -> Batch: ...


@dataclass(frozen=True, eq=False)
class EncodedBatch:
    """A batch on the model's device; `index` numbers its rows in the data that the batch was made from."""

    batch: Batch
    index: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.batch)


def batches(model: TokenizingModel, data: Data, batch_size: int = 32, with_labels: bool = True) -> list[EncodedBatch]:
    """Encode a split of a task, one batch, or an iterable of either, at most `batch_size` rows to a batch.

    Texts are sorted by length, so that a batch holds little padding; the rows of a given batch keep their order.
    `index` counts over all of `data`, and `in_order` puts per-example values back into the order of `data`. With
    `with_labels` the data must have what the model is scored by: labels, or answers and foils if the model is read over
    its whole vocabulary. Without it the batches have neither. Raises `DataError` for an empty split, missing labels, or
    a text with more tokens than the model has positions (nothing is ever truncated), `LabelError` for missing answers
    and for words that are not one token (`word_tokens`).
    """
    encoded: list[EncodedBatch] = []
    start = 0
    for part in as_parts(data):
        if len(part) == 0:
            raise DataError(
                "The data has no examples; expected at least one. Check the file or the filter it came from."
            )
        if with_labels:
            check_gold(model, part)
        elif isinstance(part, Examples):
            part = replace(part, label=None, answer=None, foil=None)
        pieces = (_from_examples if isinstance(part, Examples) else _from_batch)(model, part, batch_size)  # type: ignore[arg-type]
        for batch, index in pieces:
            batch = batch if with_labels else replace(batch, labels=None, answer=None, foil=None)
            encoded.append(EncodedBatch(batch.to(model.device), index + start))
        start += len(part)
    if not encoded:
        raise DataError("The data is an empty iterable; expected Examples, a Batch, or several of them.")
    return encoded


def reads_vocabulary(model: Any) -> bool:
    """Whether the model is a language model that is read over its whole vocabulary, not at label words."""
    return getattr(model, "labels", ()) is None


def all_scored(model: Any, parts: Sequence[Examples | Batch]) -> bool:
    """Whether all parts have what the model is scored by: labels, or answers if its outputs are a whole vocabulary."""
    if reads_vocabulary(model):
        return all(part.answer is not None for part in parts)
    return all((part.label if isinstance(part, Examples) else part.labels) is not None for part in parts)


def check_gold(model: Any, part: Examples | Batch) -> None:
    """Raise for a part without what the model is scored by: `DataError` for labels, `LabelError` for answers."""
    if reads_vocabulary(model):
        if part.answer is None:
            raise LabelError(
                f"The model's outputs are a whole vocabulary, and {part!r} has no answers to score them by. Give it an "
                "answer and a foil for each row, Examples(..., answer=[' Mary', ...], foil=[' John', ...]), or load "
                'the model with the words to read as classes, one for each label: hc.load(..., labels=[" yes", " no"]).'
            )
        return
    if (part.label if isinstance(part, Examples) else part.labels) is not None:
        return
    if part.answer is not None:
        raise LabelError(
            f"{part!r} has answers, which are words of a vocabulary, but no labels, and the model is read at the "
            f"classes {', '.join(getattr(model, 'labels', None) or ())}. Load a language model without labels=, or "
            "give the data labels."
        )
    raise DataError(
        f"{part!r} has no labels, which this computation needs. Build it with a label for each example: "
        "Examples(..., label=[...]) or Batch(..., labels=[...])."
    )


def words_of(model: Any, examples: Examples) -> dict[str, Tensor]:
    """The tokens of the examples' answers and foils, by name; none where the model is read at classes.

    Raises `LabelError` for a word that is not one token of the model where it stands.
    """
    if examples.answer is None or not reads_vocabulary(model):
        return {}
    at_mask = getattr(getattr(model, "readout", None), "mask_token", None) is not None
    mask = model.tokenizer.mask_token if at_mask else None
    texts = examples.first, examples.second
    return {
        name: word_tokens(model.tokenizer, mask, getattr(examples, name), *texts, examples.id, name)
        for name in ("answer", "foil")
    }


def roles_of(model: TokenizingModel, examples: Examples, width: int) -> dict[str, Bool[Tensor, "batch pos"]] | None:
    """The positions of the examples' roles in a batch of this width; None without any."""
    rows = span_masks(model.tokenizer, examples)
    return {
        role: torch.stack([pad_right(row[role], (0, width - len(row[role]))) for row in rows]) for role in rows[0]
    } or None


def in_order(parts: Sequence[Tensor], indices: Sequence[Int[Tensor, " batch"]]) -> Tensor:
    """Join the per-row values of several batches in the original order of the rows, which `indices` number."""
    return torch.cat(list(parts))[torch.argsort(torch.cat([i.cpu() for i in indices])).to(parts[0].device)]


def _from_batch(model: TokenizingModel, batch: Batch, size: int) -> Iterator[tuple[Batch, Tensor]]:
    check_lengths([batch.input_ids.shape[1]], [f"of {batch!r}"], model.max_positions)
    for cut in buckets([0] * len(batch), size):  # all rows are of one length, so they stay in order
        index = torch.tensor(cut)
        yield (batch if len(index) == len(batch) else batch.rows(index)), index


def _from_examples(model: TokenizingModel, examples: Examples, size: int) -> Iterator[tuple[Batch, Tensor]]:
    rows = token_rows(model, examples)
    labels = None if examples.label is None else torch.tensor(examples.label)
    words = words_of(model, examples)
    for index in buckets([len(row["input_ids"]) for row in rows], size):
        batch = pad(model, [rows[i] for i in index])
        ids = tuple(examples.id[i] for i in index)
        order = torch.tensor(index)
        gold = {name: tokens[order] for name, tokens in words.items()}
        yield replace(batch, ids=ids, labels=None if labels is None else labels[order], **gold), order


def buckets(lengths: Sequence[int], size: int) -> list[list[int]]:
    """The row numbers, sorted by length (stable) and cut into buckets of `size`."""
    if size < 1:
        raise DataError(f"batch_size is {size}; expected 1 or more.")
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[i : i + size] for i in range(0, len(order), size)]


def token_rows(model: TokenizingModel, examples: Examples) -> list[TokenRow]:
    """Each example's tensors without padding, its roles among them.

    Raises `DataError` naming the examples that the model cannot read.
    """
    rows: list[TokenRow] = [{} for _ in range(len(examples))]
    characters = [len(a) + len(b) for a, b in zip(examples.first, examples.second or examples.first, strict=True)]
    for indices in buckets(characters, CHUNK):  # texts of similar length together: the tokenizer pads each chunk
        part = examples.rows(indices)
        texts = list(part.first), None if part.second is None else list(part.second)
        try:
            batch = model.tokenize(*texts)
        except DataError:  # the model does not know the ids, which the error is to name
            check_lengths(
                [len(row) for row in model.tokenizer(*texts)["input_ids"]], part.id or (), model.max_positions
            )
            raise
        for i, row, roles in zip(indices, batch.token_rows(), span_masks(model.tokenizer, part), strict=True):
            rows[i] = row | {role_key(name): where for name, where in roles.items()}
            if any(len(where) != len(row["input_ids"]) for where in roles.values()):
                raise DataError(
                    f"The model reads {len(row['input_ids'])} tokens of example {examples.id[i]!r}, whose tokenizer "
                    "gives another number, so that the tokens of its spans are not known. Leave spans= out, or pass a "
                    "Batch with roles=."
                )
    check_lengths([len(row["input_ids"]) for row in rows], examples.id or (), model.max_positions)
    return rows


def check_lengths(lengths: Sequence[int], ids: Sequence[str], limit: int) -> None:
    """Raise `DataError` naming the examples that have no tokens, or more tokens than `limit`."""
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


def _some(ids: Sequence[str], indices: Sequence[int]) -> str:
    return ", ".join(ids[i] for i in indices[:5]) + (", ..." if len(indices) > 5 else "")


def _pad_id(tokenizer: Any) -> int | None:
    if tokenizer is None:  # padding is masked, so any token of the vocabulary will do
        return 0
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id


def pad(model: TokenizingModel, rows: Sequence[TokenRow]) -> Batch:
    """Right-pad to the longest row, with the end-of-text token where the tokenizer has no padding token.

    Raises `DataError` where the tokenizer has neither and the rows differ in length.
    """
    pad_id = _pad_id(model.tokenizer)
    if pad_id is None and len({len(row["input_ids"]) for row in rows}) > 1:
        raise DataError(
            "The tokenizer has neither a padding nor an end-of-text token, so texts of different lengths cannot "
            "share a batch. Set tokenizer.pad_token, or use batch_size=1."
        )
    return Batch.of_rows(rows, pad_id or 0)
