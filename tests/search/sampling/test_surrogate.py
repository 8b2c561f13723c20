"""The surrogate: an exact fit where the log loss is quadratic, an honest error where it is not."""

from itertools import combinations

import numpy as np

from hc_interp.search.sampling.surrogate import QuadraticSurrogate

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
