"""Pairs of components: what was put together or apart is found, and a fixed size alone is not."""

from itertools import combinations

import numpy as np
import pytest

from hc_interp.search.sampling.pairs import STAND_IN, TOGETHER, pair_table, pairs_beyond_size

NAMES = [f"c{i}" for i in range(8)]
HALVES = np.array([[i in chosen for i in range(8)] for chosen in combinations(range(8), 4)])


def drawn(weight: np.ndarray, seed: int, chains: int = 8, n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return HALVES[rng.choice(len(HALVES), (chains, n), p=weight / weight.sum())]


def test_random_masks_of_a_size_have_no_pairs():
    """False pairs are as rare as asked, although any two components are together in 3 of 14 masks and not in 1 of 4."""
    tables = [pair_table(drawn(np.ones(len(HALVES)), 1000 + seed), NAMES, 0.05, 0.95) for seed in range(40)]
    assert np.mean([(table["relation"] != "").any() for table in tables]) <= 0.15
    assert np.mean([((table["low"] <= 0) & (table["high"] >= 0)).mean() for table in tables]) > 0.9
    assert tables[0]["expected"].mean() == pytest.approx(3 / 14, abs=1e-3)


def test_frequencies_alone_make_no_pair():
    weight = np.exp(HALVES @ np.array([1.5, -1.5, 0.8, 0, 0, 0, 0, -0.5]))
    tables = [pair_table(drawn(weight, seed), NAMES, 0.05, 0.95) for seed in range(30)]
    assert np.mean([(table["relation"] != "").any() for table in tables]) <= 0.15


def test_alternatives_and_companions_are_found():
    one_of_two, both = HALVES[:, 0] != HALVES[:, 1], HALVES[:, 2] == HALVES[:, 3]
    table = pair_table(drawn(np.where(one_of_two, 6.0, 1.0) * np.where(both, 6.0, 1.0), 0), NAMES, 0.05, 0.95)
    relation = table.set_index(["first", "second"])["relation"]
    assert relation["c0", "c1"] == STAND_IN
    assert relation["c2", "c3"] == TOGETHER
    assert (table["low"] <= table["difference"]).all()
    assert len(table) == 28


def test_components_that_never_vary_are_in_no_pair():
    masks = drawn(np.ones(len(HALVES)), 0)
    always = np.concatenate([masks, np.ones_like(masks[..., :1]), np.zeros_like(masks[..., :1])], axis=-1)
    table = pair_table(always, [*NAMES, "on", "off"], 0.05, 0.95)
    assert not {"on", "off"} & {*table["first"], *table["second"]}


def test_the_difference_is_from_masks_of_the_same_size_and_frequencies():
    masks = drawn(np.exp(HALVES @ np.arange(8) / 4), 1).reshape(-1, 8)
    apart = pairs_beyond_size(masks)
    np.testing.assert_allclose(apart.sum(1), 0, atol=1e-7)  # rows of both sum to size times frequency
    assert np.abs(np.diag(apart)).max() < 1e-12
