"""`Readout`: how the class logits are read from the logits of a module, and at which position."""

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
from hc_interp.models.read_at import ReadAt, checked_read_at, read_positions


@dataclass(frozen=True)
class Readout:
    """How the classes of a model are read. `kind` is that of its family.

    - "classifier": the module's logits are the class logits.
    - "last": a decoder's classifier, which reads one position of each row (see `positions`). `pad_token` is the
      `pad_token_id` of its config, or None.
    - "token": a token classifier, whose classes are those at the position that `read_at` gives.
    - "vocabulary" with `tokens`, one for each label word: a language model. The class logits are those of the tokens at
      the last position that is not padding, or at the first `mask_token` of a row that has one.
    - "vocabulary" without `tokens`: the logits are the whole vocabulary, and `labels` is None. They are read at every
      position, or with `one_word` at the position of the label words alone.
    """

    kind: str
    labels: tuple[str, ...] | None
    tokens: tuple[int, ...] | None = None
    mask_token: int | None = None
    pad_token: int | None = None
    one_word: bool = False
    read_at: ReadAt | None = None

    @classmethod
    def of(
        cls,
        geometry: Geometry,
        tokenizer: Any,
        labels: Sequence[str] | None,
        name: str,
        one_word: bool = False,
        read_at: ReadAt | None = None,
    ) -> Self:
        """The readout of a model; `one_word` is used only for a language model without label words.

        Raises `LabelError` for labels that do not fit the model (see `read_labels` and `label_tokens`), and
        `ModelError` for a classifier that does not choose one class (see `check_single_label`) and for a `read_at` that
        does not fit it (see `checked_read_at`).
        """
        family = geometry.family
        read_at = checked_read_at(read_at, family.readout, f"{name} ({type(geometry.module).__name__})")
        if family.readout != "vocabulary":
            outputs = geometry.part("head").weight.shape[0]  # the config may name another number
            check_single_label(geometry.config, outputs, name)
            names = read_labels(geometry.config, outputs, labels, name)
            pad_token = geometry.config.pad_token_id if family.readout == "last" else None
            return cls(family.readout, names, pad_token=pad_token, read_at=read_at)
        mask_token = None if family.causal else getattr(tokenizer, "mask_token_id", None)
        if labels is None:
            return cls(family.readout, None, mask_token=mask_token, one_word=one_word)
        return cls(family.readout, tuple(labels), label_tokens(tokenizer, labels, name), mask_token)

    @property
    def at_one_position(self) -> bool:
        """Whether the head reads one position of each row, whose stream is then `Site.pooled()`."""
        return self.kind in ("last", "token") or self.tokens is not None or self.one_word

    @property
    def pooled(self) -> bool:
        """Whether the model has a `Site.pooled()`."""
        return self.kind == "classifier" or self.at_one_position

    def positions(self, batch: Batch) -> Int[Tensor, " batch"]:
        """The position of each row that is read. It is never padding.

        A decoder's classifier reads the last token that is not `pad_token`, even if the text itself ends in that token,
        which may also be the end token. If a row has no other token, it reads position 0. Without a `pad_token` it
        reads the last position. So a row's logits are those that the module gives for the row alone. Raises `DataError`
        for a position of `read_at` that a row does not have.
        """
        if self.read_at is not None:
            return read_positions(self.read_at, batch)
        if self.pad_token is not None:
            seen = batch.attention_mask * (batch.input_ids != self.pad_token)
            return (seen * torch.arange(seen.shape[1], device=seen.device)).argmax(1)
        last = batch.attention_mask.sum(1) - 1
        if self.mask_token is None:
            return last
        is_mask_token = (batch.input_ids == self.mask_token) & batch.attention_mask.bool()
        return torch.where(is_mask_token.any(1), is_mask_token.int().argmax(1), last)

    def allow_batches(self, module: nn.Module) -> None:
        """Set a padding token in the config of a backend's tree, if it is a decoder's classifier without one.

        transformers refuses a batch otherwise. Any token will do: `head_input` gives the head the same vector at every
        position, so it does not matter which one the module picks.
        """
        config: Any = module.config
        if self.kind == "last" and config.pad_token_id is None:
            config.pad_token_id = 0

    def head_input(self, row: Float[Tensor, "batch d_model"], length: int) -> Float[Tensor, "batch pos d_model"]:
        """The input of the head: what it reads, at one position only.

        A decoder's classifier computes logits at all `length` positions and then picks one, so it is given `row` at
        all of them.
        """
        return row[:, None].expand(-1, length, -1) if self.kind == "last" else row[:, None]

    def classes(self, logits: Tensor) -> Tensor:
        """The class logits `[batch, class]` from a module's logits; the class of `one_word` is a word of the
        vocabulary.

        A whole vocabulary at every position is returned unchanged.
        """
        if self.tokens is None:
            return logits[:, 0] if self.one_word or self.kind == "token" else logits
        return logits[:, 0, list(self.tokens)]


def label_tokens(tokenizer: Any, labels: Sequence[str], name: str) -> tuple[int, ...]:
    """The token of each label word. Raises `LabelError` for words of several tokens or of the same."""
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
    encoded = [tokenizer.encode(label, add_special_tokens=False) for label in labels]
    unknown = getattr(tokenizer, "unk_token_id", None)
    for label, tokens in zip(labels, encoded, strict=True):
        if len(tokens) != 1 or tokens[0] == unknown:
            pieces = tokenizer.convert_ids_to_tokens(tokens)
            raise LabelError(
                f"The label {label!r} is {len(tokens)} tokens of {name} ({pieces}); a class is read off one known "
                "token. Choose a word of one token; mind the space before it (' yes' and 'yes' differ)."
            )
    tokens = tuple(tokens[0] for tokens in encoded)
    if len(set(tokens)) != len(tokens):
        raise LabelError(f"labels={list(labels)} are the tokens {tokens} of {name}. Give a different word per class.")
    return tokens
