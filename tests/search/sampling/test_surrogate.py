"""The surrogate: what it learns of interactions, an honest error, and the slow twins of its formulas."""

from itertools import combinations

import numpy as np
import pytest

from hc_interp.search.sampling.surrogate import (
    PENALTIES,
    REACHES,
    KernelFit,
    LossSurrogate,
    relevance,
)

N, KEPT = 9, 4
ALL = np.array([[i in chosen for i in range(N)] for chosen in combinations(range(N), KEPT)])


def quadratic(seed: int, pairs: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(0, pairs, (N, N))
    return np.exp(ALL @ rng.normal(0, 0.5, N) + ((ALL @ coefficients) * ALL).sum(1))


def test_a_quadratic_log_loss_is_learnt_from_some_masks():
    losses = quadratic(0, pairs=0.2)
    rng = np.random.default_rng(0)
    seen = rng.permutation(len(ALL))[:90]
    fitted = LossSurrogate.fit(ALL[seen], losses[seen], bound=float(np.quantile(losses, 0.3)))
    unseen = np.setdiff1d(np.arange(len(ALL)), seen)
    miss = fitted.log_losses(ALL[unseen]) - np.log(losses[unseen])
    assert miss.std() < 0.15 * np.log(losses).std()
    assert fitted.explained > 0.95


def test_the_error_is_that_of_masks_that_were_not_seen():
    rng = np.random.default_rng(1)
    losses = quadratic(1, pairs=0.1) * np.exp(rng.normal(0, 0.3, len(ALL)))  # a part that nothing can learn
    seen = rng.permutation(len(ALL))[:80]
    fitted = LossSurrogate.fit(ALL[seen], losses[seen], bound=float(losses.max()))
    unseen = np.setdiff1d(np.arange(len(ALL)), seen)
    miss = fitted.log_losses(ALL[unseen]) - np.log(losses[unseen])
    assert 0.75 < fitted.error / np.sqrt(np.mean(miss**2)) < 1.3


def test_masks_far_above_the_bound_count_less():
    losses = quadratic(2, pairs=0.0)
    spoiled = losses.copy()
    far = losses > np.quantile(losses, 0.6)
    spoiled[far] *= np.exp(np.random.default_rng(0).normal(2.0, 1.0, far.sum()))
    unseen = np.flatnonzero(~far)[::3]
    seen = np.setdiff1d(np.arange(len(ALL)), unseen)

    def miss(bound: float) -> float:
        fitted = LossSurrogate.fit(ALL[seen], spoiled[seen], bound)
        return float(np.abs(fitted.log_losses(ALL[unseen]) - np.log(losses[unseen])).mean())

    assert miss(float(np.quantile(losses, 0.2))) < 0.8 * miss(float(spoiled.max()))


def test_losses_of_zero_are_no_obstacle():
    fitted = LossSurrogate.fit(ALL, np.zeros(len(ALL)), bound=0.1)
    assert np.isfinite(fitted.log_losses(ALL)).all()


def test_what_three_components_do_together_is_learnt():
    """A quadratic function explains nothing of it on masks that it was not fitted to: .04 here."""
    three = ALL[:, 0] & ALL[:, 3] & ALL[:, 5]
    losses = np.exp(2.0 * three)
    fitted = LossSurrogate.fit(ALL, losses, bound=float(losses.max()))
    assert fitted.explained > 0.3


def kernel_of(masks: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.exp(-np.array([[weights[a != b].sum() for b in others] for a in masks]))


def test_predictions_and_errors_are_those_of_fits_without_each_mask():
    losses = quadratic(3, pairs=0.3) * np.exp(np.random.default_rng(3).normal(0, 0.2, len(ALL)))
    fitted = LossSurrogate.fit(ALL, losses, bound=float(losses.max()))  # every mask counts as much as another
    order = np.argsort(np.abs(losses - losses.max()), kind="stable")
    masks, target = ALL[order], np.log(losses[order]) - np.log(losses).mean()
    weights = relevance(masks, target[:, None], np.ones(len(masks)))
    typical = -np.log(kernel_of(masks, masks, weights)).mean()
    scores = {}
    for reach in REACHES:
        kernel = kernel_of(masks, masks, weights / (reach * typical))
        for penalty in PENALTIES:
            residuals = []
            for i in range(len(masks)):
                others = np.delete(np.arange(len(masks)), i)
                solved = np.linalg.solve(kernel[np.ix_(others, others)] + penalty * np.eye(len(others)), target[others])
                residuals.append(target[i] - kernel[i, others] @ solved)
            scores[reach, penalty] = np.sqrt(np.mean(np.square(residuals)))
    assert fitted.error == pytest.approx(min(scores.values()), rel=1e-6)
    reach, penalty = min(scores, key=scores.__getitem__)
    kernel = kernel_of(masks, masks, weights / (reach * typical))
    predicted = kernel @ np.linalg.solve(kernel + penalty * np.eye(len(masks)), target) + np.log(losses).mean()
    np.testing.assert_allclose(fitted.log_losses(masks), predicted, atol=1e-9)


def test_masks_that_count_more_are_fitted_as_if_they_stood_there_more_often():
    """In the ridge alone; the kernel's own numbers are chosen on masks as they are."""
    rng = np.random.default_rng(4)
    values, counts = rng.normal(size=(len(ALL), 1)), rng.integers(1, 4, len(ALL)).astype(float)
    fitted = KernelFit.fit(ALL, values, counts)
    target = values - np.average(values, axis=0, weights=counts)
    kernel = kernel_of(ALL, ALL, fitted.weights)
    duals = [np.linalg.solve(kernel + np.diag(penalty / counts), target) for penalty in PENALTIES]
    assert sum(np.allclose(dual, fitted.dual, atol=1e-9) for dual in duals) == 1


def test_each_mask_has_its_own_output():
    rng = np.random.default_rng(5)
    values = np.stack([np.log(quadratic(6, 0.1)), rng.normal(size=len(ALL)), ALL[:, 2] * 1.0], axis=1)
    fitted = KernelFit.fit(ALL, values, np.ones(len(ALL)))
    some, output = ALL[:12], np.arange(12) % 3
    expected = [fitted.values(some[i : i + 1], int(output[i]))[0] for i in range(12)]
    np.testing.assert_allclose(fitted.values(some, output), expected)
    inside = np.array([np.flatnonzero(mask) for mask in some])
    outside = np.array([np.flatnonzero(~mask) for mask in some])
    changes = fitted.changes(some, inside, outside, output).reshape(12, KEPT, N - KEPT)
    for i, (k, j) in enumerate(rng.integers(0, (KEPT, N - KEPT), (12, 2))):
        after = some[i : i + 1].copy()
        after[0, inside[i, k]], after[0, outside[i, j]] = False, True
        assert changes[i, k, j] == pytest.approx(fitted.values(after, int(output[i]))[0] - expected[i], abs=1e-9)


def test_swaps_of_many_masks_are_those_of_few(monkeypatch):
    fitted = LossSurrogate.fit(ALL, quadratic(7, 0.2), bound=1.0)
    at_once = fitted.swaps(ALL).values
    monkeypatch.setattr("hc_interp.search.sampling.surrogate.AT_ONCE", 3 * N * len(ALL))
    np.testing.assert_allclose(fitted.swaps(ALL).values, at_once, atol=1e-12)
