"""`Readout`: how class logits are read off what a module computes, and at which position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.errors import LabelError
from hc_interp.models.geometry import Geometry
from hc_interp.models.labels import check_single_label, read_labels


@dataclass(frozen=True)
class Readout:
    """Where the classes of a model are read.

    `kind` is its family's: "classifier" logits are the classes as they are; "last" scores the position that a decoder's
    classifier picks (see `positions`); "vocabulary" with `tokens` (one for each label word) reads those tokens at the
    last position that is not masked, in a masked language model at the first `mask_token` of a row that has one;
    without `tokens` it is the whole vocabulary at every position. `labels` is None for the latter. `pad_token` is the
    `pad_token_id` of a decoder classifier's config, None where it names none.
    """

    kind: str
    labels: tuple[str, ...] | None
    tokens: tuple[int, ...] | None = None
    mask_token: int | None = None
    pad_token: int | None = None

    @classmethod
    def of(cls, geometry: Geometry, tokenizer: Any, labels: Sequence[str] | None, name: str) -> Self:
        """Raises `LabelError` for labels that do not fit the model: see `read_labels` and `label_tokens`; `ModelError`
        for a classifier that does not choose one class: see `check_single_label`."""
        family = geometry.family
        if family.readout != "vocabulary":
            outputs = geometry.part("head").weight.shape[0]  # the config may say another number
            check_single_label(geometry.config, outputs, name)
            names = read_labels(geometry.config, outputs, labels, name)
            return cls(
                family.readout, names, pad_token=geometry.config.pad_token_id if family.readout == "last" else None
            )
        if labels is None:
            return cls(family.readout, None)
        mask_token = None if family.causal else getattr(tokenizer, "mask_token_id", None)
        return cls(family.readout, tuple(labels), label_tokens(tokenizer, labels, name), mask_token)

    @property
    def at_one_position(self) -> bool:
        """Whether one position of each row is read, so that `Site.pooled()` is what the head reads there."""
        return self.kind == "last" or self.tokens is not None

    @property
    def pooled(self) -> bool:
        """Whether the model has a `Site.pooled()`."""
        return self.kind == "classifier" or self.at_one_position

    def positions(self, batch: Batch) -> Int[Tensor, " batch"]:
        """The position of each row that is read.

        A decoder's classifier reads the last token that is not `pad_token`, also where a text itself ends in that token
        (as it may where padding is the end token), and position 0 of a row that holds no other. Without a `pad_token`
        it reads the last position. Masked positions are never read: a row's answer is the module's for the row alone.
        """
        if self.pad_token is not None:
            seen = batch.attention_mask * (batch.input_ids != self.pad_token)
            return (seen * torch.arange(seen.shape[1], device=seen.device)).argmax(1)
        last = batch.attention_mask.sum(1) - 1
        if self.mask_token is None:
            return last
        masked = (batch.input_ids == self.mask_token) & batch.attention_mask.bool()
        return torch.where(masked.any(1), masked.int().argmax(1), last)

    def let_batches_in(self, module: nn.Module) -> None:
        """Name a padding token in the config of a backend's tree, where a decoder's classifier without one takes no
        batch. Which token does not matter, since `put_back` makes all positions alike."""
        config: Any = module.config
        if self.kind == "last" and config.pad_token_id is None:
            config.pad_token_id = 0

    def put_back(self, row: Float[Tensor, "batch d_model"], length: int) -> Float[Tensor, "batch pos d_model"]:
        """What the head is given in place of all positions: the read one alone, or, for a module that picks a position
        itself, the read one everywhere."""
        return row[:, None].expand(-1, length, -1) if self.kind == "last" else row[:, None]

    def classes(self, logits: Tensor) -> Tensor:
        """Class logits `[batch, class]` from the module's; a whole vocabulary `[batch, pos, vocab]` as it is."""
        return logits if self.tokens is None else logits[:, 0, list(self.tokens)]


def label_tokens(tokenizer: Any, labels: Sequence[str], name: str) -> tuple[int, ...]:
    """The token of each label word. Raises `LabelError` for words that are not one token each, or not different."""
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels) or len(labels) < 2:
        raise LabelError(
            f"labels={labels!r} cannot be read as the classes of {name}, a language model. Give a list of at least two "
            "words, each as the model would write it: labels=[' yes', ' no']."
        )
    if tokenizer is None:
        raise LabelError(
            f"labels={list(labels)} are words, but {name} was loaded without a tokenizer to find their tokens. "
            "Pass one: hc.load(..., tokenizer=tok, labels=[...])."
        )
    found = [tokenizer.encode(label, add_special_tokens=False) for label in labels]
    unknown = getattr(tokenizer, "unk_token_id", None)
    for label, tokens in zip(labels, found, strict=True):
        if len(tokens) != 1 or tokens[0] == unknown:
            pieces = tokenizer.convert_ids_to_tokens(tokens)
            raise LabelError(
                f"The label {label!r} is {len(tokens)} tokens of {name} ({pieces}); a class is read off one known "
                "token. Choose a word of one token; mind the space before it (' yes' and 'yes' differ)."
            )
    tokens = tuple(tokens[0] for tokens in found)
    if len(set(tokens)) != len(tokens):
        raise LabelError(f"labels={list(labels)} are the tokens {tokens} of {name}. Give a different word per class.")
    return tokens
