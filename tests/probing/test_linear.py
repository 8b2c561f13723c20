"""The numerics of a probe on made activations: folds, fits, controls and scores, each against a slow twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from hc_interp.errors import DataError
from hc_interp.probing.controls import control_values, shuffled_values, word_prediction
from hc_interp.probing.folds import grouped_folds, source_codes, validation_fold
from hc_interp.probing.linear import cross_fit, fit_linear, training_means
from hc_interp.probing.resamples import RESAMPLES, Resamples


def made(n: int = 600, d: int = 6, seed: int = 0, signal: float = 1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, size=d) + rng.normal(size=d)
    y = (signal * (x[:, 0] - x[:, 0].mean()) / x[:, 0].std() + (1 - signal) * rng.normal(size=n) > 0).astype(float)
    return x, y, np.repeat(np.arange(n // 4), 4)


@given(st.integers(0, 1000), st.integers(3, 6))
def test_no_source_is_on_two_sides(seed: int, n_folds: int) -> None:
    _, y, source = made(200, seed=seed, signal=0.5)
    folds = grouped_folds(y, source, 200, kind="binary", n_folds=n_folds, seed=seed)
    assert set(folds) == set(range(n_folds))
    assert all(len(np.unique(folds[source == s])) == 1 for s in np.unique(source))
    assert all(validation_fold(f, n_folds) != f for f in range(n_folds))


@pytest.mark.parametrize(
    ("value", "source", "n", "n_folds", "message"),
    [
        (np.ones(40), np.arange(40), 40, 5, "1 at all 40 places"),
        (np.arange(8.0) % 2, np.arange(8), 8, 5, "at least 10 examples"),
        (np.arange(40.0) % 2, np.zeros(40, int), 40, 5, "of 1 sources"),
        (np.eye(40)[0], np.arange(40), 40, 5, "1 of 40 places are of class 1"),
        (np.repeat([1.0, 0.0], [8, 32]), np.repeat(np.arange(5), 8), 40, 5, "a training part has one class only"),
        (np.arange(40.0) % 2, np.arange(40), 40, 2, "whole number from 3"),
    ],
)
def test_data_that_cannot_be_split(value, source, n, n_folds, message: str) -> None:
    with pytest.raises(DataError, match=message):
        grouped_folds(value, source, n, kind="binary", n_folds=n_folds, seed=0)


def test_source_codes_keep_names_apart() -> None:
    assert source_codes(["b", "a", "b"]).tolist() == [0, 1, 0]


def test_weights_are_those_of_the_scaled_fit() -> None:
    x, y, _ = made(signal=0.7)
    probe = fit_linear(x, y, kind="binary", penalty=1e-2)
    scaler = StandardScaler().fit(x)
    twin = LogisticRegression(C=1 / (1e-2 * len(y)), tol=1e-8, max_iter=5000).fit(scaler.transform(x), y)
    assert np.allclose(probe(x), twin.decision_function(scaler.transform(x)), atol=1e-2)


def test_columns_of_rounding_noise_get_no_weight() -> None:
    x, y, _ = made()
    noise = 3 + 1e-8 * np.random.default_rng(0).normal(size=(len(y), 1))
    probe = fit_linear(np.hstack([x, noise]), y, kind="binary", penalty=1e-2)
    assert probe.weights[-1] == 0
    assert not fit_linear(noise, y, kind="binary", penalty=1e-2).weights.any()


def test_linear_signal_is_found_and_noise_is_not() -> None:
    x, y, source = made()
    folds = grouped_folds(y, source, len(y), kind="binary", n_folds=5, seed=0)
    sure = Resamples.of(source, level=0.95, seed=0)
    found = cross_fit(x, y, folds, kind="binary")
    assert sure.auc(found.predicted, y > 0, folds)[0] >= 0.99
    shuffled = shuffled_values(y, seed=1)
    chance = sure.interval(sure.auc(cross_fit(x, shuffled, folds, kind="binary").predicted, shuffled > 0, folds))
    assert chance.low < 0.5 < chance.high


def test_real_values_are_predicted() -> None:
    x, _, source = made()
    y = x @ np.arange(6.0) + 5
    folds = grouped_folds(y, source, len(y), kind="real", n_folds=5, seed=0)
    found = cross_fit(x, y, folds, kind="real")
    assert np.corrcoef(found.predicted, y)[0, 1] > 0.999


def test_auc_is_the_mean_over_pairs_within_folds_for_every_resample() -> None:
    rng = np.random.default_rng(0)
    score, y = np.round(rng.normal(size=90), 1), rng.random(90) < 0.4  # rounding makes ties
    source, folds = np.repeat(np.arange(30), 3), np.repeat([0, 1, 2], 30)
    sample = Resamples.of(source, level=0.9, seed=3)
    found = sample.auc(score, y, folds)
    assert len(found) == RESAMPLES + 1
    for draw in (0, 1, 17):
        index = np.repeat(np.arange(90), sample.weights[draw][source])
        parts = [index[folds[index] == f] for f in range(3)]
        pairs = [y[p].sum() * (~y[p]).sum() for p in parts]
        twin = sum(roc_auc_score(y[p], score[p]) * n for p, n in zip(parts, pairs, strict=True) if n) / sum(pairs)
        assert found[draw] == pytest.approx(twin)


def test_one_source_gives_no_interval() -> None:
    sample = Resamples.of(np.zeros(10, int), level=0.95, seed=0)
    found = sample.interval(sample.mean(np.arange(10)))
    assert found.value == 4.5
    assert np.isnan([found.low, found.high]).all()


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=60), st.integers(0, 100))
def test_control_labels_belong_to_words(words: list[str], seed: int) -> None:
    value = (np.arange(len(words)) % 3 == 0).astype(float)
    labels = control_values(value, words, kind="binary", seed=seed)
    if len(set(words)) == 1:
        assert labels is None
        return
    assert labels is not None
    assert len({(w, v) for w, v in zip(words, labels, strict=True)}) == len(set(words))
    assert set(labels) == {0, 1}
    assert (labels == control_values(value, words, kind="binary", seed=seed)).all()
    real = control_values(value + 5, words, kind="real", seed=seed)
    assert set(real) <= set(value + 5)


def test_control_labels_are_as_frequent_as_the_feature() -> None:
    rng = np.random.default_rng(0)
    words = [str(w) for w in rng.integers(0, 200, size=2000)]
    value = (rng.random(2000) < 0.3).astype(float)
    labels = control_values(value, words, kind="binary", seed=0)
    assert labels is not None
    assert labels.mean() == pytest.approx(value.mean(), abs=0.02)


def test_the_word_alone_is_judged_on_other_folds() -> None:
    words = ["x", "y"] * 30
    value = np.array([1.0, 0.0] * 30)
    folds = np.repeat([0, 1, 2], 20)
    assert ((word_prediction(value, words, folds, kind="binary") > 0) == (value > 0)).all()
    alone = [str(i) for i in range(60)]
    predicted = word_prediction(value, alone, folds, kind="real")
    assert np.allclose(predicted, training_means(value, folds))


def test_other_values_are_read_under_the_penalties_of_the_first() -> None:
    x, y, source = made(signal=0.6)
    folds = grouped_folds(y, source, len(y), kind="binary", n_folds=5, seed=0)
    own = cross_fit(x, y, folds, kind="binary")
    assert np.array_equal(cross_fit(x, y, folds, kind="binary", like=own).predicted, own.predicted)
    other = cross_fit(x, shuffled_values(y, seed=1), folds, kind="binary", like=own)
    assert (other.chosen, other.penalty) == (own.chosen, own.penalty)


def test_float32_and_wide_activations_give_the_fit_of_float64() -> None:
    x, y, _ = made(n=400, d=100, signal=0.5)
    for penalty in (1e-1, 1e-2):
        narrow, wide = (fit_linear(part, y, kind="binary", penalty=penalty)(x) for part in (x.astype(np.float32), x))
        assert np.allclose(narrow, wide, atol=2e-2)
