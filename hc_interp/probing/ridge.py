"""Many ridge regressions on the same activations, from one set of sums of products of their columns."""

import numpy as np
from jaxtyping import Bool, Float, Int

from hc_interp.probing.fold_blocks import FoldBlocks


def solve_ridge(
    blocks: FoldBlocks,
    target: Int[np.ndarray, " problem"],
    fitted: Bool[np.ndarray, "problem fold"],
    penalty: Float[np.ndarray, "d problem"],
    free: Bool[np.ndarray, "d problem"],
) -> tuple[Float[np.ndarray, "d problem"], Float[np.ndarray, " problem"]]:
    """Weights and intercepts that minimise `mean (x @ w + b - y)^2 + sum penalty w^2`. Weights that are not free are 0.

    A problem is one regression: `target` is its column of the blocks' targets, `fitted` the folds that it is fitted to.
    scikit-learn's `Ridge` finds the same with `alpha = penalty * n` on columns of variance 1.
    """
    weights, intercepts = np.zeros(penalty.shape), np.zeros(len(target))
    for i, (number, folds) in enumerate(zip(target, fitted, strict=True)):
        n = blocks.counts[folds].sum()
        mean, mean_y = blocks.sums[folds].sum(axis=0) / n, blocks.target_sums[folds, number].sum() / n
        covariance = blocks.products[folds].sum(axis=0) / n - np.outer(mean, mean)
        with_y = blocks.target_products[folds, :, number].sum(axis=0) / n - mean * mean_y
        kept = np.flatnonzero(free[:, i])
        system = covariance[np.ix_(kept, kept)] + np.diag(penalty[kept, i])
        weights[kept, i] = np.linalg.solve(system, with_y[kept])
        intercepts[i] = mean_y - mean @ weights[:, i]
    return weights, intercepts
