"""Moves and exchanges leave the distributions that they should leave, however wrong the surrogate: by all masks."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare

from hc_interp.search.sampling.chains import Chains
from hc_interp.search.sampling.levels import Level, exchange, ladder
from hc_interp.search.sampling.moves import log_q, surrogate_levels, surrogate_walk, uniform_swaps
from hc_interp.search.sampling.surrogate import KernelFit, LossSurrogate, swapped

N, KEPT = 6, 3
ALL = np.array([[i in chosen for i in range(N)] for chosen in combinations(range(N), KEPT)])
CODE = {mask.tobytes(): i for i, mask in enumerate(ALL)}
WALKERS = 20_000
SMALLEST_P = 1e-4


def codes(masks: np.ndarray) -> np.ndarray:
    return np.array([CODE[mask.tobytes()] for mask in masks.reshape(-1, N)]).reshape(masks.shape[:-1])


def some_surrogate(seed: int) -> LossSurrogate:
    rng = np.random.default_rng(seed)
    fitted = ALL[rng.permutation(len(ALL))[:12]]
    function = KernelFit(
        fitted, rng.uniform(0.1, 0.8, N), rng.normal(0, 1, (12, 1)), np.array([0.2]), np.zeros((12, 1))
    )
    return LossSurrogate(function, 0.4, 0.5)


def losses_of(masks: np.ndarray) -> np.ndarray:
    """A loss that no surrogate of a few masks gives."""
    weights = np.array([0.9, 0.1, 0.5, 0.3, 0.7, 0.2])
    return np.exp(np.sin(5 * (masks @ weights)) + 0.5 * masks[..., 0])


def drawn(probability: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return ALL[rng.choice(len(ALL), n, p=probability / probability.sum())]


def assert_distributed(masks: np.ndarray, probability: np.ndarray) -> None:
    expected = probability / probability.sum() * len(masks)
    counts = np.bincount(codes(masks), minlength=len(ALL))
    assert counts[expected == 0].sum() == 0
    some = expected > 0
    if some.sum() > 1:
        assert chisquare(counts[some], expected[some]).pvalue > SMALLEST_P


def test_changes_of_swaps_are_those_of_the_function():
    surrogate = some_surrogate(0)
    table = surrogate.swaps(ALL)
    for swap in range(KEPT * (N - KEPT)):
        removed, added = table.chosen(np.full(len(ALL), swap))
        after = swapped(ALL, removed, added)
        assert ((after != ALL).sum(1) == 2).all()
        there = surrogate.log_losses(after) - surrogate.log_losses(ALL)
        np.testing.assert_allclose(table.values[:, swap], there)
    assert len({mask.tobytes() for mask in after}) > 1


@pytest.mark.parametrize("swaps", [1, 4])
@pytest.mark.parametrize("level", [Level(1.0), Level(1.0, 0.9)])
def test_a_walk_leaves_the_surrogates_own_distribution(level, swaps):
    rng = np.random.default_rng(swaps)
    surrogate = some_surrogate(1)
    (bound,), (heat,) = surrogate_levels(surrogate, [level])
    q = np.exp(log_q(surrogate.log_losses(ALL), np.full(len(ALL), bound), np.full(len(ALL), heat)))
    start = drawn(q, WALKERS, rng)
    same = np.full(WALKERS, bound), np.full(WALKERS, heat)
    end, correction = surrogate_walk(surrogate, start, np.full(WALKERS, swaps), *same, rng)
    assert_distributed(end, q)
    assert (codes(end) != codes(start)).mean() > 0.3
    np.testing.assert_allclose(correction, np.log(q[codes(start)] / q[codes(end)]), atol=1e-9)


def test_masks_walk_their_own_numbers_of_swaps():
    rng = np.random.default_rng(0)
    start = drawn(np.ones(len(ALL)), 500, rng)
    swaps = rng.integers(0, 3, 500)
    end, correction = surrogate_walk(some_surrogate(2), start, swaps, np.ones(500), np.full(500, 5.0), rng)
    apart = (start != end).sum(1) // 2
    assert (apart <= swaps).all()
    assert (apart[swaps == 2] == 2).any()
    assert (correction[swaps == 0] == 0).all()


def test_uniform_swaps_reach_every_neighbour_equally():
    rng = np.random.default_rng(0)
    after = uniform_swaps(np.repeat(ALL[:1], WALKERS, axis=0), rng)
    neighbours = (ALL[0] != ALL).sum(1) == 2
    assert_distributed(after, neighbours.astype(float))


@pytest.mark.parametrize("seed", [0, 1])
def test_sweeps_leave_every_level_its_distribution(seed):
    """Chains that begin in their exact distributions stay in them, with a surrogate that knows nothing of the loss."""
    rng = np.random.default_rng(seed)
    losses = losses_of(ALL)
    levels = ladder(np.quantile(losses, [0.4, 0.7]).tolist(), temperatures=(1.5, 0.4))
    weights = [np.exp(level.log_weight(losses)) for level in levels]
    masks = np.stack([drawn(weight, WALKERS, rng) for weight in weights], axis=1)
    start = masks.copy()
    chains = Chains(levels, masks, losses_of(masks), np.array([1, 2, 3, 4]))

    def measure(asked: np.ndarray, limits: np.ndarray) -> np.ndarray:
        found = losses_of(asked)
        return np.where(found <= limits, found, np.inf)  # as `MeasuredLosses` answers

    rates = [chains.sweep(measure, some_surrogate(seed + 3), number, seed) for number in range(3)]
    for i, weight in enumerate(weights):
        assert_distributed(chains.masks[:, i], weight)
        assert (codes(chains.masks[:, i]) != codes(start[:, i])).mean() > 0.2
    np.testing.assert_allclose(chains.losses, losses_of(chains.masks))
    accepted, exchanged = (np.array(part) for part in zip(*rates, strict=True))
    assert ((accepted > 0.02) & (accepted < 1)).all()
    assert np.isnan(exchanged[0]).tolist() == [False, True, False]  # neighbours take turns
    assert np.isnan(exchanged[1]).tolist() == [True, False, True]
    assert np.nanmin(exchanged) > 0.05


def test_exchanges_alone_leave_every_level_its_distribution():
    rng = np.random.default_rng(5)
    losses = losses_of(ALL)
    levels = (Level(0.9, 0.8), Level(0.9, 0.2), Level(0.9))
    weights = [np.exp(level.log_weight(losses)) for level in levels]
    masks = np.stack([drawn(weight, WALKERS, rng) for weight in weights], axis=1)
    values = losses_of(masks)
    for first in (0, 1, 0):
        exchange(levels, masks, values, first, rng)
    for i, weight in enumerate(weights):
        assert_distributed(masks[:, i], weight)
    np.testing.assert_allclose(values, losses_of(masks))


def test_sweeps_depend_on_their_number_and_the_seed_alone():
    losses = losses_of(ALL)
    levels = ladder([float(np.quantile(losses, 0.7))])
    inside = ALL[losses <= levels[-1].bound][:4]

    def after(*sweeps: tuple[int, int]) -> np.ndarray:
        masks = np.repeat(inside[:, None], len(levels), axis=1)
        chains = Chains(levels, masks, losses_of(masks), np.full(len(levels), 2))
        for number, seed in sweeps:
            chains.sweep(lambda asked, limits: losses_of(asked), some_surrogate(0), number, seed)
        return chains.masks

    assert (after((0, 7), (1, 7)) == after((0, 7), (1, 7))).all()
    assert (after((0, 7)) != after((1, 7))).any()
    assert (after((0, 7)) != after((0, 8))).any()
