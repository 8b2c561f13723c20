"""Baselines of a probe: control tasks, shuffled values, a prediction from the word alone, an untrained model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from hc_interp.models.hooked import HookedModel


def control_values(
    value: Float[np.ndarray, " place"], word: Sequence[str], *, kind: str, seed: int | Sequence[int]
) -> Float[np.ndarray, " place"] | None:
    """A control task: each word type gets one random value, wherever it occurs. None if there is only one type.

    `kind="binary"`: types get the label 1 in random order, until the share of 1 is as near the feature's as whole types
    allow; a constant guess then does as well on both. `"real"`: values are drawn from the feature's. A probe can solve
    a control task only by memorising words. Source: Hewitt & Liang 2019 (arXiv 1909.03368).
    """
    types, counts = _types(word)
    if len(counts) < 2:
        return None
    rng = np.random.default_rng(seed)
    if kind == "real":
        return rng.choice(value, size=len(counts))[types]
    order = rng.permutation(len(counts))
    middle = counts[order].cumsum() - counts[order] / 2
    n_ones = int(np.clip((middle <= value.sum()).sum(), 1, len(counts) - 1))
    labels = np.zeros(len(counts))
    labels[order[:n_ones]] = 1
    return labels[types]


def shuffled_values(value: Float[np.ndarray, " place"], *, seed: int | Sequence[int]) -> Float[np.ndarray, " place"]:
    """The feature's values in random order over the places. A probe of them should score at chance."""
    return np.random.default_rng(seed).permutation(value)


def word_prediction(
    value: Float[np.ndarray, " place"], word: Sequence[str], folds: Int[np.ndarray, " place"], *, kind: str
) -> Float[np.ndarray, " place"]:
    """The prediction from the word alone: the mean value of the word's type in the other folds.

    One observation at the overall mean of the other folds is added to each type, so that rare types stay near it. The
    prediction of a binary feature is in log-odds, like that of a probe.
    """
    types, counts = _types(word)
    predicted = np.empty(len(value))
    for number in np.unique(folds):
        held_out = folds == number
        prior = (
            (value[~held_out].sum() + 0.5) / ((~held_out).sum() + 1) if kind == "binary" else value[~held_out].mean()
        )
        sums = np.bincount(types[~held_out], weights=value[~held_out], minlength=len(counts))
        seen = np.bincount(types[~held_out], minlength=len(counts))
        predicted[held_out] = ((sums + prior) / (seen + 1))[types[held_out]]
    return np.log(predicted / (1 - predicted)) if kind == "binary" else predicted


def untrained_copy(model: HookedModel, seed: int) -> HookedModel:
    """The same architecture with random weights, drawn by `seed` as before training; the global random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = type(model.module)(model.module.config)
    module = module.to(device=model.device, dtype=model.dtype)
    name = f"{model.name}, untrained"
    return HookedModel(module, name=name, **model.settings())


def _types(word: Sequence[str]) -> tuple[Int[np.ndarray, " place"], Int[np.ndarray, " type"]]:
    """The number of each word's type, and the number of words of each type."""
    types, names = pd.factorize(pd.Series(list(word), dtype=object))
    return types, np.bincount(types, minlength=len(names))
