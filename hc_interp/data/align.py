"""Encoding of contrast pairs, and the check that a pair's two sides have the same layout.

Aligned means that a position means the same place on both sides: equal attention mask, token types and separator
positions, and (for text) words that begin at the same positions, so that words which moved or were swapped have equal
piece counts. Without that, patching a position would mix different words.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs, check_masks
from hc_interp.data.encode import CHUNK, Encoder, buckets, check_lengths, pad, token_rows
from hc_interp.data.examples import Examples
from hc_interp.errors import AlignmentError, DataError


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


class Layout(NamedTuple):
    """One side of a pair as its tokenizer lays it out: tokens, and per position what must agree with the other side."""

    tokens: list[str]
    marks: list[tuple]


def encode_pairs(model: Encoder, pairs: ContrastPairs, batch_size: int = 64) -> EncodedPairs:
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


def aligned_rows(model: Encoder, pairs: ContrastPairs) -> list[int]:
    """Places of the aligned pairs; see `ContrastPairs.aligned` for the errors."""
    if len(pairs) == 0:
        raise DataError(f"There are no pairs of kind {pairs.kind!r} to encode; expected at least one.")
    clean, corrupt = _layouts(model, pairs.clean), _layouts(model, pairs.corrupt)
    kept, first_problem = [], ""
    for row in range(len(pairs)):
        problem = _difference(clean[row], corrupt[row])
        if not problem:
            kept.append(row)
            continue
        first_problem = first_problem or f"Pair {(pairs.ids or ())[row]} is not aligned: {problem}"
        if pairs.unaligned == "error":
            raise AlignmentError(
                f"{first_problem}. Both sides need words of equal piece counts at each place; change the words, or "
                "leave the pair out (ContrastPairs(..., unaligned='drop') leaves out and counts all such pairs)."
            )
    if not kept:
        raise AlignmentError(
            f"None of the {len(pairs)} pairs is aligned under this tokenizer. {first_problem}. Use another kind of "
            "pair (task.pair_kinds(case)) or words that the tokenizer does not split differently."
        )
    return kept


def _layouts(model: Encoder, part: Examples | Batch) -> list[Layout]:
    return _text_layouts(model, part) if isinstance(part, Examples) else _batch_layouts(model, part)


def _batch_layouts(model: Encoder, batch: Batch) -> list[Layout]:
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
        found.append(Layout([names[i] for i in ids[:n]], marks))
    return found


def _text_layouts(model: Encoder, examples: Examples) -> list[Layout]:
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


def _text_layout(encoding, texts: list[str]) -> Layout:
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
    return Layout(encoding.tokens, marks)


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


def _difference(clean: Layout, corrupt: Layout) -> str:
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
