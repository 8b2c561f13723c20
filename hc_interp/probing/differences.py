"""What a probe reads beyond the word itself, and what a cut takes away: paired differences of its predictions.

A probe keeps its predictions, places and folds, so that both differences are measured on the same resamples of the
same sources: their intervals are narrower, and truer, than a comparison of two intervals.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from hc_interp.probing.controls import word_prediction
from hc_interp.probing.design import Places
from hc_interp.probing.linear import training_means
from hc_interp.probing.probe import Probe
from hc_interp.probing.resamples import Resamples, Score
from hc_interp.statistics.tests import Interval

METRICS = {"binary": "auc", "real": "r2"}
WORDS = {"auc": "AUC", "r2": "R²", "accuracy": "accuracy"}

Scorer = Callable[[Float[np.ndarray, " place"]], Score]


def metric(probe: Probe) -> str:
    return METRICS[probe.places.feature.kind]


def scorers(again: Resamples, places: Places) -> dict[str, Scorer]:
    """What predictions at these places are scored by: accuracy and auc, or r2."""
    target, fold = places.feature.value, places.fold
    if places.feature.kind == "binary":
        return {
            "accuracy": lambda predicted: again.mean((predicted > 0) == (target > 0.5)),
            "auc": lambda predicted: again.auc(predicted, target > 0.5, fold),
        }
    spread = (target - training_means(target, fold)) ** 2
    return {"r2": lambda predicted: again.ratio(spread - (target - predicted) ** 2, spread)}


def gain(probe: Probe) -> Interval | None:
    """The probe's AUC (R²) less that of the word alone; None for pair-level features, which have no word."""
    values = probe.places.feature
    if values.level != "token":
        return None
    again = _resamples(probe)
    score = scorers(again, probe.places)[metric(probe)]
    word = word_prediction(values.value, values.word, probe.places.fold, kind=values.kind)
    return again.interval(score(probe.predicted) - score(word))


def change(probe: Probe, reference: Probe) -> Interval | None:
    """The probe's AUC (R²) less the reference's; None where they were not scored on the same places."""
    if not same_places(probe, reference):
        return None
    again = _resamples(probe)
    own, other = (scorers(again, item.places)[metric(item)](item.predicted) for item in (probe, reference))
    return again.interval(own - other)


def same_places(first: Probe, second: Probe) -> bool:
    a, b = first.places, second.places
    return (
        a.id == b.id
        and (a.feature.name, a.feature.word) == (b.feature.name, b.feature.word)
        and all(np.array_equal(x, y) for x, y in ((a.source, b.source), (a.feature.value, b.feature.value)))
    )


def _resamples(probe: Probe) -> Resamples:
    return Resamples.of(probe.places.source, level=probe.level, seed=probe.seed)
