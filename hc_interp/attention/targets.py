"""Which tokens ask, what they might attend to, and the same text with its first part's words in another order."""

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
class Layout:
    """One example's tokens: `asks` are those of the second text's words, `first` the tokens of each word of the first.

    `targets[m, query, key]` says whether the key is what measure m of `TARGETS` looks for.
    """

    tokens: dict[str, Int[Tensor, " pos"]]
    asks: Bool[Tensor, " pos"]
    targets: Bool[Tensor, "measure pos pos"]
    first: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.asks)

    def moved(self, to: Int[Tensor, " pos"]) -> "Layout":
        """Token i stands at place `to[i]`; token types stay where they were."""
        ids = torch.empty_like(self.tokens["input_ids"])
        ids[to] = self.tokens["input_ids"]
        return replace(self, tokens={**self.tokens, "input_ids": ids})


def layouts(model: HookedModel, examples: Examples) -> list[Layout]:
    """The layout of each example. Raises what `word_tokens` raises."""
    found = []
    for row, ((first, second), tokens) in enumerate(
        zip(word_tokens(model, examples), token_rows(model, examples), strict=True)
    ):
        names = words(examples.first[row]), words((examples.second or ())[row])
        n = len(tokens["input_ids"])
        asks = torch.zeros(n, dtype=torch.bool)
        same = torch.zeros(n, n, dtype=torch.bool)
        for word, own in zip(names[1], second, strict=True):
            asks[list(own)] = True
            copies = [place for name, places in zip(names[0], first, strict=True) if name == word for place in places]
            for query in own:
                same[query, copies] = True
        place = torch.arange(n)
        separators = tokens["input_ids"] == _separator(model)
        targets = [same, separators.expand(n, n), (place == 0).expand(n, n)]
        targets += [place[:, None] - 1 == place, place[:, None] + 1 == place]
        found.append(Layout(tokens, asks, torch.stack(targets), tuple(first)))
    return found


def _separator(model: HookedModel) -> int:
    """The separator's token, or the end token where there is none; -1, which no token is, where there is neither."""
    ids = model.tokenizer.sep_token_id, model.tokenizer.eos_token_id
    return next((item for item in ids if item is not None), -1)


def shuffled_places(layout: Layout, seed: int | Sequence[int]) -> Int[Tensor, " pos"]:
    """Where each token goes when the first text's words change places: `to[i]`. All other tokens stay.

    Words fill the same stretch of tokens in another order, so that a longer word shifts those after it; punctuation
    between words keeps its turn. Words that share a token (some vocabularies join Chinese characters) move as one.
    """
    to = np.arange(len(layout))
    filled: list[tuple[int, ...]] = []
    for word in filter(None, layout.first):
        shared = filled.pop() if filled and word[0] <= filled[-1][-1] else ()
        filled.append(tuple(sorted({*shared, *word})))
    order = np.random.default_rng(seed).permutation(len(filled))
    slots = sorted(range(len(filled)), key=lambda i: filled[i][0])
    inside = {place for word in filled for place in word}
    if not inside:
        return torch.as_tensor(to)
    starts = {filled[slot][0]: filled[new] for slot, new in zip(slots, order, strict=True)}
    next_place = min(inside)
    for place in range(min(inside), max(inside) + 1):
        for token in starts.get(place, () if place in inside else (place,)):
            to[token] = next_place
            next_place += 1
    return torch.as_tensor(to)
