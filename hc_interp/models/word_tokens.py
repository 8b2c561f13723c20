"""Finds the tokens of each word of a text."""

from collections.abc import Sequence
from typing import Any

from hc_interp.data.encode import CHUNK
from hc_interp.data.examples import Examples
from hc_interp.data.overlap import located_words
from hc_interp.errors import DataError, ModelError
from hc_interp.models.hooked import HookedModel

Span = tuple[int, int]  # start and end, in characters
Pieces = tuple[int, ...]  # the positions of a word's tokens


def word_positions(model: HookedModel, examples: Examples) -> list[list[int | None]]:
    """The position at which each word of the second texts is read, in the order of `data.overlap.words`.

    A word of several tokens is read at the first of them in a bidirectional model, and at the last in a causal one,
    which only there has seen the whole word. It is None for a word that the tokenizer dropped. Words that share a token
    (Chinese characters, which some vocabularies join) have the same position. Raises what `word_tokens` raises.
    """
    at = -1 if model.geometry.family.causal else 0
    return [[tokens[at] if tokens else None for tokens in second] for _, second in word_tokens(model, examples)]


def word_tokens(model: HookedModel, examples: Examples) -> list[tuple[list[Pieces], list[Pieces]]]:
    """The positions of each word's tokens, for both texts of each example, in the order of `data.overlap.words`.

    A word that the tokenizer dropped has none. Punctuation and special tokens belong to no word. Raises `ModelError`
    for a tokenizer that does not tell which characters a token covers, and `DataError` without second texts.
    """
    if examples.second is None:
        raise DataError(
            f"{examples!r} holds single texts; a word feature compares two. Give Examples a first and a second text."
        )
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{model.name} has {'no' if tokenizer is None else 'a slow'} tokenizer, so words cannot be found among its "
            "tokens. Load it with a fast one (transformers.AutoTokenizer.from_pretrained(..., use_fast=True))."
        )
    rows: list[tuple[list[Pieces], list[Pieces]]] = []
    for start in range(0, len(examples), CHUNK):
        part = examples.rows(slice(start, start + CHUNK))
        assert part.second is not None
        encoded = tokenizer(list(part.first), list(part.second), return_offsets_mapping=True)
        for row, texts in enumerate(zip(part.first, part.second, strict=True)):
            offsets, sides = encoded["offset_mapping"][row], encoded.sequence_ids(row)
            first, second = (
                _pieces(word_spans(text), _token_spans(offsets, sides, side)) for side, text in enumerate(texts)
            )
            rows.append((first, second))
    return rows


def word_spans(text: str) -> list[Span]:
    """The start and end of each word of the text, in characters."""
    return [(start, end) for _, start, end in located_words(text)]


def _token_spans(offsets: Sequence[Any], sides: Sequence[int | None], side: int) -> list[tuple[int, Span]]:
    """The position and the characters of each token that belongs to the text number `side`."""
    return [(i, tuple(span)) for i, (span, text) in enumerate(zip(offsets, sides, strict=True)) if text == side]


def _pieces(spans: Sequence[Span], tokens: Sequence[tuple[int, Span]]) -> list[Pieces]:
    """The tokens that share a character with each word."""
    return [tuple(position for position, (a, b) in tokens if a < end and b > start) for start, end in spans]
