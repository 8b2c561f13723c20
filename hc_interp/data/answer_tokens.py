"""The tokens of answers and foils, each decided by the tokenizer where its word stands in the text.

A word stands after the text's end, or in place of the first mask token of a masked model.
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hc_interp.data.answers import Words
from hc_interp.data.batch import NO_WORD
from hc_interp.errors import LabelError

CHUNK = 4096  # texts tokenized at once
Text = str | tuple[str, str]
_KNOWN: WeakKeyDictionary[Any, dict[Any, dict[tuple[Text, str], int | None]]] = WeakKeyDictionary()


def word_tokens(
    tokenizer: Any,
    mask: str | None,
    words: Words,
    first: Sequence[str],
    second: Sequence[str] | None,
    ids: Sequence[str],
    name: str,
) -> Int[Tensor, "row word"]:
    """The token of each row's words, padded with -1. `name` says what the words are, in errors.

    `mask` is the text of the mask token, if words stand in place of the first one of each text.

    A word's token is the one by which the text with the word differs from the text without it. Raises `LabelError`,
    which names the row and the pieces, for a word that is not one known token there, and for two words of one token.
    """
    if tokenizer is None:
        raise LabelError(
            f"The data's {name}s are words, but the model was loaded without a tokenizer to find their tokens. Pass "
            "one, hc.load(..., tokenizer=tok), or a Batch with answer= and foil= tokens."
        )
    texts = [*first] if second is None else [*zip(first, second, strict=True)]
    found = _known_tokens(
        tokenizer, mask, [(text, word) for text, row in zip(texts, words, strict=True) for word in row]
    )
    tokens: list[list[int]] = [[] for _ in words]
    for row, (text, group) in enumerate(zip(texts, words, strict=True)):
        for word in group:
            token = found[text, word]
            if token is None:
                raise _not_one_token(tokenizer, mask, name, word, ids[row], row, text)
            if token in tokens[row]:
                raise LabelError(
                    f"Row {row} (id {ids[row]!r}) has two {name} words of one token: {list(group)}. Leave one out."
                )
            tokens[row].append(token)
    return padded(tokens)


def _known_tokens(
    tokenizer: Any, mask: str | None, pairs: Sequence[tuple[Text, str]]
) -> dict[tuple[Text, str], int | None]:
    """The one token of each word in its text; None where it is not one known token.

    They are kept for the next call: a row may have a hundred words, and is encoded for each.
    """
    rules = mask, len(tokenizer)  # words that are added to a tokenizer make it longer
    known = _KNOWN.setdefault(tokenizer, {}).setdefault(rules, {})
    missing = list(dict.fromkeys(pair for pair in pairs if pair not in known))
    texts = list(dict.fromkeys(text for text, _ in missing))
    plain = dict(zip(texts, _encoded(tokenizer, texts), strict=True))
    filled = _encoded(tokenizer, [_with_word(text, word, mask) for text, word in missing])
    mask_id = None if mask is None else tokenizer.convert_tokens_to_ids(mask)
    for (text, word), ids in zip(missing, filled, strict=True):
        token = _only_token(plain[text], ids, mask_id)
        known[text, word] = None if token == getattr(tokenizer, "unk_token_id", None) else token
    return known


def padded(tokens: Sequence[Sequence[int]]) -> Int[Tensor, "row word"]:
    """Tokens of each row as one tensor, filled with -1 where a row has fewer."""
    return pad_sequence([torch.tensor(row, dtype=torch.long) for row in tokens], True, NO_WORD)


def _encoded(tokenizer: Any, texts: Sequence[Text]) -> list[list[int]]:
    result: list[list[int]] = []
    for start in range(0, len(texts), CHUNK):
        result += tokenizer(list(texts[start : start + CHUNK]), add_special_tokens=False)["input_ids"]
    return result


def _with_word(text: Text, word: str, mask: str | None) -> Text:
    """A text, or a pair of texts, with the word in place of its first mask token, or else at its end."""
    parts = [text] if isinstance(text, str) else list(text)
    place = next((i for i, part in enumerate(parts) if mask is not None and mask in part), None)
    if place is None:
        parts[-1] += word
    else:
        assert mask is not None
        parts[place] = parts[place].replace(mask, word, 1)
    return parts[0] if isinstance(text, str) else (parts[0], parts[1])


def _only_token(plain: list[int], filled: list[int], mask_id: int | None) -> int | None:
    """The token by which `filled` differs from `plain`; None if it is not exactly one."""
    if mask_id is not None and mask_id in plain:
        place, length = plain.index(mask_id), len(plain)
    else:
        place, length = len(plain), len(plain) + 1
    fits = len(filled) == length and filled[:place] == plain[:place] and filled[place + 1 :] == plain[place + 1 :]
    return filled[place] if fits else None


def _not_one_token(
    tokenizer: Any, mask: str | None, name: str, word: str, row_id: str, row: int, text: Text
) -> LabelError:
    plain, filled = _encoded(tokenizer, [text])[0], _encoded(tokenizer, [_with_word(text, word, mask)])[0]
    same = 0
    while same < min(len(plain), len(filled)) and plain[same] == filled[same]:
        same += 1
    pieces = tokenizer.convert_ids_to_tokens(filled[same:])
    end = (text if isinstance(text, str) else text[-1])[-30:]
    unknown = pieces[:1] == [getattr(tokenizer, "unk_token", None)] and (len(pieces) == 1 or mask is not None)
    known = "an unknown token" if unknown else f"{len(pieces)} token{'s' * (len(pieces) != 1)}"
    return LabelError(
        f"Row {row} (id {row_id!r}): the {name} {word!r} is {known} ({pieces}) where it stands, after {end!r}. "
        "Expected one known token that leaves the text's own tokens as they are. Choose another word; mind the space, "
        "which belongs to the word (' Mary') and not to the text's end."
    )
