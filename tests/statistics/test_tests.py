"""Intervals against scipy and slow twins, and tests against enumeration."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hc_interp.statistics import resampling
from hc_interp.statistics.tests import (
    Interval,
    bootstrap,
    clopper_pearson,
    fdr,
    holm,
    permutation_p,
    ratio_interval,
    sign_flip_test,
)

finite = st.floats(-100, 100, allow_subnormal=False)


@pytest.fixture
def skewed() -> np.ndarray:
    return np.random.default_rng(1).exponential(size=(40, 3))


@pytest.mark.parametrize("scale", [1.0, 1e-130])
@pytest.mark.parametrize("whole", [False, True], ids=["continuous", "tied draws"])
def test_bootstrap_gives_scipys_bounds_on_the_same_draws(skewed, whole, scale):
    values = np.floor(skewed) if whole else skewed
    ours = bootstrap(values * scale, n_resamples=3000, seed=0)
    draws = resampling.bootstrap_counts(40, 3000, np.random.default_rng(0)) @ values / 40
    other = scipy.stats.bootstrap(
        (values,),
        np.mean,
        axis=0,
        method="percentile",
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=draws.T),
    ).confidence_interval
    np.testing.assert_allclose(ours.value / scale, values.mean(axis=0))
    np.testing.assert_allclose(np.stack([ours.low, ours.high]) / scale, [other.low, other.high])


def test_bootstrap_agrees_with_scipys_own_draws(skewed):
    ours = bootstrap(skewed, n_resamples=20_000, seed=0)
    other = scipy.stats.bootstrap((skewed,), np.mean, axis=0, method="percentile", n_resamples=20_000, rng=5)
    spread = skewed.std(axis=0) / np.sqrt(len(skewed))
    # Both ends carry Monte Carlo error: its standard deviation is about 0.03 of the spread.
    assert np.all(np.abs(ours.low - other.confidence_interval.low) < 0.15 * spread)
    assert np.all(np.abs(ours.high - other.confidence_interval.high) < 0.15 * spread)


def test_expanded_percentiles_are_percentiles_of_a_wider_level(skewed):
    """What the correction is for: a t instead of a normal, and the spread that resamples of few rows lack."""
    n = len(skewed)
    wanted = scipy.stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1))
    level = scipy.stats.norm.cdf(wanted) - scipy.stats.norm.cdf(-wanted)
    interval = bootstrap(skewed, method="expanded", seed=0)
    expected = bootstrap(skewed, level=level, seed=0)
    np.testing.assert_allclose([interval.low, interval.high], [expected.low, expected.high])
    assert np.all(interval.low < bootstrap(skewed, seed=0).low)
    ratio = ratio_interval(skewed[:, 0], skewed[:, 1], method="expanded", seed=0)
    other = ratio_interval(skewed[:, 0], skewed[:, 1], level=level, seed=0)
    assert (ratio.low, ratio.high) == (other.low, other.high)
    median = bootstrap(skewed[:, 0], np.median, method="expanded", n_resamples=500, seed=0)
    assert median.low == bootstrap(skewed[:, 0], np.median, level=level, n_resamples=500, seed=0).low
    assert np.isnan(bootstrap([1.0], method="expanded", seed=0).low)


def test_expanded_percentiles_cover_where_plain_ones_do_not():
    rows = np.random.default_rng(0).normal(size=(12, 2000))
    covered = {}
    for method in ("percentile", "expanded"):
        interval = bootstrap(rows, method=method, n_resamples=1000, seed=0)
        covered[method] = float(np.mean((interval.low <= 0) & (interval.high >= 0)))
    assert covered["percentile"] < 0.925
    assert 0.935 < covered["expanded"] < 0.965


@pytest.mark.parametrize("method", ["percentile", "expanded"])
@pytest.mark.parametrize("clusters", [None, list("aabbbccdefgh")])
def test_a_function_of_the_rows_gives_what_the_matrix_product_gives(method, clusters):
    values = np.random.default_rng(2).gamma(1.0, size=(12, 2))
    fast = bootstrap(values, clusters=clusters, method=method, n_resamples=500, seed=3)
    slow = bootstrap(values, lambda rows: rows.mean(axis=0), clusters=clusters, method=method, n_resamples=500, seed=3)
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), rtol=1e-9)


def test_bootstrap_of_a_median_agrees_with_scipy(skewed):
    ours = bootstrap(skewed[:, 0], np.median, n_resamples=4000, seed=0)
    other = scipy.stats.bootstrap((skewed[:, 0],), np.median, method="percentile", n_resamples=4000, rng=0)
    assert ours.low == pytest.approx(other.confidence_interval.low, abs=0.05)
    assert ours.high == pytest.approx(other.confidence_interval.high, abs=0.05)


def test_percentile_bounds_are_those_of_all_resamples_of_three_rows():
    values = np.array([0.0, 1.0, 5.0])
    means = np.array([np.mean(rows) for rows in product(values, repeat=3)])
    interval = bootstrap(values, n_resamples=40_000, level=0.8, seed=0)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(means, [0.1, 0.9], method="inverted_cdf")))


@pytest.mark.parametrize("method", ["percentile", "expanded"])
def test_coverage_of_a_mean(method):
    samples = np.random.default_rng(4).normal(1.0, 1.0, size=(50, 800))  # 800 experiments, one per column
    interval = bootstrap(samples, method=method, n_resamples=1000, seed=0)
    covered = ((interval.low <= 1.0) & (interval.high >= 1.0)).mean()
    assert 0.91 < covered < 0.97


def test_coverage_with_clusters_needs_clusters():
    rng = np.random.default_rng(5)
    shared = np.repeat(rng.normal(size=(40, 500)), 5, axis=0)
    values = shared + 0.3 * rng.normal(size=shared.shape)
    by_cluster = bootstrap(values, clusters=np.repeat(np.arange(40), 5), n_resamples=1000, seed=0)
    by_row = bootstrap(values, n_resamples=1000, seed=0)
    covered = [((interval.low <= 0) & (interval.high >= 0)).mean() for interval in (by_cluster, by_row)]
    assert covered[0] > 0.9
    assert covered[1] < 0.75


def test_clusters_of_one_row_change_nothing(skewed):
    names = [f"premise {i}" for i in range(len(skewed))]
    plain, named = bootstrap(skewed, seed=0), bootstrap(skewed, clusters=names, seed=0)
    np.testing.assert_array_equal(plain.low, named.low)


def test_a_column_does_not_depend_on_its_neighbours(monkeypatch, skewed):
    whole = bootstrap(skewed, method="expanded", seed=0)
    alone = bootstrap(skewed[:, 1], method="expanded", seed=0)
    assert (whole.low[1], whole.high[1]) == pytest.approx((alone.low, alone.high))
    monkeypatch.setattr(resampling, "BLOCK", 2500)  # many blocks of resamples and columns
    blocked = bootstrap(skewed, method="expanded", seed=0)
    np.testing.assert_allclose(blocked.high, whole.high)


def test_trailing_axes_are_kept_and_scalars_are_floats(skewed):
    cube = skewed[:, :, None] * np.array([1.0, 2.0])
    interval = bootstrap(cube, seed=0)
    assert np.shape(interval.value) == np.shape(interval.low) == (3, 2)
    one = bootstrap(skewed[:, 0] > 1, seed=0)
    assert isinstance(one.low, float)
    assert one.n == 40
    assert interval.to_frame().shape == (6, 4)


@given(
    arrays(float, st.tuples(st.integers(2, 12), st.integers(1, 3)), elements=finite),
    st.sampled_from(["percentile", "expanded"]),
)
@settings(max_examples=50, deadline=None)
def test_bounds_lie_inside_the_data(values, method):
    interval = bootstrap(values, method=method, n_resamples=99, seed=0)
    slack = 1e-9 * (1 + np.abs(values).max())
    assert np.all(interval.low <= interval.high + slack)
    assert np.all(values.min(axis=0) - slack <= interval.low)
    assert np.all(interval.high <= values.max(axis=0) + slack)


@given(finite, st.sampled_from(["percentile", "expanded"]), st.integers(2, 30))
@settings(max_examples=50, deadline=None)
def test_constant_data_collapse_to_the_point(constant, method, n):
    interval = bootstrap(np.full(n, constant), method=method, n_resamples=50, seed=0)
    assert interval.low == interval.value == interval.high
    assert interval.value == pytest.approx(constant)


def test_one_row_or_cluster_has_no_bounds():
    assert np.isnan(bootstrap(np.array([3.0]), seed=0).low)
    interval = bootstrap(np.array([[3.0, 1.0], [5.0, 1.0]]), clusters=["a", "a"], seed=0)
    np.testing.assert_array_equal(interval.value, [4.0, 1.0])
    assert np.isnan([interval.low, interval.high]).all()
    assert not np.any(interval.excludes(0))
    assert np.isnan(bootstrap(np.array([3.0, 4.0]), np.median, clusters=["a", "a"], seed=0).high)


def test_a_column_of_nan_stays_nan_and_leaves_the_others_alone(skewed):
    with_nan = skewed.copy()
    with_nan[:, 1] = np.nan
    for method in ("percentile", "expanded"):
        interval, whole = (bootstrap(v, method=method, seed=0) for v in (with_nan, skewed))
        assert np.isnan([interval.value[1], interval.low[1], interval.high[1]]).all()
        assert interval.high[2] == pytest.approx(whole.high[2])
    assert np.isnan(sign_flip_test(with_nan, seed=0)).tolist() == [False, True, False]


def test_interval_is_saved_and_loaded(tmp_path, skewed):
    interval = bootstrap(skewed, seed=0)
    again = Interval.load(interval.save(tmp_path / "interval.json"))
    np.testing.assert_array_equal(again.high, interval.high)
    assert again.n == 40


# ratios


def test_ratio_against_a_loop(skewed):
    numerator, denominator = skewed[:, :2], skewed[:, 2]
    interval = ratio_interval(numerator, denominator, n_resamples=300, seed=7)
    counts = resampling.bootstrap_counts(40, 300, np.random.default_rng(7))
    rows = [np.repeat(np.arange(40), count) for count in counts]
    draws = np.array([numerator[r].sum(axis=0) / denominator[r].sum() for r in rows])
    np.testing.assert_allclose(interval.value, numerator.sum(axis=0) / denominator.sum())
    np.testing.assert_allclose([interval.low, interval.high], np.quantile(draws, [0.025, 0.975], axis=0))


def test_a_share_of_itself_is_one_without_spread(skewed):
    interval = ratio_interval(skewed, skewed, seed=0)
    np.testing.assert_allclose([interval.value, interval.low, interval.high], 1.0)
    np.testing.assert_array_equal(interval.low, interval.high)


def test_ratio_is_nan_where_the_denominator_may_be_zero(skewed):
    around_zero = np.random.default_rng(8).normal(0, 1, size=40)
    around_zero -= around_zero.mean() * 0.9
    interval = ratio_interval(skewed, np.stack([skewed[:, 0], around_zero, -skewed[:, 0]], axis=1), seed=0)
    assert np.isnan(interval.value).tolist() == np.isnan(interval.low).tolist() == [False, True, False]
    assert interval.value[2] < 0
    assert np.isnan(ratio_interval(skewed[:, 0], np.zeros(40), seed=0).high)


def test_denominators_broadcast_over_axes():
    rng = np.random.default_rng(9)
    numerator, denominator = rng.normal(size=(30, 4, 2)), rng.uniform(1, 2, size=(30, 1, 2))
    interval = ratio_interval(numerator, denominator, seed=0)
    for sender, receiver in product(range(4), range(2)):
        one = ratio_interval(numerator[:, sender, receiver], denominator[:, 0, receiver], seed=0)
        assert (interval.low[sender, receiver], interval.high[sender, receiver]) == pytest.approx((one.low, one.high))


def test_ratio_with_clusters_is_the_ratio_of_cluster_sums(skewed):
    clusters = np.repeat(np.arange(10), 4)
    sums = skewed.reshape(10, 4, 3).sum(axis=1)
    by_cluster = ratio_interval(skewed[:, 0], skewed[:, 1], clusters=clusters, seed=0)
    by_sum = ratio_interval(sums[:, 0], sums[:, 1], seed=0)
    assert (by_cluster.low, by_cluster.high) == pytest.approx((by_sum.low, by_sum.high))


# tests


@given(
    arrays(float, st.tuples(st.integers(1, 7), st.integers(1, 2)), elements=st.integers(-3, 3).map(lambda i: i / 10))
)
@settings(max_examples=60, deadline=None)
def test_sign_flip_is_exact_by_enumeration(values):
    flips = np.array(list(product([1, -1], repeat=len(values))))
    reached = np.abs(np.rint(flips @ (values * 10))) >= np.abs(np.rint(values.sum(axis=0) * 10))
    np.testing.assert_allclose(sign_flip_test(values, seed=0), reached.mean(axis=0))


def test_random_sign_flips_come_near_the_exact_p():
    values = np.random.default_rng(10).normal(0.4, 1, size=(12, 5))
    exact = sign_flip_test(values, n_resamples=2**12, seed=0)
    drawn = sign_flip_test(values, n_resamples=2**12 - 1, seed=0)
    assert not np.array_equal(exact, drawn)
    np.testing.assert_allclose(drawn, exact, atol=0.03)


def test_sign_flip_bounds_and_zeros():
    values = np.stack([np.ones(50), np.zeros(50)], axis=1)
    np.testing.assert_allclose(sign_flip_test(values, n_resamples=999, seed=0), [1 / 1000, 1.0])
    assert sign_flip_test(np.array([2.0]), seed=0) == 1.0


def test_sign_flip_holds_its_level_with_clusters_only():
    rng = np.random.default_rng(11)
    values = np.repeat(rng.normal(size=(20, 600)), 4, axis=0)
    clusters = np.repeat(np.arange(20), 4)
    assert (sign_flip_test(values, clusters=clusters, n_resamples=999, seed=0) < 0.05).mean() < 0.08
    assert (sign_flip_test(values, n_resamples=999, seed=0) < 0.05).mean() > 0.2


def test_permutation_p_by_hand():
    null = np.array([1.0, 2.0, 3.0, 4.0])
    assert permutation_p(3.0, null, exhaustive=True) == 0.5
    assert permutation_p(3.0, null, exhaustive=False) == 3 / 5
    assert permutation_p(9.0, null, exhaustive=False) == 1 / 5
    columns = permutation_p(np.array([3.0, np.nan]), np.stack([null, null * np.nan], axis=1), exhaustive=False)
    np.testing.assert_array_equal(columns, [3 / 5, np.nan])


def test_permutation_counts_ties_that_rounding_has_parted():
    observed = 0.1 + 0.2
    assert permutation_p(observed, np.array([0.3, 0.1, 0.2, 0.0]), exhaustive=True) == 0.25
    assert permutation_p(float(np.float32(0.3)) + 2e-8, np.array([0.3, 0.0]), exhaustive=False) == 2 / 3


def test_permutation_p_is_uniform_under_the_null():
    rng = np.random.default_rng(12)
    p = permutation_p(rng.normal(size=4000), rng.normal(size=(19, 4000)), exhaustive=False)
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.012)
    assert p.min() == 1 / 20


# corrections and exact intervals


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_fdr_and_holm_against_their_definitions(p):
    p = np.array(p)
    n, order = len(p), np.argsort(p)
    for rank, index in enumerate(order):
        assert holm(p)[index] == pytest.approx(min(1, max((n - j) * p[order[j]] for j in range(rank + 1))))
        assert fdr(p)[index] == pytest.approx(min(1, min(n / (j + 1) * p[order[j]] for j in range(rank, n))))
    assert np.all(fdr(p) <= holm(p) + 1e-12)


def test_nan_is_no_test_of_the_family():
    p = np.array([[0.01, np.nan], [0.04, 0.03]])
    np.testing.assert_allclose(fdr(p), [[0.03, np.nan], [0.04, 0.04]])
    np.testing.assert_allclose(holm(p), [[0.03, np.nan], [0.06, 0.06]])
    assert np.isnan(fdr(np.array([np.nan]))).all()
    assert holm(np.array([])).shape == (0,)


def test_clopper_pearson_against_the_beta_quantiles():
    interval = clopper_pearson(7, 20, 0.9)
    expected = (scipy.stats.beta.ppf(0.05, 7, 14), scipy.stats.beta.ppf(0.95, 8, 13))
    assert (interval.value, interval.n) == (0.35, 20)
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert clopper_pearson(10, 10).low == pytest.approx(0.025**0.1)
    assert clopper_pearson(10, 10).high == 1.0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_ratio_whose_denominator_reaches_zero_exactly_is_not_defined(sign):
    """A quarter of the resamples of these rows add up to 0, which is then the end of the denominator's interval."""
    below = sign * np.array([1.0, 0.0])
    ends = bootstrap(below, level=0.8, seed=0)
    assert 0 in (ends.low, ends.high)
    interval = ratio_interval(np.ones(2), below, level=0.8, seed=0)
    assert np.isnan([interval.value, interval.low, interval.high]).all()
