"""The check that two sides of pairs have the same layout under a model's tokenizer.

Aligned means that a position means the same place on both sides: equal attention mask, token types and separator
positions, and (for text) words that begin at the same positions, so that words which moved or were swapped have equal
piece counts. Without that, patching a position would mix different words.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from hc_interp.data.batch import Batch
from hc_interp.data.encode import CHUNK, TokenizingModel
from hc_interp.data.examples import Examples
from hc_interp.data.parts import DataPart
from hc_interp.errors import AlignmentError, DataError


class TokenLayout(NamedTuple):
    """One side of a pair as its tokenizer lays it out: tokens, and per position what must agree with the other side."""

    tokens: list[str]
    marks: list[tuple]


def aligned_rows(
    model: TokenizingModel, clean: DataPart, corrupt: DataPart, ids: Sequence[str], drop: bool
) -> list[int]:
    """Places of the aligned pairs.

    Raises `AlignmentError` for the first unaligned pair unless `drop`, and when none is left.
    """
    layouts = zip(_layouts(model, clean), _layouts(model, corrupt), strict=True)
    kept, first_problem = [], ""
    for row, sides in enumerate(layouts):
        problem = _difference(*sides)
        if not problem:
            kept.append(row)
            continue
        first_problem = first_problem or f"Pair {ids[row]} is not aligned: {problem}"
        if not drop:
            raise AlignmentError(
                f"{first_problem}. Both sides need words of equal piece counts at each place; change the words, or "
                "leave the pair out (ContrastPairs(..., unaligned='drop') leaves out and counts all such pairs)."
            )
    if not kept:
        raise AlignmentError(
            f"None of the {len(ids)} pairs is aligned under this tokenizer. {first_problem}. Use another kind of "
            "pair (task.pair_kinds(case)) or words that the tokenizer does not split differently."
        )
    return kept


def check_masks(clean: Batch, corrupt: Batch, ids: tuple[str, ...]) -> None:
    """Raise `AlignmentError`, naming pair and position, for two batches of different shape or mask."""
    if clean.input_ids.shape != corrupt.input_ids.shape:
        raise AlignmentError(
            f"The clean batch is {tuple(clean.input_ids.shape)}, the corrupt one {tuple(corrupt.input_ids.shape)}; "
            "pairs need the same [batch, pos]. Tokenize both sides together, or pass Examples."
        )
    differs = (clean.attention_mask.cpu() != corrupt.attention_mask.cpu()).nonzero()
    if len(differs):
        row, position = differs[0].tolist()
        raise AlignmentError(
            f"Pair {ids[row]} is not aligned: at position {position} one side is padding and the other is not. "
            "Both sides need the same number of tokens; leave this pair out or choose words of equal piece counts."
        )


def _layouts(model: TokenizingModel, part: DataPart) -> list[TokenLayout]:
    return _text_layouts(model, part) if isinstance(part, Examples) else _batch_layouts(model, part)


def _batch_layouts(model: TokenizingModel, batch: Batch) -> list[TokenLayout]:
    """Without texts there are no words: token types and the places of special tokens must agree.

    A model that was loaded without a tokenizer has no special tokens to compare.
    """
    tokenizer = model.tokenizer
    special = set(tokenizer.all_special_ids) if tokenizer is not None else set()
    types = batch.token_type_ids if batch.token_type_ids is not None else torch.zeros_like(batch.input_ids)
    names: dict[int, str] = {}
    for i in batch.input_ids.unique().tolist():
        names[i] = tokenizer.convert_ids_to_tokens(i) if tokenizer is not None else str(i)
    found = []
    rows = zip(batch.input_ids.tolist(), types.tolist(), batch.attention_mask.sum(1).tolist(), strict=True)
    for ids, kinds, n in rows:
        marks = [(kind, i if i in special else None) for kind, i in zip(kinds[:n], ids[:n], strict=True)]
        found.append(TokenLayout([names[i] for i in ids[:n]], marks))
    return found


def _text_layouts(model: TokenizingModel, examples: Examples) -> list[TokenLayout]:
    if not getattr(model.tokenizer, "is_fast", False):
        raise DataError(
            f"The tokenizer {type(model.tokenizer).__name__} cannot tell which tokens form a word, so pairs of texts "
            "cannot be checked. Load a fast tokenizer (use_fast=True), or pass two aligned Batch objects."
        )
    found = []
    for start in range(0, len(examples), CHUNK):
        part = examples.rows(slice(start, start + CHUNK))
        texts = (list(part.first),) if part.second is None else (list(part.first), list(part.second))
        encoded = model.tokenizer(*texts)
        found.extend(_text_layout(encoded.encodings[i], [side[i] for side in texts]) for i in range(len(part)))
    return found


def _text_layout(encoding, texts: list[str]) -> TokenLayout:
    """Per position: which text, its token type, its word for the tokenizer, its word between spaces; or which special.

    The tokenizer's words alone would not do: a tokenizer without a word splitter takes a whole text for one word.
    """
    counts = [_words_before(text) for text in texts]
    marks = []
    rows = (encoding.tokens, encoding.type_ids, encoding.sequence_ids, encoding.word_ids, encoding.offsets)
    for token, kind, sequence, word, (start, end) in zip(*rows, strict=True):
        if sequence is None:
            marks.append((kind, token))
        else:
            marks.append((kind, sequence, word, counts[sequence][max(start, end - 1)] if end else 0))
    return TokenLayout(encoding.tokens, marks)


def _words_before(text: str) -> list[int]:
    """For each character, how many space-separated words have begun up to it."""
    counts, n, inside = [], 0, False
    for character in text:
        if character.isspace():
            inside = False
        elif not inside:
            inside, n = True, n + 1
        counts.append(n)
    return counts


def _difference(clean: TokenLayout, corrupt: TokenLayout) -> str:
    """Where two layouts part ("" if nowhere), with the two tokens there."""
    for position, (left, right) in enumerate(zip(clean.marks, corrupt.marks, strict=False)):
        if left != right:
            tokens = f"clean has {clean.tokens[position]!r}, corrupt {corrupt.tokens[position]!r}"
            return f"at position {position} {tokens}, which stand at different places in their texts"
    if len(clean.marks) != len(corrupt.marks):
        position = min(len(clean.marks), len(corrupt.marks))
        counts = f"clean has {len(clean.marks)} tokens, corrupt {len(corrupt.marks)}"
        return f"{counts} (position {position} is on one side only)"
    return ""
