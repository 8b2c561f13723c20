"""The check that both sides of contrast pairs have the same layout under a model's tokenizer.

Two sides are aligned if a position means the same place in the sentence on both: they have equal attention masks, token
types and separator positions, and (for texts) their words begin at the same positions. Words that were moved or swapped
must therefore have equally many word pieces. On unaligned sides, patching a position would mix different words.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from hc_interp.data.batch import Batch
from hc_interp.data.encode import CHUNK, TokenizingModel
from hc_interp.data.examples import Examples
from hc_interp.data.parts import DataPart
from hc_interp.errors import AlignmentError, DataError

if TYPE_CHECKING:
    from tokenizers import Encoding


class TokenLayout(NamedTuple):
    """The tokens of one side of a pair, and a mark for each position. Sides with equal marks are aligned."""

    tokens: list[str]
    marks: list[tuple]


def aligned_rows(
    model: TokenizingModel, clean: DataPart, corrupt: DataPart, ids: Sequence[str], drop: bool
) -> list[int]:
    """The row numbers of the aligned pairs.

    Raises `AlignmentError` for the first unaligned pair unless `drop`, and if no pair is aligned.
    """
    layouts = zip(_layouts(model, clean), _layouts(model, corrupt), strict=True)
    aligned, first_problem = [], ""
    for row, sides in enumerate(layouts):
        problem = _difference(*sides)
        if not problem:
            aligned.append(row)
            continue
        first_problem = first_problem or f"Pair {ids[row]} is not aligned: {problem}"
        if not drop:
            raise AlignmentError(
                f"{first_problem}. Both sides need words of equal piece counts at each place; change the words, or "
                "leave the pair out (ContrastPairs(..., unaligned='drop') leaves out and counts all such pairs)."
            )
    if not aligned:
        raise AlignmentError(
            f"None of the {len(ids)} pairs is aligned under this tokenizer. {first_problem}. Use another kind of "
            "pair (task.pair_kinds(case)) or words that the tokenizer does not split differently."
        )
    return aligned


def check_masks(clean: Batch, corrupt: Batch, ids: Sequence[str]) -> None:
    """Raise `AlignmentError`, which names pair and position, for two batches of different shape or mask."""
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
    """The mark of a position is its token type and its special token, if any: a batch does not tell its words.

    For a model that was loaded without a tokenizer, the special tokens are unknown and are not compared.
    """
    tokenizer = model.tokenizer
    special = set(tokenizer.all_special_ids) if tokenizer is not None else set()
    types = batch.token_type_ids if batch.token_type_ids is not None else torch.zeros_like(batch.input_ids)
    names: dict[int, str] = {}
    for i in batch.input_ids.unique().tolist():
        names[i] = tokenizer.convert_ids_to_tokens(i) if tokenizer is not None else str(i)
    layouts = []
    rows = zip(batch.input_ids.tolist(), types.tolist(), batch.attention_mask.sum(1).tolist(), strict=True)
    for ids, kinds, n in rows:
        marks = [(kind, i if i in special else None) for kind, i in zip(kinds[:n], ids[:n], strict=True)]
        layouts.append(TokenLayout([names[i] for i in ids[:n]], marks))
    return layouts


def _text_layouts(model: TokenizingModel, examples: Examples) -> list[TokenLayout]:
    if not getattr(model.tokenizer, "is_fast", False):
        raise DataError(
            f"The tokenizer {type(model.tokenizer).__name__} cannot tell which tokens form a word, so pairs of texts "
            "cannot be checked. Load a fast tokenizer (use_fast=True), or pass two aligned Batch objects."
        )
    layouts = []
    for start in range(0, len(examples), CHUNK):
        part = examples.rows(slice(start, start + CHUNK))
        texts = (list(part.first),) if part.second is None else (list(part.first), list(part.second))
        encoded = model.tokenizer(*texts)
        layouts.extend(_text_layout(encoded.encodings[i], [side[i] for side in texts]) for i in range(len(part)))
    return layouts


def _text_layout(encoding: "Encoding", texts: list[str]) -> TokenLayout:
    """The mark of a special token is its token type and itself.

    The mark of any other token is its token type, its text, the number of its word by the tokenizer, and the number of
    its word by spaces. The tokenizer's words alone do not suffice: a tokenizer without a word splitter takes a whole
    text for one word.
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
    """For each character, the number of space-separated words that have begun up to it."""
    counts, n, inside = [], 0, False
    for character in text:
        if character.isspace():
            inside = False
        elif not inside:
            inside, n = True, n + 1
        counts.append(n)
    return counts


def _difference(clean: TokenLayout, corrupt: TokenLayout) -> str:
    """The first position at which two layouts differ, in words, with the two tokens there; "" if they are equal."""
    for position, (left, right) in enumerate(zip(clean.marks, corrupt.marks, strict=False)):
        if left != right:
            tokens = f"clean has {clean.tokens[position]!r}, corrupt {corrupt.tokens[position]!r}"
            return f"at position {position} {tokens}, which are at different places in their texts"
    if len(clean.marks) != len(corrupt.marks):
        position = min(len(clean.marks), len(corrupt.marks))
        counts = f"clean has {len(clean.marks)} tokens, corrupt {len(corrupt.marks)}"
        return f"{counts} (position {position} is on one side only)"
    return ""
