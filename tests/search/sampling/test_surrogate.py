"""The surrogate: an exact fit where the log loss is quadratic, an honest error where it is not."""

from itertools import combinations

import numpy as np
import pytest

from hc_interp.search.sampling.surrogate import PAIR_SHARES, PENALTIES, QuadraticSurrogate, spectrum

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
    fitted = QuadraticSurrogate.fit(ALL[seen], losses[seen], bound=float(np.quantile(losses, 0.3)))
    unseen = np.setdiff1d(np.arange(len(ALL)), seen)
    miss = fitted.log_losses(ALL[unseen]) - np.log(losses[unseen])
    assert miss.std() < 0.15 * np.log(losses).std()
    assert fitted.explained > 0.95


def test_the_error_is_that_of_masks_that_were_not_seen():
    rng = np.random.default_rng(1)
    losses = quadratic(1, pairs=0.1) * np.exp(rng.normal(0, 0.3, len(ALL)))  # a part that nothing can learn
    seen = rng.permutation(len(ALL))[:80]
    fitted = QuadraticSurrogate.fit(ALL[seen], losses[seen], bound=float(losses.max()))
    unseen = np.setdiff1d(np.arange(len(ALL)), seen)
    miss = fitted.log_losses(ALL[unseen]) - np.log(losses[unseen])
    assert 0.75 < fitted.error / np.sqrt(np.mean(miss**2)) < 1.3


def test_masks_far_above_the_bound_count_less():
    losses = quadratic(2, pairs=0.0)
    spoiled = losses.copy()
    far = losses > np.quantile(losses, 0.6)
    spoiled[far] *= np.exp(np.random.default_rng(0).normal(2.0, 1.0, far.sum()))
    near = QuadraticSurrogate.fit(ALL, spoiled, bound=float(np.quantile(losses, 0.2)))
    same = QuadraticSurrogate.fit(ALL, spoiled, bound=float(spoiled.max()))

    def miss(fitted: QuadraticSurrogate) -> float:
        return float(np.abs(fitted.log_losses(ALL[~far]) - np.log(losses[~far])).mean())

    assert miss(near) < 0.8 * miss(same)


def test_losses_of_zero_are_no_obstacle():
    fitted = QuadraticSurrogate.fit(ALL, np.zeros(len(ALL)), bound=0.1)
    assert np.isfinite(fitted.log_losses(ALL)).all()


@pytest.mark.parametrize("pair_share", [0.0, 0.5, 0.9])
def test_many_masks_are_fitted_as_by_their_kernel(pair_share):
    """With 126 masks of 9 components there are more masks than features."""
    gates = ALL - KEPT / N
    root = np.sqrt(np.random.default_rng(0).uniform(0.1, 1, len(ALL)))
    inner = gates @ gates.T / 2.0
    kernel = root[:, None] * ((1 - pair_share) * inner + pair_share * inner**2) * root
    values, vectors = spectrum(gates, pair_share, 2.0, root)
    assert len(values) < len(ALL)
    np.testing.assert_allclose((vectors * values) @ vectors.T, kernel, atol=1e-10)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-8)
    few, few_vectors = spectrum(gates[:20], pair_share, 2.0, root[:20])
    np.testing.assert_allclose((few_vectors * few) @ few_vectors.T, kernel[:20, :20], atol=1e-10)


def test_predictions_and_errors_are_those_of_ridge_regression_without_each_mask():
    """Where the kernel has no say, too: the left-out residual is the one of a fit without the mask."""
    losses = quadratic(3, pairs=0.3) * np.exp(np.random.default_rng(3).normal(0, 0.2, len(ALL)))
    bound = float(losses.max())  # all weights are 1
    fitted = QuadraticSurrogate.fit(ALL, losses, bound)
    gates = ALL - KEPT / N
    inner = gates @ gates.T / (gates**2).sum(1).mean()
    target = np.log(losses) - np.log(losses).mean()
    scores = {}
    for pair_share in PAIR_SHARES:
        kernel = (1 - pair_share) * inner + pair_share * inner**2
        for penalty in PENALTIES:
            residuals = []
            for i in range(len(ALL)):
                others = np.delete(np.arange(len(ALL)), i)
                solved = np.linalg.solve(kernel[np.ix_(others, others)] + penalty * np.eye(len(others)), target[others])
                residuals.append(target[i] - kernel[i, others] @ solved)
            scores[pair_share, penalty] = np.sqrt(np.mean(np.square(residuals)))
    assert fitted.error == pytest.approx(min(scores.values()), rel=1e-6)
    pair_share, penalty = min(scores, key=scores.__getitem__)
    kernel = (1 - pair_share) * inner + pair_share * inner**2
    predicted = kernel @ np.linalg.solve(kernel + penalty * np.eye(len(ALL)), target) + np.log(losses).mean()
    np.testing.assert_allclose(fitted.log_losses(ALL), predicted, atol=1e-6)
