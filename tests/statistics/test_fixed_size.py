"""Pairs in random subsets of a fixed size: against all subsets, one by one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.errors import DataError
from hc_interp.statistics.fixed_size import pair_inclusion

ODDS = st.lists(st.floats(-3, 3), min_size=3, max_size=7)


def by_enumeration(log_odds: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Marginals and pair inclusions of independent items, given that `size` of them are inside."""
    n = len(log_odds)
    subsets = np.array([[i in chosen for i in range(n)] for chosen in combinations(range(n), size)])
    weight = np.exp(subsets @ log_odds)
    weight /= weight.sum()
    return weight @ subsets, (subsets * weight[:, None]).T @ subsets


@settings(max_examples=40, deadline=None)
@given(ODDS, st.data())
def test_pairs_are_those_of_all_subsets(log_odds, data):
    size = data.draw(st.integers(1, len(log_odds) - 1))
    marginals, pairs = by_enumeration(np.array(log_odds), size)
    np.testing.assert_allclose(pair_inclusion(marginals), pairs, atol=1e-7)


def test_items_always_or_never_inside_leave_the_others_as_they_are():
    marginals, pairs = by_enumeration(np.array([0.5, -1.0, 0.2, 0.0]), 2)
    found = pair_inclusion(np.array([1.0, *marginals, 0.0]))
    np.testing.assert_allclose(found[1:-1, 1:-1], pairs, atol=1e-8)
    np.testing.assert_allclose(found[0], [1.0, *marginals, 0.0], atol=1e-12)
    np.testing.assert_allclose(found[-1], 0.0, atol=1e-12)


def test_size_alone_makes_pairs_rarer_than_independent_ones():
    found = pair_inclusion(np.full(10, 0.5))
    assert found[0, 1] == pytest.approx(5 * 4 / (10 * 9))  # 2 / 9, and not 1 / 4


def test_rows_add_up_to_what_a_fixed_size_says():
    rng = np.random.default_rng(0)
    marginals = by_enumeration(rng.normal(size=9), 4)[0]
    np.testing.assert_allclose(pair_inclusion(marginals).sum(1), 4 * marginals, atol=1e-7)


@pytest.mark.parametrize("marginals", [[0.5, 0.2], [1.2, -0.2], [np.nan, 1.0]])
def test_marginals_of_no_subset_are_refused(marginals):
    with pytest.raises(DataError, match="add up to the size of the subsets"):
        pair_inclusion(np.array(marginals))
