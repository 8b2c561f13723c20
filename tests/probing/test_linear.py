"""The numerics of a probe on made activations: folds, fits, controls and scores, each against a slow twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_fit import fit_linear
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from hc_interp.errors import DataError
from hc_interp.probing import logistic
from hc_interp.probing.controls import control_values, shuffled_values, word_prediction
from hc_interp.probing.folds import grouped_folds, source_codes, validation_fold
from hc_interp.probing.linear import PENALTIES, cross_fit, loss, training_means
from hc_interp.probing.logistic import minimise
from hc_interp.probing.resamples import RESAMPLES, STRIDE, Resamples, running_sums


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


def twin(x: np.ndarray, y: np.ndarray, *, kind: str, penalty: float):
    """One fit alone, by scikit-learn, to its last digit: what it says at other rows."""
    scaler = StandardScaler().fit(x)
    if kind == "binary":
        logistic = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-10, max_iter=10000)
        predict = logistic.fit(scaler.transform(x), y).decision_function
    else:
        predict = Ridge(alpha=penalty * len(y)).fit(scaler.transform(x), y).predict
    return lambda other: predict(scaler.transform(other))


def twin_cross_fit(x: np.ndarray, targets: list[np.ndarray], folds: np.ndarray, kind: str):
    """`cross_fit`, one fit after the other."""
    n_folds = folds.max() + 1
    predicted = np.empty((len(targets), len(folds)))
    losses = np.empty((n_folds, len(PENALTIES)))
    for fold in range(n_folds):
        test, validation = folds == fold, folds == validation_fold(fold, n_folds)
        fitted = ~(test | validation)
        for i, penalty in enumerate(PENALTIES):
            probe = twin(x[fitted], targets[0][fitted], kind=kind, penalty=penalty)
            losses[fold, i] = loss(probe(x[validation]), targets[0][validation], kind=kind)
        for number, y in enumerate(targets):
            probe = twin(x[~test], y[~test], kind=kind, penalty=PENALTIES[losses[fold].argmin()])
            predicted[number, test] = probe(x[test])
    penalty = PENALTIES[losses.sum(axis=0).argmin()]
    return (
        predicted,
        tuple(PENALTIES[i] for i in losses.argmin(axis=1)),
        twin(x, targets[0], kind=kind, penalty=penalty),
    )


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kind", ["binary", "real"])
@pytest.mark.parametrize(
    ("n", "d", "offset", "signal"),
    [(600, 6, 1, 0.7), (600, 6, 1000, 0.7), (3000, 96, 1, 0.5), (40, 90, 1, 0.5), (300, 6, 1, 1.0)],
    ids=["narrow", "far from 0", "wide, many blocks", "more columns than places", "separable"],
)
def test_weights_are_those_of_the_scaled_fit(n, d, offset, signal, kind, penalty, monkeypatch) -> None:
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-10)
    x, y, _ = made(n, d, signal=signal)
    x += offset
    fit, other = fit_linear(x, y, kind=kind, penalty=penalty), twin(x, y, kind=kind, penalty=penalty)
    assert np.allclose(fit(x), other(x), atol=1e-5)


@pytest.mark.parametrize("kind", ["binary", "real"])
@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_fits_that_share_their_passes_are_the_fits_alone(kind: str, precision: type) -> None:
    rng = np.random.default_rng(2)
    x, y, source = made(900, 40, signal=0.6)
    x = (x @ rng.normal(size=(40, 40))).astype(precision)  # columns go together, as activations do
    folds = grouped_folds(y, source, len(y), kind="binary", n_folds=4, seed=0)
    targets = [y, shuffled_values(y, seed=1), (rng.random(900) < 0.2).astype(float)]
    if kind == "real":
        targets = [1e4 + 5 * y + x[:, 1], *targets[1:]]
    predicted, chosen, whole = twin_cross_fit(x.astype(float), targets, folds, kind)
    fits = cross_fit(x, dict(zip("abc", targets, strict=True)), folds, kind=kind)
    assert fits.chosen == chosen
    for name, expected in zip("abc", predicted, strict=True):
        assert np.allclose(fits.predicted[name], expected, atol=5e-3)
    assert np.allclose(fits.whole(x), whole(x), atol=5e-3)


def test_a_training_part_of_one_class_gives_its_share() -> None:
    x, y, _ = made(90)
    folds = np.repeat([0, 1, 2], 30)
    y[folds != 0] = 1
    fits = cross_fit(x, {"": y}, folds, kind="binary")
    assert np.allclose(fits.predicted[""][folds == 0], np.log(60.5 / 0.5))


@pytest.mark.parametrize("constant", [0.0, -7.3])
@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_a_column_that_varies_outside_the_training_part_only_gets_no_weight(constant, precision) -> None:
    x, y, source = made(300, signal=0.6)
    folds = grouped_folds(y, source, len(y), kind="binary", n_folds=3, seed=0)
    with_it = np.hstack([x, np.where(folds == 0, y + x[:, 1], constant)[:, None]]).astype(precision)
    fits, without = (cross_fit(part, {"": y}, folds, kind="binary") for part in (with_it, x.astype(precision)))
    assert np.allclose(fits.predicted[""][folds == 0], without.predicted[""][folds == 0], atol=5e-3)


def test_activations_that_are_no_numbers_are_an_error() -> None:
    x, y, _ = made(90)
    x[3, 2] = np.nan
    with pytest.raises(DataError, match="1 of 6 columns of the activations hold NaN"):
        fit_linear(x, y, kind="binary", penalty=1e-2)


def test_a_search_without_end_is_an_error() -> None:
    with pytest.raises(DataError, match="1 logistic probes found no optimum"):
        minimise(lambda at, which: np.ones_like(at), np.zeros((2, 1)), lambda change, which: change)


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
    shuffled = shuffled_values(y, seed=1)
    predicted = cross_fit(x, {"own": y, "shuffled": shuffled}, folds, kind="binary").predicted
    assert sure.auc(predicted["own"], y > 0, folds)[0] >= 0.99
    chance = sure.interval(sure.auc(predicted["shuffled"], shuffled > 0, folds))
    assert chance.low < 0.5 < chance.high


def test_real_values_are_predicted() -> None:
    x, _, source = made()
    y = x @ np.arange(6.0) + 5
    folds = grouped_folds(y, source, len(y), kind="real", n_folds=5, seed=0)
    fits = cross_fit(x, {"": y}, folds, kind="real")
    assert np.corrcoef(fits.predicted[""], y)[0, 1] > 0.999


@pytest.mark.parametrize("decimals", [1, 8])  # rounding makes ties
@pytest.mark.parametrize("n", [90, 9 * STRIDE])  # the second needs many strides for a running sum
def test_auc_is_the_mean_over_pairs_within_folds_for_every_resample(n: int, decimals: int) -> None:
    rng = np.random.default_rng(0)
    score, y = np.round(rng.normal(size=n), decimals), rng.random(n) < 0.4
    source = rng.permutation(np.arange(n) % (n // 3))
    folds = source % 3
    sample = Resamples.of(source, level=0.9, seed=3)
    aucs = sample.auc(score, y, folds)
    assert len(aucs) == RESAMPLES + 1
    for draw in (0, 1, 17, 500, RESAMPLES):
        index = np.repeat(np.arange(n), sample.weights[draw][source])
        parts = [index[folds[index] == f] for f in range(3)]
        pairs = [y[p].sum() * (~y[p]).sum() for p in parts]
        twin = sum(roc_auc_score(y[p], score[p]) * n for p, n in zip(parts, pairs, strict=True) if n) / sum(pairs)
        assert aucs[draw] == pytest.approx(twin)


@pytest.mark.parametrize("n", [0, 1, STRIDE - 1, STRIDE, 3 * STRIDE + 5])
def test_running_sums_are_those_of_numpy(n: int) -> None:
    rng = np.random.default_rng(n)
    rows, order = rng.integers(0, 5, size=(20, 7)).astype(np.float32), rng.integers(0, 20, size=n)
    assert np.array_equal(running_sums(rows, order), np.cumsum(np.vstack([rows[:1] * 0, rows[order]]), axis=0))


def test_a_fold_of_one_class_says_nothing() -> None:
    sample = Resamples.of(np.arange(6), level=0.9, seed=0)
    folds = np.array([0, 0, 0, 1, 1, 1])
    score, positive = np.array([1.0, 2, 3, 1, 2, 3]), np.array([0, 0, 1, 1, 1, 1]) > 0
    assert sample.auc(score, positive, folds)[0] == 1
    assert np.isnan(sample.auc(score, positive | True, folds)).all()


def test_one_source_gives_no_interval() -> None:
    sample = Resamples.of(np.zeros(10, int), level=0.95, seed=0)
    interval = sample.interval(sample.mean(np.arange(10)))
    assert interval.value == 4.5
    assert np.isnan([interval.low, interval.high]).all()


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
    noise = shuffled_values(y, seed=1)
    alone = cross_fit(x, {"": y}, folds, kind="binary")
    both = cross_fit(x, {"": y, "copy": y, "noise": noise}, folds, kind="binary")
    assert np.array_equal(both.predicted[""], alone.predicted[""])
    assert np.allclose(both.predicted["copy"], both.predicted[""], atol=1e-3)
    assert both.chosen == alone.chosen != cross_fit(x, {"": noise}, folds, kind="binary").chosen


def test_float32_and_wide_activations_give_the_fit_of_float64() -> None:
    x, y, _ = made(n=400, d=100, signal=0.5)
    for penalty in (1e-1, 1e-2):
        narrow, wide = (fit_linear(part, y, kind="binary", penalty=penalty)(x) for part in (x.astype(np.float32), x))
        assert np.allclose(narrow, wide, atol=2e-2)


def test_a_constant_guess_comes_from_the_other_folds() -> None:
    y, folds = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0, 0, 1, 2])
    assert training_means(y, folds) == pytest.approx([6, 6, 11 / 3, 7 / 3])


def test_a_control_task_is_as_balanced_as_the_feature() -> None:
    word = [f"w{i // 2}" for i in range(200)]
    for share in (0.1, 0.5, 0.8):
        value = (np.arange(200) < 200 * share).astype(float)
        for seed in range(3):
            labels = control_values(value, word, kind="binary", seed=seed)
            assert labels is not None
            assert labels.mean() == pytest.approx(share, abs=0.01)
