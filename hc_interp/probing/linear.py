"""The linear probe as numerics: arrays in, out-of-fold predictions and weights out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression, Ridge

from hc_interp.probing.folds import validation_fold

# Weight of |w|^2 / 2 against the mean loss, for activations scaled to variance 1.
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4)
# A column that varies by less than float32 rounding of its mean holds nothing: an ablated site has no signal to scale up.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Linear:
    """`x @ weights + intercept`: log-odds of class 1, or the predicted number. Weights are per unit of activation."""

    weights: Float[np.ndarray, " d"]
    intercept: float

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return x @ self.weights + self.intercept


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Predictions for each place from a probe that saw none of its source, and the penalty that suits all the data."""

    predicted: Float[np.ndarray, " n"]
    penalty: float


def fit_linear(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"], *, kind: str, penalty: float) -> Linear:
    """Logistic (binary) or ridge (real) regression on columns scaled to variance 1; weights are scaled back."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    varies = spread > ROUNDING * np.abs(mean)
    weights = np.zeros(x.shape[1])
    share = (y.sum() + 0.5) / (len(y) + 1)
    if not varies.any() or y.min() == y.max():
        return Linear(weights, float(np.log(share / (1 - share)) if kind == "binary" else y.mean()))
    scaled = (x[:, varies] - mean[varies]) / spread[varies]
    if kind == "binary":
        regression = LogisticRegression(C=1 / (penalty * len(y)), max_iter=1000).fit(scaled, y)
        coefficients, intercept = regression.coef_[0], regression.intercept_[0]
    else:
        regression = Ridge(alpha=penalty * len(y)).fit(scaled, y)
        coefficients, intercept = regression.coef_, regression.intercept_
    weights[varies] = coefficients / spread[varies]
    return Linear(weights, float(intercept - mean @ weights))


def cross_fit(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"], folds: Int[np.ndarray, " n"], *, kind: str
) -> CrossFit:
    """Out-of-fold predictions; each fold's penalty is chosen on another fold that its test part has no say in."""
    n_folds = int(folds.max()) + 1
    predicted = np.empty(len(y))
    losses = np.zeros(len(PENALTIES))
    for number in range(n_folds):
        held_out, validation = folds == number, folds == validation_fold(number, n_folds)
        fitted = ~(held_out | validation)
        found = [
            loss(fit_linear(x[fitted], y[fitted], kind=kind, penalty=p)(x[validation]), y[validation], kind=kind)
            for p in PENALTIES
        ]
        losses += found
        best = PENALTIES[int(np.argmin(found))]
        predicted[held_out] = fit_linear(x[~held_out], y[~held_out], kind=kind, penalty=best)(x[held_out])
    return CrossFit(predicted, PENALTIES[int(np.argmin(losses))])


def loss(predicted: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], *, kind: str) -> float:
    """Mean log loss (binary) or squared error (real)."""
    if kind == "binary":
        return float(np.logaddexp(0, -(2 * y - 1) * predicted).mean())
    return float(((predicted - y) ** 2).mean())


def training_means(y: Float[np.ndarray, " n"], folds: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """For each place the mean of y over the other folds: what a predictor without input says."""
    sums, counts = (np.bincount(folds, weights=w) for w in (y, np.ones(len(y))))
    return ((sums.sum() - sums) / (counts.sum() - counts))[folds]
