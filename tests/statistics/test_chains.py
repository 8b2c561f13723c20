"""Whether chains have mixed: independent draws do, chains that differ do not, and a constant tells nothing."""

import numpy as np
import pytest

from hc_interp.statistics.chains import mixing


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


def test_a_constant_has_no_rhat_and_the_rule_of_three():
    found = mixing(np.concatenate([draws(0.5), np.ones((4, 400, 1), bool), np.zeros((4, 400, 1), bool)], axis=-1))
    assert found.constant.tolist() == [False, True, True]
    assert np.isnan(found.rhat[1:]).all()
    assert found.share_mixed(1.05, 50) == 1  # constants are no part of it
    low, high = found.interval()
    assert high[1] == 1
    assert low[1] == pytest.approx(1 - 3 / found.ess[0])
    assert high[2] == pytest.approx(3 / found.ess[0])


def test_nothing_that_varies_shows_no_mixing():
    found = mixing(np.ones((4, 100, 2), bool))
    assert np.isnan(found.share_mixed(1.05, 50))
    low, high = found.interval()
    assert low.tolist() == [0, 0]
    assert high.tolist() == [1, 1]
