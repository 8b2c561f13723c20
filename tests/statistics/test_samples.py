"""Every kind of bad sample or setting gets its clear error, and the seed alone decides."""

import numpy as np
import pytest

from hc_interp.errors import DataError, HCError
from hc_interp.statistics.tests import (
    bootstrap,
    clopper_pearson,
    fdr,
    holm,
    permutation_p,
    ratio_interval,
    sign_flip_test,
)


@pytest.fixture
def skewed() -> np.ndarray:
    return np.random.default_rng(1).exponential(size=(40, 3))


def test_the_seed_decides_and_global_state_does_not(skewed):
    np.random.seed(0)  # noqa: NPY002 - the point is that it does not matter
    first = bootstrap(skewed, seed=1)
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first.low, bootstrap(skewed, seed=1).low)
    assert np.any(first.low != bootstrap(skewed, seed=2).low)


@pytest.mark.parametrize(
    "values",
    [np.array([]), np.zeros((0, 3)), np.zeros((4, 0)), np.array(1.0)],
    ids=["empty", "no rows", "no columns", "0-d"],
)
@pytest.mark.parametrize("function", [bootstrap, sign_flip_test, lambda v, seed: ratio_interval(v, v, seed=seed)])
def test_values_without_rows_are_refused(function, values):
    with pytest.raises(DataError, match="has shape"):
        function(values, seed=0)


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_values_with_holes_are_refused(skewed, hole):
    skewed[3, 1] = hole
    for function in (bootstrap, sign_flip_test):
        with pytest.raises(DataError, match="1 entries that are NaN or infinite"):
            function(skewed, seed=0)
    with pytest.raises(DataError, match="denominator has"):
        ratio_interval(skewed[:, 0], skewed, seed=0)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95.0, float("nan")])
def test_levels_outside_0_and_1_are_refused(skewed, level):
    with pytest.raises(HCError, match=r"0\.95"):
        bootstrap(skewed, level=level, seed=0)
    with pytest.raises(HCError, match=r"0\.95"):
        ratio_interval(skewed, skewed, level=level, seed=0)
    with pytest.raises(HCError, match=r"0\.95"):
        clopper_pearson(1, 2, level)


@pytest.mark.parametrize("seed", [None, -1, 1.5, True, "0"])
def test_no_seed_no_result(skewed, seed):
    with pytest.raises(HCError, match="seed"):
        bootstrap(skewed, seed=seed)


def test_other_arguments_are_checked(skewed):
    with pytest.raises(HCError, match="n_resamples=0"):
        bootstrap(skewed, n_resamples=0, seed=0)
    with pytest.raises(HCError, match=r"n_resamples=1\.5"):
        sign_flip_test(skewed, n_resamples=1.5, seed=0)
    with pytest.raises(HCError, match="percentile, expanded"):
        bootstrap(skewed, method="BCa", seed=0)
    with pytest.raises(HCError, match="'median'"):
        bootstrap(skewed, "median", seed=0)


def test_clusters_are_checked(skewed):
    with pytest.raises(DataError, match="3 cluster names were given for 40 rows"):
        bootstrap(skewed, clusters=["a", "b", "c"], seed=0)
    with pytest.raises(DataError, match="1 of 40 rows have no cluster"):
        sign_flip_test(skewed, clusters=[None, *"a" * 39], seed=0)


@pytest.mark.parametrize("shape", [(39,), (40, 2), (40, 3, 1)])
def test_denominators_that_do_not_fit_are_refused(skewed, shape):
    with pytest.raises(DataError, match="do not fit"):
        ratio_interval(skewed, np.ones(shape), seed=0)


def test_null_values_are_checked():
    with pytest.raises(DataError, match="shape"):
        permutation_p(1.0, np.array([]), exhaustive=False)
    with pytest.raises(DataError, match="shape"):
        permutation_p(np.ones(2), np.ones((5, 3)), exhaustive=False)
    with pytest.raises(DataError, match="1 of 2 null values"):
        permutation_p(1.0, np.array([1.0, np.nan]), exhaustive=False)
    with pytest.raises(DataError, match="None of the 2 null values equals"):
        permutation_p(9.0, np.array([1.0, 2.0]), exhaustive=True)


def test_p_values_and_counts_are_checked():
    for adjust in (fdr, holm):
        with pytest.raises(DataError, match="p values from -1"):
            adjust(np.array([-1.0, 0.5]))
    for k, n in ((3, 2), (-1, 2), (0, 0), (0.5, 2)):
        with pytest.raises(DataError, match="successes"):
            clopper_pearson(k, n)
