"""Many linear probes on the same activations: other targets, other training parts, other penalties."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

from hc_interp.probing.fold_blocks import Blocks
from hc_interp.probing.logistic import solve_logistic
from hc_interp.probing.ridge import solve_ridge

# A column that varies by less than float32 rounding of its mean holds nothing: what is left of an ablated site.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Linear:
    """`x @ weights + intercept`: log-odds of class 1, or the predicted number. Weights are per unit of activation."""

    weights: Float[np.ndarray, " d"]
    intercept: float

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return x @ self.weights + self.intercept


@dataclass(frozen=True, eq=False)
class Regressions:
    """One regression for each entry: which target it fits, on which folds, under which penalty."""

    target: Int[np.ndarray, " problem"]
    fitted: Bool[np.ndarray, "problem fold"]
    penalty: Float[np.ndarray, " problem"]

    @classmethod
    def of(cls, problems: Iterable[tuple[int, Iterable[int], float]], n_folds: int) -> Self:
        """From the number of the target, the folds that are left out, and the penalty of each."""
        target, left_out, penalty = zip(*problems, strict=True)
        fitted = np.array([[fold not in out for fold in range(n_folds)] for out in map(set, left_out)])
        return cls(np.array(target), fitted, np.array(penalty, dtype=float))


def fit_all(blocks: Blocks, asked: Regressions, *, kind: str) -> list[Linear]:
    """Logistic (binary) or ridge (real) regressions, each on columns scaled to variance 1 over its own training part.

    A penalty is the weight of `|w|^2 / 2` against the mean loss, w per standard deviation; the intercept is free.
    Weights are scaled back.
    """
    mean, variance = blocks.moments(asked.fitted)
    far = np.abs(blocks.mean[:, None] / blocks.scale[:, None] + mean)
    free = np.sqrt(variance) > ROUNDING * np.maximum(far, np.abs(mean))  # the second for columns that are 0 in a part
    solve = solve_logistic if kind == "binary" else solve_ridge
    weights, intercepts = solve(blocks, asked.target, asked.fitted, asked.penalty * variance, free)
    weights = weights / blocks.scale[:, None]
    intercepts = intercepts - blocks.mean @ weights
    return [Linear(w, float(b)) for w, b in zip(np.ascontiguousarray(weights.T), intercepts, strict=True)]
