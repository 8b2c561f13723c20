"""What a probe is asked to predict, where, and on which splits: the same for all sites that it is tried on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hc_interp.data.examples import Examples
from hc_interp.errors import DataError
from hc_interp.models.hooked import HookedModel
from hc_interp.probing.controls import control_values, shuffled_values, word_prediction
from hc_interp.probing.encoded_words import Encoded, as_rows
from hc_interp.probing.features import FeatureValues, feature_values
from hc_interp.probing.folds import grouped_folds, source_codes
from hc_interp.probing.linear import CrossFit, cross_fit, training_means
from hc_interp.probing.resamples import Resamples, Score
from hc_interp.records.result import Result
from hc_interp.statistics.samples import generator
from hc_interp.statistics.tests import Interval

CONTROL_DRAWS = 3  # one random labelling is easier or harder than another by chance


@dataclass(frozen=True, eq=False)
class Places(Result):
    """Where a probe reads, what it should find there, and the split: `fold[i]` is the one that place i was held out in.

    `source[i]` numbers the sources of the examples read; `id[i]` is the example's id.
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
    """The places, and the values that a probe is fitted to there: the feature's own (""), shuffled, and controls."""

    examples: Examples | Encoded
    places: Places
    targets: dict[str, Float[np.ndarray, " place"]]
    word: Float[np.ndarray, " place"]
    resamples: Resamples

    @classmethod
    def of(
        cls,
        model: HookedModel,
        data: Any,
        feature: Any,
        *,
        seed: int,
        n_folds: int,
        level: float,
        max_tokens: int | None,
        control: bool,
        sources: Sequence[Any] | None,
    ) -> Self:
        generator(seed)  # raises for a seed that is none
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

    def fit(self, x: Float[np.ndarray, "place d"], *, own: bool = False) -> CrossFit:
        """Probes of all targets, or of the feature's own alone."""
        targets = {"": self.targets[""]} if own else self.targets
        return cross_fit(x, targets, self.places.fold, kind=self.places.feature.kind)

    @cached_property
    def measures(self) -> dict[str, Callable[[np.ndarray, np.ndarray], Score]]:
        """What a feature of this kind is scored by, the main score first."""
        binary = self.places.feature.kind == "binary"
        return {"accuracy": self._accuracy, "auc": self._auc} if binary else {"r2": self._r2}

    @cached_property
    def _word_scores(self) -> dict[str, Score]:
        return {name: measure(self.word, self.targets[""]) for name, measure in self.measures.items()}

    def scores(self, predicted: dict[str, Float[np.ndarray, " place"]]) -> dict[str, Interval]:
        """All scores of the predictions of each arm, with intervals over sources; see `fit_probe` for their names."""
        binary = self.places.feature.kind == "binary"
        own, measures = self.targets[""], self.measures
        found: dict[str, Score] = {}
        for name, measure in measures.items():
            found[name] = measure(predicted[""], own)
            found[f"word_{name}"] = self._word_scores[name]
            if controls := [measure(p, self.targets[arm]) for arm, p in predicted.items() if arm.startswith("control")]:
                found[f"control_{name}"] = np.mean(controls, axis=0)
            found[f"shuffled_{name}"] = measure(predicted["shuffled"], self.targets["shuffled"])
            if "untrained" in predicted:
                found[f"untrained_{name}"] = measure(predicted["untrained"], own)
        main = next(iter(measures))
        if binary:
            found["majority"] = self.resamples.mean((training_means(own, self.places.fold) > 0.5) == (own > 0.5))
        if f"control_{main}" in found:
            found["selectivity"] = found[main] - found[f"control_{main}"]
        return {name: self.resamples.interval(score) for name, score in found.items()}

    def _accuracy(self, predicted: np.ndarray, target: np.ndarray) -> Score:
        return self.resamples.mean((predicted > 0) == (target > 0.5))

    def _auc(self, predicted: np.ndarray, target: np.ndarray) -> Score:
        return self.resamples.auc(predicted, target > 0.5, self.places.fold)

    def _r2(self, predicted: np.ndarray, target: np.ndarray) -> Score:
        missed, spread = (target - predicted) ** 2, (target - training_means(target, self.places.fold)) ** 2
        return self.resamples.ratio(spread - missed, spread)


def limit_places(values: FeatureValues, max_tokens: int | None, seed: int) -> FeatureValues:
    """At most `max_tokens` places, as whole examples in an order drawn by `seed`, so that fewer examples are run."""
    if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
        raise DataError(f"max_tokens={max_tokens!r} was given; expected a whole number from 1, or None for no limit.")
    if max_tokens is None or len(values) <= max_tokens:
        return values
    rows, counts = np.unique(values.row, return_counts=True)
    order = np.random.default_rng([seed, 0]).permutation(len(rows))
    kept = rows[order[counts[order].cumsum() <= max_tokens]]
    return values.rows(np.flatnonzero(np.isin(values.row, kept)))
