"""Losses are exact means over all rows; a mask above its limit is given up early and told by `inf`."""

import numpy as np
import pytest

from hc_interp.search.sampling.evaluator import MeasuredLosses

ROWS = np.array([[4.0, 0.0, 2.0, 6.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 8.0, 0.0], [-1e-9, 0.0, 0.0, 0.0]])
MASKS = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 0, 0]], dtype=bool)
MEANS = [3.0, 1.0, 2.0, 0.0]


@pytest.fixture
def measured():
    """Two parts of two rows each."""
    index = {mask.tobytes(): i for i, mask in enumerate(MASKS)}

    def rows_of(masks: np.ndarray, part: int) -> np.ndarray:
        return ROWS[[index[mask.tobytes()] for mask in masks]][:, 2 * part : 2 * part + 2]

    return MeasuredLosses(rows_of, parts=2, n_rows=4)


def test_losses_are_means_and_never_negative(measured):
    assert measured(MASKS).tolist() == MEANS
    assert measured.runs == 16


def test_a_mask_is_run_once(measured):
    measured(MASKS[:2])
    assert measured(MASKS[[1, 0, 1, 2]]).tolist() == [1.0, 3.0, 1.0, 2.0]
    assert measured.runs == 12
    masks, losses = measured.table(4)
    assert (masks == MASKS[:3]).all()
    assert losses.tolist() == MEANS[:3]


def test_what_is_above_its_limit_is_given_up_and_not_remembered(measured):
    found = measured(MASKS, limits=np.array([0.9, 1.0, 1.9, -1.0]))
    assert found.tolist() == [np.inf, 1.0, np.inf, np.inf]
    assert measured.runs == 2 + 4 + 4  # the first after a half, the third after all rows, the last without a run
    assert list(measured.known) == [MASKS[1].tobytes()]
    assert measured(MASKS, limits=np.full(4, 0.5)).tolist() == [np.inf, 1.0, np.inf, 0.0]  # known ones are told


def test_the_highest_limit_of_a_mask_that_is_asked_twice_counts(measured):
    assert measured(MASKS[[0, 0]], limits=np.array([0.1, 5.0])).tolist() == [3.0, 3.0]


def test_masks_of_an_earlier_run_are_not_run_again(measured):
    measured.remember(MASKS, np.array(MEANS), runs=16)
    assert measured(MASKS).tolist() == MEANS
    assert measured.runs == 16
