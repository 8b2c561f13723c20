"""One linear probe fitted to all rows, without folds."""

import numpy as np

from hc_interp.probing.linear import blocks_of
from hc_interp.probing.regressions import Linear, Regressions, fit_all


def fit_linear(x: np.ndarray, y: np.ndarray, *, kind: str, penalty: float) -> Linear:
    """One fit to all rows: logistic (binary) or ridge (real) regression on columns scaled to variance 1."""
    blocks = blocks_of(x, [y], np.zeros(len(y), dtype=int), kind)
    return fit_all(blocks, Regressions.of([(0, (), penalty)], 1), kind=kind)[0]
