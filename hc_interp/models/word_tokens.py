"""Where the words of a text stand among the tokens that a model reads."""

from collections.abc import Sequence
from typing import Any

from hc_interp.data.encode import CHUNK
from hc_interp.data.examples import Examples
from hc_interp.data.overlap import located_words
from hc_interp.errors import DataError, ModelError
from hc_interp.models.hooked import HookedModel

Span = tuple[int, int]
Pieces = tuple[int, ...]


def word_positions(model: HookedModel, examples: Examples) -> list[list[int | None]]:
    """The token that stands for each word of the second texts, in the order of `data.overlap.words`.

    A word of several pieces is read at its first piece, where a bidirectional model has seen all of it; in a causal
    model at its last. None: the tokenizer dropped the word. Words that share a token (Chinese characters, which some
    vocabularies join) are all read at it. Raises what `word_tokens` raises.
    """
    at = -1 if model.geometry.family.causal else 0
    return [[tokens[at] if tokens else None for tokens in second] for _, second in word_tokens(model, examples)]


def word_tokens(model: HookedModel, examples: Examples) -> list[tuple[list[Pieces], list[Pieces]]]:
    """The tokens of each word of both texts, in the order of `data.overlap.words`; none where it was dropped.

    Punctuation and special tokens belong to no word. Raises `ModelError` for a tokenizer that does not tell which
    characters a token covers, `DataError` without second texts.
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
    found: list[tuple[list[Pieces], list[Pieces]]] = []
    for start in range(0, len(examples), CHUNK):
        part = examples.rows(slice(start, start + CHUNK))
        assert part.second is not None
        encoded = tokenizer(list(part.first), list(part.second), return_offsets_mapping=True)
        for row, texts in enumerate(zip(part.first, part.second, strict=True)):
            offsets, sides = encoded["offset_mapping"][row], encoded.sequence_ids(row)
            first, second = (
                _pieces(word_spans(text), _token_spans(offsets, sides, side)) for side, text in enumerate(texts)
            )
            found.append((first, second))
    return found


def word_spans(text: str) -> list[Span]:
    """Start and end of each of the text's words, as characters of the text as given."""
    return [(start, end) for _, start, end in located_words(text)]


def _token_spans(offsets: Sequence[Any], sides: Sequence[int | None], side: int) -> list[tuple[int, Span]]:
    """Position and characters of each token of one of the two texts."""
    return [(i, tuple(span)) for i, (span, own) in enumerate(zip(offsets, sides, strict=True)) if own == side]


def _pieces(spans: Sequence[Span], tokens: Sequence[tuple[int, Span]]) -> list[Pieces]:
    """The tokens that share a character with each word."""
    return [tuple(position for position, (a, b) in tokens if a < end and b > start) for start, end in spans]
