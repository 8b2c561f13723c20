"""`cross_fit`: linear probes of activations, as arrays in and out-of-fold predictions and weights out.

An out-of-fold prediction is made by a probe that was fitted to the other folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hc_interp.probing.fold_blocks import FoldBlocks
from hc_interp.probing.folds import validation_fold
from hc_interp.probing.regressions import Linear, Regressions, fit_all

# Penalties to choose from: the weight of |w|^2 / 2 beside the mean loss, for activations scaled to variance 1.
PENALTIES = (1e-1, 1e-2, 1e-3)


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Out-of-fold predictions of each target, and the first target's fit to all data.

    `chosen` is the penalty of each fold. `penalty` has the lowest validation loss over all folds, and `whole` is the
    fit to all data under it.
    """

    predicted: dict[str, Float[np.ndarray, " n"]]
    chosen: tuple[float, ...]
    penalty: float
    whole: Linear


def cross_fit(
    x: Float[np.ndarray, "n d"],
    targets: Mapping[str, Float[np.ndarray, " n"]],
    folds: Int[np.ndarray, " n"],
    *,
    kind: str,
) -> CrossFit:
    """Fit a probe of each target for each fold, on all other folds, and predict that fold.

    The penalty of a fold is chosen by the first target's loss on a validation fold, by fits that see neither of these
    two folds. The other targets take the first one's penalties: a control task is fitted exactly as the feature is. The
    first target is solved apart from the others, so that its predictions are the same to the last bit with any others.
    """
    n_folds = int(folds.max()) + 1
    values = list(targets.values())
    blocks = blocks_of(x, values, folds, kind)
    losses = _validation_losses(x, values[0], folds, blocks, kind)
    chosen = [PENALTIES[i] for i in losses.argmin(axis=1)]
    penalty = PENALTIES[losses.sum(axis=0).argmin()]
    problems = [(target, (fold,), chosen[fold]) for target in range(len(values)) for fold in range(n_folds)]
    *fits, whole = fit_all(blocks, Regressions.of([*problems[:n_folds], (0, (), penalty)], n_folds), kind=kind)
    if len(values) > 1:
        fits += fit_all(blocks, Regressions.of(problems[n_folds:], n_folds), kind=kind)
    predicted = np.empty((len(values), len(folds)))
    for fold in range(n_folds):
        predicted[0, folds == fold] = predict(fits[fold : fold + 1], x[folds == fold])[:, 0]
        predicted[1:, folds == fold] = predict(fits[fold + n_folds :: n_folds], x[folds == fold]).T
    return CrossFit(dict(zip(targets, predicted, strict=True)), tuple(chosen), penalty, whole)


def _validation_losses(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, " n"],
    folds: Int[np.ndarray, " n"],
    blocks: FoldBlocks,
    kind: str,
) -> Float[np.ndarray, "fold penalty"]:
    """The loss on each fold's validation fold, by fits to all folds but these two under each penalty."""
    n_folds = int(folds.max()) + 1
    validation = [validation_fold(fold, n_folds) for fold in range(n_folds)]
    problems = [(0, (fold, validation[fold]), penalty) for fold in range(n_folds) for penalty in PENALTIES]
    fits = fit_all(blocks, Regressions.of(problems, n_folds), kind=kind)
    losses = np.empty((n_folds, len(PENALTIES)))
    for fold in range(n_folds):
        rows = folds == validation[fold]
        predicted = predict(fits[fold * len(PENALTIES) :][: len(PENALTIES)], x[rows])
        losses[fold] = [loss(column, y[rows], kind=kind) for column in predicted.T]
    return losses


def predict(fits: Sequence[Linear], x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n fit"]:
    """The prediction of each fit for each row: log-odds of class 1, or numbers."""
    weights = np.array([fit.weights for fit in fits]).reshape(len(fits), x.shape[1])
    return x.astype(float) @ weights.T + np.array([fit.intercept for fit in fits])


def blocks_of(
    x: Float[np.ndarray, "n d"], values: Sequence[Float[np.ndarray, " n"]], folds: Int[np.ndarray, " n"], kind: str
) -> FoldBlocks:
    """Activations and targets in blocks. Labels take the activations' precision, in which 0 and 1 are exact."""
    return FoldBlocks.of(x, np.stack(values, axis=1).astype(x.dtype if kind == "binary" else float), folds)


def loss(predicted: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], *, kind: str) -> float:
    """Mean log loss (binary) or squared error (real)."""
    if kind == "binary":
        return float(np.logaddexp(0, -(2 * y - 1) * predicted).mean())
    return float(((predicted - y) ** 2).mean())


def training_means(y: Float[np.ndarray, " n"], folds: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """For each place the mean of y over the other folds: the best prediction without any input."""
    sums, counts = (np.bincount(folds, weights=w) for w in (y, np.ones(len(y))))
    return ((sums.sum() - sums) / (counts.sum() - counts))[folds]
