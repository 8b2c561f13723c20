"""Many logistic regressions on the same activations, solved together: each pass over the activations serves them all.

A penalised logistic loss has one optimum, so that scikit-learn's `LogisticRegression` finds the same. The solver is
L-BFGS (Nocedal & Wright 2006, algorithm 7.5). Its first guess of the inverse Hessian is the inverse of
`curvature * covariance + penalty`, which is so near that a probe of 384 columns takes some 15 steps.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from hc_interp.errors import DataError
from hc_interp.probing.fold_blocks import FoldBlocks

TOLERANCE = 1e-5  # largest entry of the gradient at the end, for the mean loss and columns of variance 1
MEMORY = 8  # steps and changes of the gradient that L-BFGS remembers
MOST_STEPS = 500
MOST_TRIES = 20
STEEP = 0.5  # a step is too long if the slope at its end is above this share of the descent at its start

Columns = Float[np.ndarray, "d_and_1 problem"]  # a column for each problem: weights, and the intercept below them
Numbers = Int[np.ndarray, " some"]  # of problems
Gradient = Callable[[Columns, Numbers], Columns]


def solve_logistic(
    blocks: FoldBlocks,
    target: Int[np.ndarray, " problem"],
    fitted: Bool[np.ndarray, "problem fold"],
    penalty: Float[np.ndarray, "d problem"],
    free: Bool[np.ndarray, "d problem"],
) -> tuple[Float[np.ndarray, "d problem"], Float[np.ndarray, " problem"]]:
    """Weights and intercepts that minimise `mean log loss + sum penalty w^2 / 2`. Weights that are not free are 0.

    A problem is one regression: `target` is its column of the blocks' targets, `fitted` the folds that it is fitted to.
    A target of one class has no optimum: it gets the log-odds of its smoothed share as intercept, and weights of 0.
    Raises `DataError` if no optimum is found because activations are too large.
    """
    n = fitted @ blocks.counts
    ones = (fitted @ blocks.target_sums)[np.arange(len(target)), target]
    share = (ones + 0.5) / (n + 1)
    at = np.zeros((len(free) + 1, len(target)))
    at[-1] = np.log(share / (1 - share))
    moves = np.vstack([free, np.ones(len(target), dtype=bool)]) & (ones > 0) & (ones < n)

    def gradient(at: Columns, which: Numbers) -> Columns:
        slope = loss_gradient(blocks, target[which], fitted[which], at)
        slope[:-1] += penalty[:, which] * at[:-1]
        return np.where(moves[:, which], slope, 0)

    inverse = _first_guess(blocks.products.sum(axis=0) / blocks.counts.sum(), share * (1 - share), penalty)
    at = minimise(gradient, at, lambda change, which: np.where(moves[:, which], inverse(change, which), 0))
    return at[:-1], at[-1]


def loss_gradient(
    blocks: FoldBlocks, target: Int[np.ndarray, " problem"], fitted: Bool[np.ndarray, "problem fold"], at: Columns
) -> Columns:
    """The gradient of each problem's mean log loss over its folds, without the penalty."""
    sums = np.zeros_like(at)
    at = at.astype(blocks.dtype)
    for block in blocks:
        used = np.flatnonzero(fitted[:, block.fold])
        if len(used):
            residual = block.x @ at[:-1, used]
            residual += at[-1, used]
            _sigmoid(residual)
            residual -= block.y[:, target[used]]
            sums[:-1, used] += block.x.T @ residual
            sums[-1, used] += residual.sum(axis=0, dtype=float)
    return sums / (fitted @ blocks.counts)


def _sigmoid(z: Float[np.ndarray, "n problem"]) -> None:
    """Replace `z` by its sigmoid, in place."""
    np.negative(z, out=z)
    with np.errstate(over="ignore"):  # an infinite exponential gives a sigmoid of 0
        np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


