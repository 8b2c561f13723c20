"""The tokens of answers and foils, each decided by the tokenizer where its word stands in the text.

A word stands after the text's end, or in place of the first mask token of a masked model.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hc_interp.data.answers import Words
from hc_interp.data.batch import NO_WORD
from hc_interp.errors import LabelError

CHUNK = 4096  # texts tokenized at once


def word_tokens(
    model: Any,
    words: Words,
    first: Sequence[str],
    second: Sequence[str] | None,
    ids: Sequence[str],
    name: str,
) -> Int[Tensor, "row word"]:
    """The token of each row's words, padded with -1. `name` says what the words are, in errors.

    A word's token is the one by which the text with the word differs from the text without it. Raises `LabelError`,
    which names the row and the pieces, for a word that is not one known token there, and for two words of one token.
    """
    if model.tokenizer is None:
        raise LabelError(
            f"The data's {name}s are words, but the model was loaded without a tokenizer to find their tokens. Pass "
            "one, hc.load(..., tokenizer=tok), or a Batch with answer= and foil= tokens."
        )
    at_mask = getattr(getattr(model, "readout", None), "mask_token", None) is not None
    mask = model.tokenizer.mask_token if at_mask else None
    texts = [*first] if second is None else [*zip(first, second, strict=True)]
    plain = _encoded(model.tokenizer, texts)
    row_of = [row for row, group in enumerate(words) for _ in group]
    flat = [word for group in words for word in group]
    filled = _encoded(
        model.tokenizer, [_with_word(texts[row], word, mask) for row, word in zip(row_of, flat, strict=True)]
    )
    tokens: list[list[int]] = [[] for _ in words]
    mask_id = None if mask is None else model.tokenizer.convert_tokens_to_ids(mask)
    for row, word, ids_with in zip(row_of, flat, filled, strict=True):
        token = _only_token(plain[row], ids_with, mask_id)
        if token is None or token == getattr(model.tokenizer, "unk_token_id", None):
            raise _not_one_token(model.tokenizer, name, word, ids[row], row, texts[row], plain[row], ids_with)
        if token in tokens[row]:
            raise LabelError(
                f"Row {row} (id {ids[row]!r}) has two {name} words of one token: {list(words[row])}. Leave one out."
            )
        tokens[row].append(token)
    return padded(tokens)


def padded(tokens: Sequence[Sequence[int]]) -> Int[Tensor, "row word"]:
    """Tokens of each row as one tensor, filled with -1 where a row has fewer."""
    return pad_sequence([torch.tensor(row, dtype=torch.long) for row in tokens], True, NO_WORD)


def _encoded(tokenizer: Any, texts: Sequence[Any]) -> list[list[int]]:
    result: list[list[int]] = []
    for start in range(0, len(texts), CHUNK):
        result += tokenizer(list(texts[start : start + CHUNK]), add_special_tokens=False)["input_ids"]
    return result


def _with_word(text: Any, word: str, mask: str | None) -> Any:
    """A text, or a pair of texts, with the word in place of its first mask token, or else at its end."""
    parts = [text] if isinstance(text, str) else list(text)
    place = next((i for i, part in enumerate(parts) if mask is not None and mask in part), None)
    if place is None:
        parts[-1] += word
    else:
        assert mask is not None
        parts[place] = parts[place].replace(mask, word, 1)
    return parts[0] if isinstance(text, str) else tuple(parts)


def _only_token(plain: list[int], filled: list[int], mask_id: int | None) -> int | None:
    """The token by which `filled` differs from `plain`; None if it is not exactly one."""
    if mask_id is not None and mask_id in plain:
        place, length = plain.index(mask_id), len(plain)
    else:
        place, length = len(plain), len(plain) + 1
    fits = len(filled) == length and filled[:place] == plain[:place] and filled[place + 1 :] == plain[place + 1 :]
    return filled[place] if fits else None


def _not_one_token(
    tokenizer: Any, name: str, word: str, row_id: str, row: int, text: Any, plain: list[int], filled: list[int]
) -> LabelError:
    same = 0
    while same < min(len(plain), len(filled)) and plain[same] == filled[same]:
        same += 1
    pieces = tokenizer.convert_ids_to_tokens(filled[same:])
    end = (text if isinstance(text, str) else text[-1])[-30:]
    known = "an unknown token" if len(pieces) == 1 and len(filled) > len(plain) else f"{len(pieces)} tokens"
    return LabelError(
        f"Row {row} (id {row_id!r}): the {name} {word!r} is {known} ({pieces}) where it stands, after {end!r}. "
        "Expected one known token that leaves the text's own tokens as they are. Choose another word; mind the space, "
        "which belongs to the word (' Mary') and not to the text's end."
    )
