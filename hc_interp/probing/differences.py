"""Paired differences between scores: a probe and the word alone (`gain`), a probe and another one (`change`).

A probe keeps its predictions, places and folds, so that both scores of a difference are taken on the same resamples of
the same sources. The interval of a paired difference is narrower than two separate intervals suggest.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from hc_interp.probing.controls import word_prediction
from hc_interp.probing.design import Places
from hc_interp.probing.linear import training_means
from hc_interp.probing.probe import Probe
from hc_interp.probing.resamples import Resamples, ScoreDraws
from hc_interp.statistics.tests import Interval

MAIN_METRIC = {"binary": "auc", "real": "r2"}  # by the kind of feature
METRIC_NAMES = {"auc": "AUC", "r2": "R²", "accuracy": "accuracy"}

Scorer = Callable[[Float[np.ndarray, " place"]], ScoreDraws]  # of predictions, one for each place


def metric(probe: Probe) -> str:
    """The metric by which the probe is compared: "auc" for classes, "r2" for numbers."""
    return MAIN_METRIC[probe.places.feature.kind]


def scorers(resamples: Resamples, places: Places) -> dict[str, Scorer]:
    """The scores of predictions at these places: accuracy and auc for classes, r2 for numbers."""
    target, fold = places.feature.value, places.fold
    if places.feature.kind == "binary":
        return {
            "accuracy": lambda predicted: resamples.mean((predicted > 0) == (target > 0.5)),
            "auc": lambda predicted: resamples.auc(predicted, target > 0.5, fold),
        }
    spread = (target - training_means(target, fold)) ** 2
    return {"r2": lambda predicted: resamples.ratio(spread - (target - predicted) ** 2, spread)}


def gain(probe: Probe) -> Interval | None:
    """The probe's AUC (R²) minus that of the word alone; None for pair-level features, which are not read at a word."""
    values = probe.places.feature
    if values.level != "token":
        return None
    resamples = _resamples(probe)
    score = scorers(resamples, probe.places)[metric(probe)]
    word = word_prediction(values.value, values.word, probe.places.fold, kind=values.kind)
    return resamples.interval(score(probe.predicted) - score(word))


def change(probe: Probe, reference: Probe) -> Interval | None:
    """The probe's AUC (R²) minus that of `reference`; None if the two were not scored on the same places."""
    if not same_places(probe, reference):
        return None
    resamples = _resamples(probe)
    first, second = (scorers(resamples, item.places)[metric(item)](item.predicted) for item in (probe, reference))
    return resamples.interval(first - second)


def same_places(first: Probe, second: Probe) -> bool:
    """Whether two probes were scored on the same places, sources and values of the same feature."""
    a, b = first.places, second.places
    return (
        a.id == b.id
        and (a.feature.name, a.feature.word) == (b.feature.name, b.feature.word)
        and all(np.array_equal(x, y) for x, y in ((a.source, b.source), (a.feature.value, b.feature.value)))
    )


def _resamples(probe: Probe) -> Resamples:
    return Resamples.of(probe.places.source, level=probe.level, seed=probe.seed)
