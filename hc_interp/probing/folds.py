"""Folds for cross-fitting. All places of a source are in one fold: no probe is tested on a source that it has seen."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from sklearn.model_selection import StratifiedGroupKFold

from hc_interp.errors import DataError

MIN_FOLDS = 3  # one to test on, one to choose the penalty on, one to fit on


def source_codes(source: Sequence[str]) -> Int[np.ndarray, " place"]:
    """A number for each source, from 0 in the order of first occurrence."""
    return pd.factorize(pd.Series(list(source), dtype=object))[0]


def grouped_folds(
    value: Float[np.ndarray, " place"],
    source: Int[np.ndarray, " place"],
    n_examples: int,
    *,
    kind: str,
    n_folds: int,
    seed: int,
) -> Int[np.ndarray, " place"]:
    """The fold of each place, 0 to n_folds - 1. All places of a source share a fold, and values are spread evenly.

    Raises `DataError` for a feature of one class, and for too few examples or sources to have both classes in each
    training part.
    """
    if not isinstance(n_folds, int) or n_folds < MIN_FOLDS:
        raise DataError(
            f"n_folds={n_folds!r} was given; expected a whole number from {MIN_FOLDS} (to test, to choose the penalty, "
            "to fit)."
        )
    needed, n_sources = 2 * n_folds, len(np.unique(source))
    if n_examples < needed or n_sources < n_folds:
        raise DataError(
            f"{n_examples} examples of {n_sources} sources were given for {n_folds} folds; expected at least {needed} "
            f"examples (2 classes x {n_folds} folds) of {n_folds} sources. Give more, or take fewer folds."
        )
    classes = np.unique(value)
    if len(classes) < 2:
        raise DataError(
            f"The feature is {classes[0]:g} at all {len(value)} places, so there is nothing to tell apart. Expected "
            "both classes (or varying numbers); use examples that vary in it."
        )
    strata = value.astype(int) if kind == "binary" else (value > np.median(value)).astype(int)
    if np.bincount(strata).min() < n_folds:
        raise DataError(
            f"{int(strata.sum())} of {len(strata)} places are of class 1; expected at least {n_folds} places of each "
            f"class for {n_folds} folds. Give examples of both classes, or take fewer folds."
        )
    folds = np.empty(len(value), dtype=int)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(strata, strata, source)):
        folds[held_out] = number
    for number in range(n_folds):
        fitted = ~np.isin(folds, (number, validation_fold(number, n_folds)))
        if kind == "binary" and len(np.unique(strata[fitted])) < 2:
            raise DataError(
                f"{int(strata.sum())} of {len(strata)} places are of class 1, in so few sources that a training part "
                "has one class only. Give examples of both classes from more sources, or take fewer folds."
            )
    return folds


def validation_fold(held_out: int, n_folds: int) -> int:
    """The fold on which the penalty is chosen for the probe that is tested on `held_out`."""
    return (held_out + 1) % n_folds
