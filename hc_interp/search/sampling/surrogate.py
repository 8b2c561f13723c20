"""`QuadraticSurrogate`: the log loss of a mask as a quadratic function of its gates, fitted to measured masks.

It proposes swaps and never decides: a chain accepts by measured losses (`moves.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the ridge; the kernel's diagonal is about 1
PAIR_SHARES = (0.0, 0.5, 0.9)  # of the kernel that pairs of gates have, the rest is linear
FAR = 0.5  # a measured log loss so far above the bound counts half
MOST_FITTED = 3_000  # masks that are fitted, the nearest to the bound: the work grows with the third power
LEAST_ERROR = 1e-3  # of the surrogate, so that its own distribution has a temperature
ROUNDING = 1e-11  # eigenvalues below this share of the largest one are 0
SMALLEST = 1e-12  # losses below it are set to it before their logarithm is taken


@dataclass(frozen=True, eq=False)
class QuadraticSurrogate:
    """`log loss = constant + linear . g + g . pairs . g`, with g the mask less the share that it keeps.

    `error` is the root mean square of its leave-one-out errors near the bound, in log loss. `explained` is the share
    of the variance of all measured log losses that leave-one-out predictions explain.
    """

    share: float
    constant: float
    linear: Float[np.ndarray, " component"]
    pairs: Float[np.ndarray, "component component"]
    error: float
    explained: float

    @classmethod
    def fit(cls, masks: Bool[np.ndarray, "mask component"], losses: Float[np.ndarray, " mask"], bound: float) -> Self:
        """Kernel ridge regression with linear and quadratic terms; penalty and kernel by leave-one-out error.

        Masks far above the bound, where no chain of a bound goes, count less. All masks keep equally many components.
        """
        nearest = np.argsort(np.abs(losses - bound), kind="stable")[:MOST_FITTED]
        masks, losses = masks[nearest], losses[nearest]
        share = float(masks[0].mean())
        gates = masks - share
        log_loss = np.log(np.maximum(losses, SMALLEST))
        excess = np.maximum(0.0, log_loss - np.log(bound))
        weight = 1 / (1 + (excess / FAR) ** 2)
        mean = float(np.average(log_loss, weights=weight))
        best = None
        scale = float((gates**2).sum(1).mean())
        root = np.sqrt(weight)
        target = root * (log_loss - mean)
        for pair_share in PAIR_SHARES:
            values, vectors = spectrum(gates, pair_share, scale, root)
            projected = vectors.T @ target
            rest, rest_of = target - vectors @ projected, 1 - (vectors**2).sum(1)  # where the kernel is 0
            for penalty in PENALTIES:
                inverse = 1 / (values + penalty)
                dual = vectors @ (inverse * projected) + rest / penalty
                own = vectors**2 @ inverse + rest_of / penalty
                left_out = dual / own / root  # residuals of predictions without the mask itself
                score = float(np.average(left_out**2, weights=weight))
                if best is None or score < best[0]:
                    best = score, pair_share, root * dual, left_out
        assert best is not None
        _, pair_share, dual, left_out = best
        near = weight >= 0.5 if (weight >= 0.5).any() else weight > 0
        error = max(LEAST_ERROR, float(np.sqrt(np.mean(left_out[near] ** 2))))
        spread = float(np.sum((log_loss - log_loss.mean()) ** 2))
        explained = 1 - float(np.sum(left_out**2)) / spread if spread > 0 else 0.0
        linear = (1 - pair_share) / scale * (dual @ gates)
        pairs = pair_share / scale**2 * (gates.T @ (dual[:, None] * gates))
        return cls(share, mean, linear, pairs, error, explained)

    def log_losses(self, masks: Bool[np.ndarray, "*mask component"]) -> Float[np.ndarray, "*mask"]:
        gates = masks - self.share
        return self.constant + gates @ self.linear + ((gates @ self.pairs) * gates).sum(-1)

    def swaps(self, masks: Bool[np.ndarray, "mask component"]) -> "SwapTable":
        """The change of the log loss by each swap of each mask. All masks keep equally many components."""
        n_kept = int(masks[0].sum()) if len(masks) else 0
        order = np.argsort(~masks, axis=1, kind="stable")
        inside, outside = order[:, :n_kept], order[:, n_kept:]
        slopes = self.linear + 2 * (masks - self.share) @ self.pairs
        own = np.diag(self.pairs)
        row = np.arange(len(masks))[:, None]
        removed = own[inside] - slopes[row, inside]
        added = own[outside] + slopes[row, outside]
        both = self.pairs[inside[:, :, None], outside[:, None, :]]
        changes = removed[:, :, None] + added[:, None, :] - 2 * both
        return SwapTable(inside, outside, changes.reshape(len(masks), -1))


def spectrum(
    gates: Float[np.ndarray, "mask component"], pair_share: float, scale: float, root: Float[np.ndarray, " mask"]
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, "mask value"]]:
    """Eigenvalues above rounding, and eigenvectors, of the weighted kernel of all masks.

    The kernel is `(1 - pair_share) g . h / scale + pair_share (g . h / scale)^2`. With more masks than single gates and
    pairs of gates the eigenvectors are those of the features' smaller matrix, mapped to masks.
    """
    n = gates.shape[1]
    if len(gates) <= n * (n + 3) // 2:
        inner = gates @ gates.T / scale
        kernel = (1 - pair_share) * inner + pair_share * inner**2
        values, vectors = np.linalg.eigh(root[:, None] * kernel * root)
        kept = values > ROUNDING * values[-1]
        return values[kept], vectors[:, kept]
    first, second = np.triu_indices(n)
    twice = np.where(first == second, 1.0, np.sqrt(2.0)) * np.sqrt(pair_share) / scale
    single = np.sqrt((1 - pair_share) / scale)
    features = root[:, None] * np.hstack([single * gates, twice * gates[:, first] * gates[:, second]])
    values, loadings = np.linalg.eigh(features.T @ features)
    kept = values > ROUNDING * values[-1]
    return values[kept], features @ (loadings[:, kept] / np.sqrt(values[kept]))


@dataclass(frozen=True, eq=False)
class SwapTable:
    """All swaps of each mask: the components that it keeps and that it lacks, and a number for each swap.

    The swap of `inside[i]` for `outside[j]` is number `i * n_outside + j`.
    """

    inside: Int[np.ndarray, "mask kept"]
    outside: Int[np.ndarray, "mask removed"]
    values: Float[np.ndarray, "mask swap"]

    def chosen(self, swap: Int[np.ndarray, " mask"]) -> tuple[Int[np.ndarray, " mask"], Int[np.ndarray, " mask"]]:
        """The removed and the added component of one swap of each mask, by its number."""
        row, n = np.arange(len(swap)), self.outside.shape[1]
        return self.inside[row, swap // n], self.outside[row, swap % n]


def swapped(
    masks: Bool[np.ndarray, "mask component"], removed: Sequence[int] | np.ndarray, added: Sequence[int] | np.ndarray
) -> Bool[np.ndarray, "mask component"]:
    """Each mask after its own swap."""
    after = masks.copy()
    index = np.arange(len(masks))
    after[index, removed], after[index, added] = False, True
    return after
