"""What a report says of probes: never more than the word alone allows, and what was cut."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hc_interp.components import EMBED, OUTPUT, Head
from hc_interp.interventions.paths import PatchPath
from hc_interp.probing.controls import word_prediction
from hc_interp.probing.design import Places
from hc_interp.probing.differences import change, gain
from hc_interp.probing.features import FeatureValues
from hc_interp.probing.probe import Probe
from hc_interp.probing.resamples import Resamples
from hc_interp.records.provenance import described
from hc_interp.reports.probe_words import probe_words
from hc_interp.statistics.tests import Interval

N = 400
RNG = np.random.default_rng(0)
VALUE = RNG.integers(0, 2, N) * 1.0
LEADS = RNG.random(N) < 0.85  # how often the word gives the value away
WORD = tuple(np.where(LEADS, np.where(VALUE > 0, "same", "new"), "the").tolist())
PLACES = Places(
    FeatureValues("token_overlap", "token", "binary", np.arange(N), np.arange(N), VALUE, WORD),
    np.arange(N) // 4, np.arange(N) // 4 % 5, tuple(map(str, range(N))),
)  # fmt: skip


def probe(noise, interventions=(), places=PLACES, seed=1):
    """A probe whose predictions are the value and some noise, scored as `fit_probe` scores it."""
    predicted = places.feature.value + noise * np.random.default_rng(seed).normal(size=N)
    again = Resamples.of(places.source, level=0.95, seed=0)
    word = word_prediction(places.feature.value, places.feature.word, places.fold, kind="binary")
    scores = {
        name: again.interval(again.auc(values, places.feature.value > 0.5, places.fold))
        for name, values in (("auc", predicted), ("word_auc", word))
    }
    return Probe(
        place=(3, "v", 4), scores=scores, weights=torch.ones(4), intercept=0.0, penalty=1.0, predicted=predicted,
        places=places, seed=0, level=0.95, provenance={}, interventions=tuple(map(described, interventions)),
    )  # fmt: skip


def test_the_gain_is_the_difference_of_the_scores_with_a_paired_interval():
    found = probe(0.5)
    paired = gain(found)
    auc, word = found.scores["auc"], found.scores["word_auc"]
    assert paired.value == pytest.approx(auc.value - word.value)
    assert auc.low - word.high < paired.low < paired.high < auc.high - word.low


def test_a_pair_level_feature_has_no_word():
    whole = replace(PLACES, feature=replace(PLACES.feature, level="pair"))
    found = probe(0.5, places=whole)
    assert gain(found) is None
    assert "the word alone" not in " ".join(probe_words({"clean": found}))


def test_a_change_is_paired_and_needs_the_same_places():
    clean, cut = probe(0.5), probe(1.5, seed=2)
    found = change(cut, clean)
    assert found.value == pytest.approx(cut.scores["auc"].value - clean.scores["auc"].value)
    assert found.high < 0
    other = replace(PLACES, id=tuple(f"other {i}" for i in range(N)))
    assert change(probe(0.5, places=other), clean) is None


def test_a_probe_no_better_than_the_word_is_never_a_success():
    text = " ".join(
        probe_words({"clean": probe(0.68), "cut": probe(0.7, [PatchPath([Head(0, 1)], Head(3, 4), source=0)])})
    )
    assert isinstance(gain(probe(0.68)), Interval)
    assert not gain(probe(0.68)).low > 0
    assert "the probe reads more" not in text
    assert "neither its score nor a change of its score shows what the paths carry" in text


def test_a_probe_better_than_the_word_and_a_drop_are_said():
    cut = [PatchPath((Head(1, 1), Head(2, 0)), Head(3, 4), through=("v",), source=0)]
    text = " ".join(probe_words({"clean": probe(0.2), "core paths cut": probe(1.5, cut, seed=3)}))
    assert "the probe reads more than the identity of the word" in text
    assert "a drop" in text
    assert "neither its score" not in text
    assert (
        "“core paths cut” means: the values (v) of L3H4 are computed with the outputs of the senders L1H1, L2H0 "
        "replaced by 0 (route direct); everything else stays clean." in text
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (PatchPath([Head(0, 1)], Head(3, 4), through=("q", "k"), source=0),
         "the queries (q), keys (k) of L3H4 are computed with the output of the sender L0H1 replaced by 0"),
        (PatchPath(EMBED, (Head(3, 4), Head(3, 5)), source=0),
         "the queries (q), keys (k), values (v) of L3H4, L3H5 are computed with the output of the sender embed"),
        (PatchPath([Head(0, 1)], OUTPUT, source=0),
         "the input of output is computed with the output of the sender L0H1 replaced by 0"),
    ],
)  # fmt: skip
def test_a_path_is_told_in_words_as_the_package_writes_it(path, said):
    assert said in " ".join(probe_words({"cut": probe(0.5, [path])}))


def test_other_interventions_are_quoted():
    two = [PatchPath([Head(0, 1)], Head(3, h), source=0) for h in (4, 5)]
    assert f"“cut” means: read under {two}." in probe_words({"cut": probe(0.5, two)})


def test_what_was_not_recorded_is_not_guessed(results):
    assert not any("means:" in line for line in probe_words({"clean": results.probe(0.9)}))
