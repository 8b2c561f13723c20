"""What a probe reads beyond the word itself, and what a cut takes away: paired differences of its predictions.

A probe keeps its predictions, places and folds, so that both differences are measured on the same resamples of the
same sources: their intervals are narrower, and truer, than a comparison of two intervals.
"""

import numpy as np
from jaxtyping import Float

from hc_interp.analysis.statistics import Interval
from hc_interp.probing.controls import word_prediction
from hc_interp.probing.linear import training_means
from hc_interp.probing.probe import Probe
from hc_interp.probing.resamples import Resamples

METRICS = {"binary": "auc", "real": "r2"}
WORDS = {"auc": "AUC", "r2": "R²"}


def metric(probe: Probe) -> str:
    return METRICS[probe.places.feature.kind]


def gain(probe: Probe) -> Interval | None:
    """The probe's AUC (R²) less that of the word alone; None for pair-level features, which have no word."""
    values = probe.places.feature
    if values.level != "token":
        return None
    again = _resamples(probe)
    word = word_prediction(values.value, values.word, probe.places.fold, kind=values.kind)
    return again.interval(_draws(again, probe, probe.predicted) - _draws(again, probe, word))


def change(probe: Probe, reference: Probe) -> Interval | None:
    """The probe's AUC (R²) less the reference's; None where they were not scored on the same places."""
    if not same_places(probe, reference):
        return None
    again = _resamples(probe)
    return again.interval(_draws(again, probe, probe.predicted) - _draws(again, reference, reference.predicted))


def same_places(first: Probe, second: Probe) -> bool:
    a, b = first.places, second.places
    return (
        a.id == b.id
        and (a.feature.name, a.feature.word) == (b.feature.name, b.feature.word)
        and all(np.array_equal(x, y) for x, y in ((a.source, b.source), (a.feature.value, b.feature.value)))
    )


def _resamples(probe: Probe) -> Resamples:
    return Resamples.of(probe.places.source, level=probe.provenance["settings"]["level"], seed=probe.seed)


def _draws(again: Resamples, probe: Probe, predicted: Float[np.ndarray, " place"]) -> Float[np.ndarray, " draw"]:
    """The score on all data and on each resample."""
    target, fold = probe.places.feature.value, probe.places.fold
    if metric(probe) == "auc":
        return again.auc(predicted, target > 0.5, fold)
    missed, spread = (target - predicted) ** 2, (target - training_means(target, fold)) ** 2
    return again.ratio(spread - missed, spread)
