"""`Concept`: first and second moments of a site's activations with a feature. `hc.Erase` removes a feature by them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.records.result import Result

# A direction of the activations with less than this share of the largest variance varies by rounding alone.
RANK = 1e-6


@dataclass(frozen=True, eq=False)
class Concept(Result):
    """`mean` of the activations, `covariance` of each coordinate with the feature, and least squares `regression`.

    `regression` are the weights of the least-squares prediction of the feature. All are taken over the places that a
    probe was fitted to. `covariance` and `regression` are 0 in directions in which the activations do not vary.
    """

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, " d"]
    regression: Float[Tensor, " d"]

    @classmethod
    def of(cls, x: Float[np.ndarray, "place d"], value: Float[np.ndarray, " place"]) -> Self:
        """The moments of activations `x` and the feature's values."""
        mean = x.mean(axis=0, dtype=float)
        centred = x - mean.astype(x.dtype)
        spread = (centred.T @ centred).astype(float) / len(x)
        covariance = (centred.T @ (value - value.mean()).astype(x.dtype)).astype(float) / len(x)
        sizes, axes = np.linalg.eigh(spread)
        varies = sizes > RANK * max(sizes[-1], RANK * float(np.square(mean).max()))
        kept = axes[:, varies]
        along = kept.T @ covariance
        regression = kept @ (along / sizes[varies])
        return cls(*(torch.from_numpy(part) for part in (mean, kept @ along, regression)))

    def to_frame(self) -> pd.DataFrame:
        """A row per coordinate of the activation: mean, covariance, regression."""
        return pd.DataFrame({name: getattr(self, name).numpy() for name in ("mean", "covariance", "regression")})
