"""The query tokens of an example, the kinds of keys they may attend to, and the example with its words reordered.

The query tokens are the tokens of the second text's words. The words of the first text are the ones that are reordered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hc_interp.data.encode import token_rows
from hc_interp.data.examples import Examples
from hc_interp.data.overlap import words
from hc_interp.models.hooked import HookedModel
from hc_interp.models.word_tokens import word_tokens

TARGETS = ("same_word", "separators", "cls", "previous", "next")


@dataclass(frozen=True, eq=False)
class AttentionTargets:
    """One example: its encoded `tokens`, its query tokens, the keys that each kind of target means, its words.

    `is_query` marks the tokens of the second text's words. `targets[m, query, key]` says whether the key is a target of
    kind `TARGETS[m]` for this query. `first` are the positions of each word of the first text.
    """

    tokens: dict[str, Int[Tensor, " pos"]]
    is_query: Bool[Tensor, " pos"]
    targets: Bool[Tensor, "measure pos pos"]
    first: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.is_query)

    def moved(self, to: Int[Tensor, " pos"]) -> "AttentionTargets":
        """The example with the token of position i at position `to[i]`. Token types do not move."""
        ids = torch.empty_like(self.tokens["input_ids"])
        ids[to] = self.tokens["input_ids"]
        return replace(self, tokens={**self.tokens, "input_ids": ids})


def attention_targets(model: HookedModel, examples: Examples) -> list[AttentionTargets]:
    """The targets of each example. Raises what `word_tokens` raises."""
    per_example = []
    for row, ((first, second), tokens) in enumerate(
        zip(word_tokens(model, examples), token_rows(model, examples), strict=True)
    ):
        first_words, second_words = words(examples.first[row]), words((examples.second or ())[row])
        n = len(tokens["input_ids"])
        is_query = torch.zeros(n, dtype=torch.bool)
        same = torch.zeros(n, n, dtype=torch.bool)
        for word, queries in zip(second_words, second, strict=True):
            is_query[list(queries)] = True
            copies = [key for name, keys in zip(first_words, first, strict=True) if name == word for key in keys]
            for query in queries:
                same[query, copies] = True
        position = torch.arange(n)
        separators = tokens["input_ids"] == _separator(model)
        targets = [same, separators.expand(n, n), (position == 0).expand(n, n)]
        targets += [position[:, None] - 1 == position, position[:, None] + 1 == position]
        per_example.append(AttentionTargets(tokens, is_query, torch.stack(targets), tuple(first)))
    return per_example


def _separator(model: HookedModel) -> int:
    """The id of the separator, or of the end token where there is no separator, or -1 (no token) without both."""
    ids = model.tokenizer.sep_token_id, model.tokenizer.eos_token_id
    return next((item for item in ids if item is not None), -1)


def shuffled_positions(example: AttentionTargets, seed: int | Sequence[int]) -> Int[Tensor, " pos"]:
    """The position `to[i]` of token i after the first text's words are put in a random order. Other tokens do not move.

    The words fill the same stretch of positions, so that a longer word shifts the words and the punctuation after it.
    Punctuation after the i-th word is still after the i-th word. Words that share a token (some vocabularies join
    Chinese characters) move together.
    """
    to = np.arange(len(example))
    spans: list[tuple[int, ...]] = []
    for word in filter(None, example.first):
        shared = spans.pop() if spans and word[0] <= spans[-1][-1] else ()
        spans.append(tuple(sorted({*shared, *word})))
    order = np.random.default_rng(seed).permutation(len(spans))
    slots = sorted(range(len(spans)), key=lambda i: spans[i][0])
    inside = {position for span in spans for position in span}
    if not inside:
        return torch.as_tensor(to)
    starts = {spans[slot][0]: spans[new] for slot, new in zip(slots, order, strict=True)}
    next_position = min(inside)
    for position in range(min(inside), max(inside) + 1):
        for token in starts.get(position, () if position in inside else (position,)):
            to[token] = next_position
            next_position += 1
    return torch.as_tensor(to)
