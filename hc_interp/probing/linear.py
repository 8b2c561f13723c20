"""The linear probe as numerics: arrays in, out-of-fold predictions and weights out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hc_interp.probing.fold_blocks import Blocks
from hc_interp.probing.folds import validation_fold
from hc_interp.probing.regressions import Linear, Regressions, fit_all

# Weight of |w|^2 / 2 against the mean loss, for activations scaled to variance 1.
PENALTIES = (1e-1, 1e-2, 1e-3)


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Predictions of each target at each place by a probe that saw none of its source, and the first target's own fit.

    `chosen` has the penalty of each fold; `penalty` is the one that suits all the data, `whole` the fit to it.
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
    """Out-of-fold predictions; each fold's penalty is chosen on another fold that its test part has no say in.

    The first target chooses the penalties. All others are read under them, so that one probe reads them all. It is
    fitted apart from them: to the last bit, its predictions do not depend on the company.
    """
    n_folds = int(folds.max()) + 1
    values = list(targets.values())
    blocks = blocks_of(x, values, folds, kind)
    losses = _validation_losses(x, values[0], folds, blocks, kind)
    chosen = [PENALTIES[place] for place in losses.argmin(axis=1)]
    penalty = PENALTIES[losses.sum(axis=0).argmin()]
    asked = [(target, (fold,), chosen[fold]) for target in range(len(values)) for fold in range(n_folds)]
    *fits, whole = fit_all(blocks, Regressions.of([*asked[:n_folds], (0, (), penalty)], n_folds), kind=kind)
    if len(values) > 1:
        fits += fit_all(blocks, Regressions.of(asked[n_folds:], n_folds), kind=kind)
    predicted = np.empty((len(values), len(folds)))
    for fold in range(n_folds):
        predicted[0, folds == fold] = predict(fits[fold : fold + 1], x[folds == fold])[:, 0]
        predicted[1:, folds == fold] = predict(fits[fold + n_folds :: n_folds], x[folds == fold]).T
    return CrossFit(dict(zip(targets, predicted, strict=True)), tuple(chosen), penalty, whole)


def _validation_losses(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, " n"],
    folds: Int[np.ndarray, " n"],
    blocks: Blocks,
    kind: str,
) -> Float[np.ndarray, "fold penalty"]:
    """Loss on each fold's validation fold of the first target's fits to all other folds."""
    n_folds = int(folds.max()) + 1
    validation = [validation_fold(fold, n_folds) for fold in range(n_folds)]
    asked = [(0, (fold, validation[fold]), penalty) for fold in range(n_folds) for penalty in PENALTIES]
    fits = fit_all(blocks, Regressions.of(asked, n_folds), kind=kind)
    losses = np.empty((n_folds, len(PENALTIES)))
    for fold in range(n_folds):
        rows = folds == validation[fold]
        predicted = predict(fits[fold * len(PENALTIES) :][: len(PENALTIES)], x[rows])
        losses[fold] = [loss(column, y[rows], kind=kind) for column in predicted.T]
    return losses


def predict(fits: Sequence[Linear], x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n fit"]:
    weights = np.array([fit.weights for fit in fits]).reshape(len(fits), x.shape[1])
    return x.astype(float) @ weights.T + np.array([fit.intercept for fit in fits])


def blocks_of(
    x: Float[np.ndarray, "n d"], values: Sequence[Float[np.ndarray, " n"]], folds: Int[np.ndarray, " n"], kind: str
) -> Blocks:
    """Labels in the activations' precision, which holds 0 and 1 exactly; numbers in their own."""
    return Blocks.of(x, np.stack(values, axis=1).astype(x.dtype if kind == "binary" else float), folds)


def loss(predicted: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], *, kind: str) -> float:
    """Mean log loss (binary) or squared error (real)."""
    if kind == "binary":
        return float(np.logaddexp(0, -(2 * y - 1) * predicted).mean())
    return float(((predicted - y) ** 2).mean())


def training_means(y: Float[np.ndarray, " n"], folds: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """For each place the mean of y over the other folds: what a predictor without input says."""
    sums, counts = (np.bincount(folds, weights=w) for w in (y, np.ones(len(y))))
    return ((sums.sum() - sums) / (counts.sum() - counts))[folds]
