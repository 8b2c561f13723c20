"""`Design`: the values that probes predict, the places where they read, and the folds. All sites share one design.

A place is one token of one example: a probe reads the activation there.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hc_interp.data.examples import Examples
from hc_interp.data.parts import Data
from hc_interp.errors import DataError
from hc_interp.models.hooked import HookedModel
from hc_interp.probing.controls import control_values, shuffled_values, word_prediction
from hc_interp.probing.encoded_words import Encoded, as_rows
from hc_interp.probing.features import FeatureInput, FeatureValues, feature_values
from hc_interp.probing.folds import grouped_folds, source_codes
from hc_interp.probing.linear import CrossFit, cross_fit, training_means
from hc_interp.probing.resamples import Resamples, ScoreDraws
from hc_interp.records.result import Result
from hc_interp.statistics.samples import generator
from hc_interp.statistics.tests import Interval

CONTROL_DRAWS = 3  # control tasks: one is easier or harder than another by chance, so scores are averaged over them


@dataclass(frozen=True, eq=False)
class Places(Result):
    """The places that a probe reads, with the feature's value there, and the folds.

    Place i is held out in fold `fold[i]`. `source[i]` is the number of its example's source, `id[i]` its example's id.
    """

    feature: FeatureValues
    source: Int[np.ndarray, " place"]
    fold: Int[np.ndarray, " place"]
    id: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.feature)

    def to_frame(self) -> pd.DataFrame:
        """A row per place: row, position, word, value, source, fold, id."""
        return self.feature.to_frame().assign(source=self.source, fold=self.fold, id=self.id)


@dataclass(frozen=True, eq=False)
class Design:
    """The places, and what probes are fitted to there.

    `targets` are the feature's values (""), the same shuffled ("shuffled"), and control tasks ("control 0", ...).
    `word` is the prediction from the word alone.
    """

    examples: Examples | Encoded
    places: Places
    targets: dict[str, Float[np.ndarray, " place"]]
    word: Float[np.ndarray, " place"]
    resamples: Resamples

    @classmethod
    def of(
        cls,
        model: HookedModel,
        data: Data,
        feature: FeatureInput,
        *,
        seed: int,
        n_folds: int,
        level: float,
        max_tokens: int | None,
        control: bool,
        sources: Collection[object] | None,
    ) -> Self:
        """Read the feature, choose the places, draw folds and control tasks. Raises `DataError`; see `fit_probe`."""
        generator(seed)  # raises for what is no seed
        examples = as_rows(data, sources)
        values = limit_places(feature_values(model, examples, feature), max_tokens, seed)
        source = source_codes([examples.source[int(row)] for row in values.row])
        n_examples = len(np.unique(values.row))
        folds = grouped_folds(values.value, source, n_examples, kind=values.kind, n_folds=n_folds, seed=seed)
        targets = {"": values.value, "shuffled": shuffled_values(values.value, seed=[seed, 1])}
        for draw in range(CONTROL_DRAWS if control else 0):
            labels = control_values(values.value, values.word, kind=values.kind, seed=[seed, 2, draw])
            if labels is not None:
                targets[f"control {draw}"] = labels
        word = word_prediction(values.value, values.word, folds, kind=values.kind)
        resamples = Resamples.of(source, level=level, seed=seed)
        places = Places(values, source, folds, tuple(examples.id[int(row)] for row in values.row))
        return cls(examples, places, targets, word, resamples)

    def fit(self, x: Float[np.ndarray, "place d"], *, feature_only: bool = False) -> CrossFit:
        """Probes of all targets, or of the feature's values alone."""
        targets = {"": self.targets[""]} if feature_only else self.targets
        return cross_fit(x, targets, self.places.fold, kind=self.places.feature.kind)

    @cached_property
    def measures(self) -> dict[str, Callable[[np.ndarray, np.ndarray], ScoreDraws]]:
        """The scores of a feature of this kind, as functions of predictions and target; the main score comes first."""
        binary = self.places.feature.kind == "binary"
        return {"accuracy": self._accuracy, "auc": self._auc} if binary else {"r2": self._r2}

    @cached_property
    def _word_scores(self) -> dict[str, ScoreDraws]:
        return {name: measure(self.word, self.targets[""]) for name, measure in self.measures.items()}

    def scores(self, predicted: dict[str, Float[np.ndarray, " place"]]) -> dict[str, Interval]:
        """All scores of the predictions of each target, with intervals over sources; `fit_probe` says their names.

        `predicted` may also have "untrained": predictions of the feature from an untrained model.
        """
        value, measures = self.targets[""], self.measures
        scores: dict[str, ScoreDraws] = {}
        for name, measure in measures.items():
            scores[name] = measure(predicted[""], value)
            scores[f"word_{name}"] = self._word_scores[name]
            if controls := [measure(p, self.targets[key]) for key, p in predicted.items() if key.startswith("control")]:
                scores[f"control_{name}"] = np.mean(controls, axis=0)
            scores[f"shuffled_{name}"] = measure(predicted["shuffled"], self.targets["shuffled"])
            if "untrained" in predicted:
                scores[f"untrained_{name}"] = measure(predicted["untrained"], value)
        main = next(iter(measures))
        if self.places.feature.kind == "binary":
            guess = training_means(value, self.places.fold) > 0.5
            scores["majority"] = self.resamples.mean(guess == (value > 0.5))
        if f"control_{main}" in scores:
            scores["selectivity"] = scores[main] - scores[f"control_{main}"]
        return {name: self.resamples.interval(score) for name, score in scores.items()}

    def _accuracy(self, predicted: np.ndarray, target: np.ndarray) -> ScoreDraws:
        return self.resamples.mean((predicted > 0) == (target > 0.5))

    def _auc(self, predicted: np.ndarray, target: np.ndarray) -> ScoreDraws:
        return self.resamples.auc(predicted, target > 0.5, self.places.fold)

    def _r2(self, predicted: np.ndarray, target: np.ndarray) -> ScoreDraws:
        residual, spread = (target - predicted) ** 2, (target - training_means(target, self.places.fold)) ** 2
        return self.resamples.ratio(spread - residual, spread)


def limit_places(values: FeatureValues, max_tokens: int | None, seed: int) -> FeatureValues:
    """At most `max_tokens` places. Whole examples are left out, drawn by `seed`, so that fewer examples are run."""
    if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
        raise DataError(f"max_tokens={max_tokens!r} was given; expected a whole number from 1, or None for no limit.")
    if max_tokens is None or len(values) <= max_tokens:
        return values
    rows, counts = np.unique(values.row, return_counts=True)
    order = np.random.default_rng([seed, 0]).permutation(len(rows))
    kept = rows[order[counts[order].cumsum() <= max_tokens]]
    return values.rows(np.flatnonzero(np.isin(values.row, kept)))
