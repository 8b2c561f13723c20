"""Estimates: their arithmetic, against influences from numerical derivatives with weighted rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hc_interp.statistics.estimate import Estimate, auc, average, stratified_mean


def means(seed: int) -> tuple[Estimate, Estimate, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    rows = {"a": rng.normal(2, 1, (3, 7)), "b": rng.normal(3, 1, (3, 5))}
    return *(stratified_mean({name: values}) for name, values in rows.items()), rows


@given(st.integers(0, 1000))
def test_an_influence_is_the_derivative_by_a_rows_weight(seed: int) -> None:
    """The mean with weight 1 + e on one row changes by e times its influence, also in differences and ratios."""
    a, b, rows = means(seed)
    found = (a - b.times(0.5)).over(b)
    step = 1e-6

    def value(weights: np.ndarray) -> np.ndarray:
        mean = (rows["a"] * weights).sum(1) / weights.sum()
        return (mean - 0.5 * rows["b"].mean(1)) / rows["b"].mean(1)

    for i in range(7):
        weights = np.ones(7)
        weights[i] += step
        assert (value(weights) - found.value) / step == pytest.approx(found.influence["a"][i], abs=1e-4)


def test_systems_are_chosen_and_averaged_with_their_influences() -> None:
    a, b, _ = means(0)
    both = average([a, b])
    assert both.value == pytest.approx((a.value + b.value) / 2)
    assert both.influence["b"] == pytest.approx(b.influence["b"] / 2)
    assert both[1].value == both.value[1]
    assert both[[2, 0]].mean().influence["a"] == pytest.approx(both.influence["a"][:, [2, 0]].mean(1))
    assert np.isnan(both.where(np.array([True, False, True])).value).tolist() == [False, True, False]


def test_strata_are_weighted_by_their_rows_and_centred_within() -> None:
    rng = np.random.default_rng(0)
    rows = {"few": rng.normal(size=(2, 3)), "many": rng.normal(9, 1, size=(2, 9))}
    found = stratified_mean(rows)
    assert found.value == pytest.approx(np.concatenate(list(rows.values()), 1).mean(1))
    for part in found.influence.values():
        assert part.sum(0) == pytest.approx(0, abs=1e-12)


def test_the_auc_counts_pairs() -> None:
    rng = np.random.default_rng(1)
    high, low = rng.integers(0, 5, (2, 8)).astype(float), rng.integers(0, 5, (2, 6)).astype(float)
    found = auc(("h", high), ("l", low))
    for k in range(2):
        wins = [(x > y) + 0.5 * (x == y) for x in high[k] for y in low[k]]
        assert found.value[k] == pytest.approx(np.mean(wins))
    assert found.influence["h"].shape == (8, 2)
    assert found.influence["l"].sum(0) == pytest.approx(0, abs=1e-12)
