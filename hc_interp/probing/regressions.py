"""`fit_all`: many regressions on the same activations, which differ in target, training part and penalty."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

from hc_interp.probing.fold_blocks import FoldBlocks
from hc_interp.probing.logistic import solve_logistic
from hc_interp.probing.ridge import solve_ridge

# A column whose spread is below this share of its mean is treated as constant (rounding noise of an ablated site).
CONSTANT_SPREAD = 1e-6


@dataclass(frozen=True, eq=False)
class Linear:
    """`x @ weights + intercept`: log-odds of class 1, or the predicted number. Weights are per unit of activation."""

    weights: Float[np.ndarray, " d"]
    intercept: float

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return x @ self.weights + self.intercept


@dataclass(frozen=True, eq=False)
class Regressions:
    """The problems, one regression each: the column of its target, the folds that it is fitted to, and its penalty."""

    target: Int[np.ndarray, " problem"]
    fitted: Bool[np.ndarray, "problem fold"]
    penalty: Float[np.ndarray, " problem"]

    @classmethod
    def of(cls, problems: Iterable[tuple[int, Iterable[int], float]], n_folds: int) -> Self:
        """Each problem is given by the column of its target, the folds that it leaves out, and its penalty."""
        target, left_out, penalty = zip(*problems, strict=True)
        fitted = np.array([[fold not in out for fold in range(n_folds)] for out in map(set, left_out)])
        return cls(np.array(target), fitted, np.array(penalty, dtype=float))


def fit_all(blocks: FoldBlocks, problems: Regressions, *, kind: str) -> list[Linear]:
    """Logistic (binary) or ridge (real) regressions, each on columns scaled to variance 1 over its training part.

    A penalty is the weight of `|w|^2 / 2` beside the mean loss, for weights w per standard deviation. The intercept has
    no penalty. Returned weights are per unit of activation; those of columns that are constant in the training part
    are 0.
    """
    mean, variance = blocks.moments(problems.fitted)
    unscaled = np.abs(blocks.mean[:, None] / blocks.scale[:, None] + mean)  # mean of the activations, over the scale
    # A column is constant in a training part if it varies by less than rounding there. Rounding is that of its mean.
    # Where the column is 0 in the whole part, `unscaled` cancels to 0, and it is that of the shift to the centre.
    free = np.sqrt(variance) > CONSTANT_SPREAD * np.maximum(unscaled, np.abs(mean))
    solve = solve_logistic if kind == "binary" else solve_ridge
    weights, intercepts = solve(blocks, problems.target, problems.fitted, problems.penalty * variance, free)
    weights = weights / blocks.scale[:, None]
    intercepts = intercepts - blocks.mean @ weights
    return [Linear(w, float(b)) for w, b in zip(np.ascontiguousarray(weights.T), intercepts, strict=True)]
