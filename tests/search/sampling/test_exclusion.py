"""Repairs: they find the lowest loss without a component where swaps lead there, and never add it again."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from hc_interp.progress import SILENT
from hc_interp.search.sampling.evaluator import MeasuredLosses
from hc_interp.search.sampling.exclusion import lowest_without, repaired
from hc_interp.search.sampling.store import SampleFolder, SavedRepairs
from hc_interp.search.sampling.surrogate import KernelFit, LossSurrogate

N, KEPT = 8, 4
ALL = np.array([[i in chosen for i in range(N)] for chosen in combinations(range(N), KEPT)])
WEIGHTS = np.array([2.0, 1.5, 1.2, 1.0, 0.9, 0.3, 0.2, 0.1])


def losses_of(masks: np.ndarray) -> np.ndarray:
    return np.exp(-(masks @ WEIGHTS))


@pytest.fixture
def measured() -> MeasuredLosses:
    return MeasuredLosses(lambda masks, part: losses_of(masks)[:, None], parts=1, n_rows=1)


@pytest.fixture(scope="module")
def surrogate() -> LossSurrogate:
    """It knows the order of the slopes but not how large they are."""
    masks, halved = ALL, -0.5 * (ALL @ WEIGHTS)
    return LossSurrogate(KernelFit.fit(masks, halved[:, None], np.ones(len(masks))), 0.1, 0.9)


@pytest.mark.parametrize("lost", range(N))
def test_a_repair_never_adds_the_component(measured, surrogate, lost):
    start = ALL[~ALL[:, lost]][-1]
    mask, loss = repaired(measured, surrogate, start, lost, bound=0.0)
    without = ALL[~ALL[:, lost]]
    assert not mask[lost]
    assert loss == pytest.approx(losses_of(without).min())
    assert loss == pytest.approx(losses_of(mask[None])[0])


def test_a_repair_ends_at_the_bound(measured, surrogate):
    start = ALL[~ALL[:, 7]][-1]
    bound = float(np.median(losses_of(ALL)))
    _, loss = repaired(measured, surrogate, start, 7, bound)
    assert losses_of(ALL).min() < loss <= bound


def test_masks_that_were_measured_need_no_repair(measured, surrogate):
    measured(ALL)
    found = lowest_without(measured, surrogate, ALL[:3], float(losses_of(ALL).max()), SILENT)
    assert [item.repairs for item in found] == [0] * N
    for lost, item in enumerate(found):
        assert item.loss == pytest.approx(losses_of(ALL[~ALL[:, lost]]).min())
        assert not item.mask[lost]


def test_what_no_mask_lacks_is_looked_for_from_several_masks(measured, surrogate):
    """All masks measured so far keep the first component; the bound asks for it and for nothing else."""
    states = ALL[ALL[:, 0]]
    measured(states)
    bound = float(losses_of(ALL[~ALL[:, 0]]).min()) * 0.99
    found = lowest_without(measured, surrogate, states, bound, SILENT)
    assert found[0].loss == pytest.approx(losses_of(ALL[~ALL[:, 0]]).min())
    assert found[0].loss > bound
    assert found[0].repairs == 2  # no mask without it was known, so that there is no third start
    assert max(item.loss for item in found[1:]) <= bound


def test_equal_states_are_one_start(measured, surrogate):
    states = ALL[ALL[:, 0]][[3, 3, 3]]
    measured(states)
    assert lowest_without(measured, surrogate, states, 1e-9, SILENT)[0].repairs == 1


def test_what_one_repair_finds_counts_for_every_component(measured, surrogate):
    """A repair of the second component that also spares the first one, whose own repairs find nothing."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        losses = {mask.tobytes(): float(loss) for mask, loss in zip(ALL, rng.exponential(size=len(ALL)), strict=True)}
        evaluator = MeasuredLosses(
            lambda masks, part, losses=losses: np.array([[losses[mask.tobytes()]] for mask in masks]), parts=1, n_rows=1
        )
        evaluator(ALL[rng.integers(len(ALL), size=10)])
        bound = float(np.quantile(list(losses.values()), 0.1))
        found = lowest_without(evaluator, surrogate, ALL[rng.integers(len(ALL), size=4)], bound, SILENT)
        known, values = evaluator.table(N)
        for lost, item in enumerate(found):
            assert item.loss == values[~known[:, lost]].min()


def test_finished_repairs_are_not_made_again(surrogate, tmp_path):
    states = ALL[ALL[:, 0]]
    bound = float(losses_of(ALL[~ALL[:, 0]]).min()) * 0.99
    saved = SavedRepairs(SampleFolder(tmp_path, "settings"), 15)

    def looked_for(rows_of, saved):
        measured = MeasuredLosses(rows_of, parts=1, n_rows=1)
        measured.remember(states, losses_of(states), 0)
        found = lowest_without(measured, surrogate, states, bound, SILENT, saved)
        return [(item.mask.tolist(), item.loss, item.repairs) for item in found], measured

    def no_mask(masks, part):
        raise AssertionError("a finished repair measured a mask")

    whole, measured = looked_for(lambda masks, part: losses_of(masks)[:, None], saved)
    again, remembered = looked_for(no_mask, saved)
    assert again == whole
    assert list(remembered.known.items()) == list(measured.known.items())
    assert remembered.runs == measured.runs > 0
    with pytest.raises(AssertionError, match="measured a mask"):  # other blocks, other repairs
        looked_for(no_mask, replace(saved, blocks=16))
