"""Shares of phases, epochs, and draws that depend on seed and step alone."""

import numpy as np
import pytest
from training_start import texts

import hc_interp as hc
from hc_interp.errors import TrainingError
from hc_interp.training.phases import as_phases, distinct_parts, draw

MANY, FEW, OTHERS = texts(50, 0), texts(7, 1), texts(30, 2)
TWO = [(0, MANY), (200, {MANY: 0.7, FEW: 0.3})]


def test_each_example_is_drawn_by_the_shares_of_its_phase() -> None:
    rows = draw(as_phases(TWO, 400), 400, 32, seed=0)
    assert rows.shape == (400, 32)
    assert (rows[:200] < 50).all()
    share = (rows[200:] >= 50).mean()
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / (200 * 32)) ** 0.5
    per_step = (rows[200:] >= 50).sum(1)  # drawn one by one: binomial, not a fixed number in each batch
    assert per_step.var() == pytest.approx(32 * 0.3 * 0.7, rel=0.3)


@pytest.mark.parametrize("seed", [0, 1])
def test_an_example_is_drawn_again_only_after_all_others_of_its_part(seed) -> None:
    rows = draw(as_phases(TWO, 400), 400, 32, seed).ravel()
    for part in (rows[rows < 50], rows[rows >= 50] - 50):
        n = 50 if part.max() > 7 else 7
        whole = part[: len(part) // n * n].reshape(-1, n)
        assert (np.sort(whole, axis=1) == np.arange(n)).all()
        assert len({tuple(order) for order in whole}) > 0.8 * len(whole)  # each pass in an order of its own


def test_draws_depend_on_seed_and_step_alone() -> None:
    rows = draw(as_phases(TWO, 400), 400, 32, seed=3)
    np.testing.assert_array_equal(rows, draw(as_phases(TWO, 400), 400, 32, seed=3))
    np.testing.assert_array_equal(rows[:300], draw(as_phases(TWO, 300), 300, 32, seed=3))
    assert (rows != draw(as_phases(TWO, 400), 400, 32, seed=4)).any()


def test_what_comes_later_does_not_change_earlier_draws() -> None:
    """Arms of an experiment that differ from step 200 on have the same batches before."""
    other = draw(as_phases([(0, MANY), (200, {MANY: 0.2, OTHERS: 0.8})], 400), 400, 32, seed=0)
    np.testing.assert_array_equal(other[:200], draw(as_phases(TWO, 400), 400, 32, seed=0)[:200])


def test_a_mixture_is_a_dict_or_pairs_or_examples() -> None:
    pairs = as_phases([(0, [(MANY, 0.7), (FEW, 0.3)])], 5)[0]
    table = as_phases([(0, {MANY: 0.7, FEW: 0.3})], 5)[0]
    assert (pairs.parts, pairs.shares) == (table.parts, table.shares) == ((MANY, FEW), (0.7, 0.3))
    assert as_phases([(0, MANY)], 5)[0].shares == (1.0,)
    assert distinct_parts(as_phases(TWO, 400)) == [MANY, FEW]


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([], "Expected the first at 0"),
        ([(1, MANY)], "Expected the first at 0"),
        ([(0, MANY), (0, FEW)], "Expected the first at 0"),
        ([(0, MANY), (3, FEW), (2, MANY)], "Expected the first at 0"),
        ([(0, MANY), (10, FEW)], "below steps=10"),
        ([(0.5, MANY)], "begins at step 0.5"),
        ([(0, {MANY: 0.7, FEW: 0.2})], "sum to 0.9"),
        ([(0, {MANY: 1, FEW: 0.03})], "sum to 1.03"),
        ([(0, {MANY: 1.5, FEW: -0.5})], "the share -0.5"),
        ([(0, {MANY: 1.0, FEW: 0})], "the share 0"),
        ([(0, {MANY: float("nan")})], "the share nan"),
        ([(0, {"mnli": 1.0})], "draws from 'mnli'"),
        ([(0, hc.Examples(["a"]))], "draws from Examples"),
        ([(0, {})], "sum to 0"),
        ([MANY], "Expected pairs"),
        (MANY, "Expected pairs"),
        (3, "Expected pairs"),
    ],
)
def test_phases_without_meaning_are_refused(phases, message) -> None:
    with pytest.raises(TrainingError, match=message):
        as_phases(phases, 10)
