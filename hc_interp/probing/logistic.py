"""Many logistic regressions on the same activations at once, each pass over the activations shared by all.

A penalised logistic loss has one optimum, the one that scikit-learn's `LogisticRegression` finds. The solver is L-BFGS
(Nocedal & Wright 2006, algorithm 7.5), all problems side by side. It starts from the inverse of
`curvature * covariance + penalty`, which is near the Hessian's, so that a probe of 384 columns takes some 15 steps.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from hc_interp.errors import DataError
from hc_interp.probing.fold_blocks import Blocks

# Largest entry of the gradient (mean loss, columns of variance 1) at the end.
TOLERANCE = 1e-5
PAIRS = 8  # steps and gradient changes that L-BFGS remembers
MOST_STEPS = 500
MOST_TRIES = 20
STEEP = 0.5  # a step is too long if it ends with this share of the slope that it began with, upwards

Columns = Float[np.ndarray, "d_and_1 problem"]  # weights, and the intercept below them
Numbers = Int[np.ndarray, " some"]
Gradient = Callable[[Columns, Numbers], Columns]


def solve_logistic(
    blocks: Blocks,
    target: Int[np.ndarray, " problem"],
    fitted: Bool[np.ndarray, "problem fold"],
    penalty: Float[np.ndarray, "d problem"],
    free: Bool[np.ndarray, "d problem"],
) -> tuple[Float[np.ndarray, "d problem"], Float[np.ndarray, " problem"]]:
    """Weights and intercepts that minimise `mean log loss + sum penalty w^2 / 2`; weights that are not free are 0.

    A target of one class has no optimum: it gets the log-odds of its smoothed share, and no weights. Raises `DataError`
    if activations are so large that no optimum is found.
    """
    n = fitted @ blocks.counts
    ones = (fitted @ blocks.target_sums)[np.arange(len(target)), target]
    share = (ones + 0.5) / (n + 1)
    at = np.zeros((len(free) + 1, len(target)))
    at[-1] = np.log(share / (1 - share))
    moves = np.vstack([free, np.ones(len(target), dtype=bool)]) & (ones > 0) & (ones < n)

    def gradient(at: Columns, which: Numbers) -> Columns:
        found = loss_gradient(blocks, target[which], fitted[which], at)
        found[:-1] += penalty[:, which] * at[:-1]
        return np.where(moves[:, which], found, 0)

    inverse = _first_guess(blocks.products.sum(axis=0) / blocks.counts.sum(), share * (1 - share), penalty)
    at = minimise(gradient, at, lambda change, which: np.where(moves[:, which], inverse(change, which), 0))
    return at[:-1], at[-1]


def loss_gradient(
    blocks: Blocks, target: Int[np.ndarray, " problem"], fitted: Bool[np.ndarray, "problem fold"], at: Columns
) -> Columns:
    """Gradient of each problem's mean log loss over its folds."""
    found = np.zeros_like(at)
    at = at.astype(blocks.dtype)
    for block in blocks:
        used = np.flatnonzero(fitted[:, block.fold])
        if len(used):
            missed = block.x @ at[:-1, used]
            missed += at[-1, used]
            _sigmoid(missed)
            missed -= block.y[:, target[used]]
            found[:-1, used] += block.x.T @ missed
            found[-1, used] += missed.sum(axis=0, dtype=float)
    return found / (fitted @ blocks.counts)


def _sigmoid(z: Float[np.ndarray, "n problem"]) -> None:
    """In place."""
    np.negative(z, out=z)
    with np.errstate(over="ignore"):  # infinite: the share is 0
        np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


def _first_guess(
    covariance: Float[np.ndarray, "d d"],
    curvature: Float[np.ndarray, " problem"],
    penalty: Float[np.ndarray, "d problem"],
) -> Gradient:
    """`(curvature * covariance + penalty)^-1` of each problem, by one eigendecomposition for all."""
    sizes, axes = np.linalg.eigh(covariance)
    floor = penalty.max(axis=0).clip(TOLERANCE**2)  # 0 where no column varies: then any number will do
    scale = 1 / (curvature * sizes.clip(0)[:, None] + floor)

    def apply(gradient: Columns, which: Numbers) -> Columns:
        weights = axes @ (scale[:, which] * (axes.T @ gradient[:-1]))
        return np.vstack([weights, gradient[-1:] / curvature[which]])

    return apply


def minimise(gradient: Gradient, at: Columns, inverse: Gradient) -> Columns:
    """L-BFGS for many convex functions, a column each: where their gradients are 0.

    `gradient(at, which)` and `inverse(gradient, which)`, near the inverse Hessian's product, get the columns named by
    `which`. Raises `DataError` after too many steps.
    """
    which = np.arange(at.shape[1])
    at, here = at.copy(), gradient(at, which)
    pairs: list[tuple[Columns, Columns]] = []
    for _ in range(MOST_STEPS):
        left = ~(np.abs(here).max(axis=0) <= TOLERANCE)
        which, here = which[left], here[:, left]
        if len(which) == 0:
            return at
        pairs = [(step[:, left], change[:, left]) for step, change in pairs][-PAIRS:]
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
    """The two loops of L-BFGS: an inverse Hessian, corrected by the steps made so far, times the gradient."""
    past = [(step, change, _reciprocal((step * change).sum(axis=0))) for step, change in pairs]
    shares = []
    for step, change, weight in reversed(past):
        shares.append(weight * (step * gradient).sum(axis=0))
        gradient = gradient - shares[-1] * change
    found = inverse(gradient)
    if past:  # the first guess, as large as the last step says
        step, change, _ = past[-1]
        ratio = (step * change).sum(axis=0) * _reciprocal((change * inverse(change)).sum(axis=0))
        found = found * np.where(ratio > 0, ratio, 1)
    for (step, change, weight), share in zip(past, reversed(shares), strict=True):
        found = found + step * (share - weight * (change * found).sum(axis=0))
    return found


def _reciprocal(values: Float[np.ndarray, " some"]) -> Float[np.ndarray, " some"]:
    """0 where a convex function's value would be positive but for rounding."""
    return np.divide(1, values, out=np.zeros_like(values), where=values > 0)


def _line_search(
    gradient: Gradient, at: Columns, here: Columns, towards: Columns, which: Numbers
) -> tuple[Columns, Columns]:
    """The step along `towards` and the gradient after it. Of a convex function the slope alone says how far to go."""
    length, after = np.ones(len(which)), np.empty_like(at)
    slope = (here * towards).sum(axis=0)
    todo = np.arange(len(which))
    for _ in range(MOST_TRIES):
        after[:, todo] = gradient(at[:, todo] + length[todo] * towards[:, todo], which[todo])
        end = (after * towards).sum(axis=0)
        todo = np.flatnonzero(end > -STEEP * slope)
        if len(todo) == 0:
            break
        length[todo] *= slope[todo] / (slope[todo] - end[todo])  # where it would be 0 if it changed evenly
    return length * towards, after
