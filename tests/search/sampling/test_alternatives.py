"""Alternatives between groups: found where masks keep one circuit or the other, and nowhere else."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from hc_interp.components import Head
from hc_interp.errors import SearchError
from hc_interp.search.sampling.alternatives import contrast_table, grouped

N, KEPT = 10, 5
ALL = np.array([[i in chosen for i in range(N)] for chosen in combinations(range(N), KEPT)])
A, B = np.array([0, 1, 2]), np.array([3, 4, 5])
WHOLE_A, WHOLE_B = ALL[:, A].all(1), ALL[:, B].all(1)


def drawn(weight: np.ndarray, seed: int, chains: int = 8, n: int = 150) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ALL[rng.choice(len(ALL), (chains, n), p=weight / weight.sum())]


KINDS = {
    "one circuit or the other": np.where(WHOLE_A | WHOLE_B, 12.0, 1.0),
    "no structure": np.ones(len(ALL)),
    "a core": np.where(WHOLE_A, 12.0, 1.0),
    "a head and its duplicate": np.where(ALL[:, 0] | ALL[:, 3], 12.0, 1.0),
}


def p_of(masks: np.ndarray) -> float:
    """As a sample asks: groups by half of the chains, numbers by the others."""
    first, second = grouped(masks[::2])
    return float(contrast_table(masks[1::2], first, second)["p"].max()) if len(first) and len(second) else math.nan


def test_two_circuits_are_found_by_half_of_the_chains_and_shown_by_the_others():
    found = 0
    for seed in range(20):
        masks = drawn(KINDS["one circuit or the other"], seed)
        first, second = grouped(masks[::2])
        found += {frozenset(first.tolist()), frozenset(second.tolist())} == {frozenset(A), frozenset(B)}
    assert found >= 18
    assert np.mean([p_of(drawn(KINDS["one circuit or the other"], seed)) <= 0.05 for seed in range(20)]) >= 0.8


@pytest.mark.parametrize("kind", ["no structure", "a core", "a head and its duplicate"])
def test_other_structures_are_no_alternatives(kind):
    assert np.mean([p_of(drawn(KINDS[kind], seed)) <= 0.05 for seed in range(40)]) <= 0.1


def test_named_groups_are_tested_as_they_are():
    masks = drawn(KINDS["one circuit or the other"], 0)
    told = contrast_table(masks, A, B)
    assert told["p"].max() < 0.01
    assert (told["value"] > 0).tolist() == [True, True, False, False]
    assert contrast_table(masks, np.array([0, 3]), np.array([1, 4]))["p"].max() > 0.05
    everything = contrast_table(masks, np.arange(5), np.arange(5, N))  # without others there is no comparison
    assert everything["p"].tolist() == [1.0] * 4


def test_masks_without_variation_have_no_groups():
    first, second = grouped(np.repeat(ALL[None, :1], 4, axis=0).repeat(10, axis=1))
    assert not len(first)
    assert not len(second)


@pytest.fixture(scope="module")
def sample(results):
    return results.sample()


def test_a_sample_names_its_alternatives(sample):
    found = sample.alternatives()
    assert found.chosen
    assert not found.found
    assert "not shown" in repr(found) or "none" in repr(found)
    given = sample.alternatives(([Head(0, 0), "L1H0"], [Head(0, 5), Head(2, 5)]))
    assert given.first == (Head(0, 0), Head(1, 0))
    assert not given.chosen
    assert given.chains == 8
    assert found.chains == 4  # the other half chose the groups
    assert given.p == given.to_frame()["p"].max()
    assert len(given.to_frame()) == 4


def test_few_chains_find_no_groups(sample):
    few = replace(sample, masks=sample.masks[:, :3], losses=sample.losses[:, :3])
    with pytest.raises(SearchError, match="at least 4 where no groups are named"):
        few.alternatives()
    assert few.alternatives(([Head(0, 0), "L1H0"], [Head(0, 5), Head(2, 5)])).chains == 3


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (([Head(0, 0)], [Head(0, 5), Head(2, 5)]), "at least 2 components"),
        (([Head(0, 0), Head(0, 5)], [Head(0, 5), Head(2, 5)]), "L0H5 is in both"),
        (([Head(0, 0), Head(9, 9)], [Head(0, 5), Head(2, 5)]), "L9H9 is not among"),
        (([Head(0, 0), Head(0, 3)], [Head(0, 5), Head(2, 5)]), "L0H3 is in every mask or in none"),
    ],
)
def test_groups_without_meaning_are_refused(sample, groups, message):
    with pytest.raises(SearchError, match=message):
        sample.alternatives(groups)
