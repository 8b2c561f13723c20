"""Whether chains have mixed: independent draws do, chains that differ do not, and a constant tells nothing."""

import numpy as np
import pytest

from hc_interp.statistics.chains import chain_jackknife, mixing


def draws(*shares: float, n: int = 400, chains: int = 4) -> np.ndarray:
    return np.random.default_rng(0).random((chains, n, len(shares))) < np.array(shares)


def test_independent_draws_have_mixed_and_count_fully():
    found = mixing(draws(0.3, 0.7))
    np.testing.assert_allclose(found.rhat, 1, atol=0.02)
    np.testing.assert_allclose(found.ess, 1600, rtol=0.2)
    np.testing.assert_allclose(found.error, np.sqrt(0.21 / 1600), rtol=0.15)
    assert found.share_mixed(1.05, 50) == 1


def test_draws_that_stand_still_count_less():
    slow = np.repeat(draws(0.5, n=40), 10, axis=1)
    found = mixing(slow)
    assert 100 < found.ess[0] < 250  # 160 independent draws
    assert found.error[0] == pytest.approx(np.sqrt(0.25 / 160), rel=0.3)


def test_chains_that_differ_have_not_mixed():
    values = draws(0.5)
    values[0] |= draws(0.9)[0]
    found = mixing(values)
    assert found.rhat[0] > 1.05
    assert found.share_mixed(1.05, 50) == 0


def test_chains_that_each_stand_still_have_not_mixed():
    values = draws(0.5)
    values[..., 0] = (np.arange(4) < 2)[:, None]
    found = mixing(values)
    assert found.rhat[0] == np.inf
    assert not found.constant[0]
    assert found.share_mixed(1.05, 50) == 0


def test_a_constant_has_no_rhat_and_the_interval_of_the_smallest_effective_sample():
    found = mixing(np.concatenate([draws(0.5), np.ones((4, 400, 1), bool), np.zeros((4, 400, 1), bool)], axis=-1))
    assert found.constant.tolist() == [False, True, True]
    assert np.isnan(found.rhat[1:]).all()
    assert found.share_mixed(1.05, 50) == 1  # constants are no part of it
    low, high = found.interval()
    z2, n = 1.96**2, min(found.ess[0], 1600)
    assert high[1] == 1
    assert low[1] == pytest.approx(1 - z2 / (n + z2), rel=1e-3)
    assert high[2] == pytest.approx(z2 / (n + z2), rel=1e-3)


def test_what_was_seen_once_is_no_surer_than_what_was_never_seen():
    once = np.zeros((4, 400, 1), bool)
    once[0, 7] = True
    slow = np.repeat(draws(0.5, n=40), 10, axis=1)
    found = mixing(np.concatenate([slow, once, np.zeros_like(once)], axis=-1))
    assert found.rare.tolist() == [False, True, False]
    _, high = found.interval()
    assert high[1] > high[2] > 0.01
    assert found.share_mixed(1.05, 50) == 1
    assert np.isnan(mixing(once).share_mixed(1.05, 50))


def test_one_column_that_chains_disagree_on_is_the_worst():
    values = np.concatenate([draws(*[0.5] * 19), (np.arange(4) < 2)[:, None, None].repeat(400, 1)], axis=-1)
    found = mixing(values)
    assert found.share_mixed(1.05, 50) == pytest.approx(0.95)
    assert found.worst == np.inf


def test_nothing_that_varies_shows_no_mixing():
    found = mixing(np.ones((4, 100, 2), bool))
    assert np.isnan(found.share_mixed(1.05, 50))
    assert np.isnan(found.worst)
    low, high = found.interval()
    assert (low < 0.5).all()
    assert (high == 1).all()


def test_a_jackknife_over_chains_is_the_standard_error_of_their_mean():
    """Of a mean, where it is the spread of the chains' own means; chains that stand still count once."""
    values = draws(0.5, 0.2, n=50, chains=6)
    mean, error = chain_jackknife(values, lambda flat: flat.mean(0))
    by_chain = values.mean(1)
    np.testing.assert_allclose(mean, by_chain.mean(0))
    np.testing.assert_allclose(error, by_chain.std(0, ddof=1) / np.sqrt(6))