def _first_guess(
    covariance: Float[np.ndarray, "d d"],
    curvature: Float[np.ndarray, " problem"],
    penalty: Float[np.ndarray, "d problem"],
) -> Gradient:
    """The product with `(curvature * covariance + penalty)^-1` of each problem, by one eigendecomposition for all."""
    sizes, axes = np.linalg.eigh(covariance)
    floor = penalty.max(axis=0).clip(TOLERANCE**2)  # 0 if no column varies: then any positive number does
    scale = 1 / (curvature * sizes.clip(0)[:, None] + floor)

    def apply(gradient: Columns, which: Numbers) -> Columns:
        weights = axes @ (scale[:, which] * (axes.T @ gradient[:-1]))
        return np.vstack([weights, gradient[-1:] / curvature[which]])

    return apply


def minimise(gradient: Gradient, at: Columns, inverse: Gradient) -> Columns:
    """The minima of many convex functions by L-BFGS, from the points `at`: a column for each function.

    `gradient(at, which)` is the gradient of the functions with the numbers `which`, whose columns alone it gets.
    `inverse(gradient, which)` is about the product of their inverse Hessians with it. Raises `DataError` after too many
    steps.
    """
    which = np.arange(at.shape[1])
    at, here = at.copy(), gradient(at, which)
    pairs: list[tuple[Columns, Columns]] = []
    for _ in range(MOST_STEPS):
        unsolved = ~(np.abs(here).max(axis=0) <= TOLERANCE)
        which, here = which[unsolved], here[:, unsolved]
        if len(which) == 0:
            return at
        pairs = [(step[:, unsolved], change[:, unsolved]) for step, change in pairs][-MEMORY:]
        towards = -_direction(here, pairs, lambda change, which=which: inverse(change, which))
        step, after = _line_search(gradient, at[:, which], here, towards, which)
        at[:, which] += step
        pairs.append((step, after - here))
        here = after
    raise DataError(
        f"{len(which)} logistic probes found no optimum in {MOST_STEPS} steps. Expected finite activations of moderate "
        "size; look at the largest ones of this site."
    )


def _direction(
    gradient: Columns, pairs: Sequence[tuple[Columns, Columns]], inverse: Callable[[Columns], Columns]
) -> Columns:
    """The two loops of L-BFGS: the product of the gradient with `inverse`, corrected by the steps made so far."""
    past = [(step, change, _reciprocal((step * change).sum(axis=0))) for step, change in pairs]
    shares = []
    for step, change, weight in reversed(past):
        shares.append(weight * (step * gradient).sum(axis=0))
        gradient = gradient - shares[-1] * change
    direction = inverse(gradient)
    if past:  # scales the first guess to the curvature along the last step
        step, change, _ = past[-1]
        ratio = (step * change).sum(axis=0) * _reciprocal((change * inverse(change)).sum(axis=0))
        direction = direction * np.where(ratio > 0, ratio, 1)
    for (step, change, weight), share in zip(past, reversed(shares), strict=True):
        direction = direction + step * (share - weight * (change * direction).sum(axis=0))
    return direction


def _reciprocal(values: Float[np.ndarray, " some"]) -> Float[np.ndarray, " some"]:
    """1 / values, and 0 for values up to 0: these would be positive without rounding, as the functions are convex."""
    return np.divide(1, values, out=np.zeros_like(values), where=values > 0)


def _line_search(
    gradient: Gradient, at: Columns, here: Columns, towards: Columns, which: Numbers
) -> tuple[Columns, Columns]:
    """The step along `towards`, and the gradient after it. The slope there tells whether a step is too long."""
    length, after = np.ones(len(which)), np.empty_like(at)
    slope = (here * towards).sum(axis=0)
    long = np.arange(len(which))
    for _ in range(MOST_TRIES):
        after[:, long] = gradient(at[:, long] + length[long] * towards[:, long], which[long])
        end = (after * towards).sum(axis=0)
        long = np.flatnonzero(end > -STEEP * slope)
        if len(long) == 0:
            break
        length[long] *= slope[long] / (slope[long] - end[long])  # the slope is 0 here if it changes linearly
    return length * towards, after
