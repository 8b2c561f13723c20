"""`LossSurrogate`: the log loss of a mask as a function fitted to measured masks, and `KernelFit`, the function itself.

It proposes swaps and never decides: a chain accepts by measured losses (`moves.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

REACHES = (0.15, 0.3, 0.6, 1.2, 3.0)  # of the kernel, in multiples of the mean distance of two fitted masks
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # of the ridge; the kernel's diagonal is 1
LEAST_WEIGHT = 0.1  # of a component in a distance; the mean is about 1
LINEAR_PENALTY = 0.1  # of the linear fit that weighs the components
CHOSEN_ON = 600  # masks, evenly among all, on which reach and penalty are chosen
MOST_FITTED = 3_000  # masks that are fitted, the nearest to the bound: the work grows with the third power
FAR = 0.5  # a measured log loss so far above the bound counts half
LEAST_ERROR = 1e-3  # of a surrogate, so that its own distribution has a temperature
SMALLEST = 1e-12  # losses below it are set to it before their logarithm is taken
AT_ONCE = 20_000_000  # numbers in memory for the swaps of some masks

Masks = Bool[np.ndarray, "mask component"]


@dataclass(frozen=True, eq=False)
class KernelFit:
    """`constant + sum_m dual_m exp(-distance(mask, masks_m))` for several outputs: functions of a mask.

    A distance is the sum of the `weights` of all components in which two masks differ. The kernel is then a product
    over components, so that interactions of any order are in it, the higher ones less (a Gaussian process on the cube
    of gates). `left_out` are the residuals of each fitted mask by the function that was fitted to all others.
    """

    masks: Bool[np.ndarray, "fitted component"]
    weights: Float[np.ndarray, " component"]
    dual: Float[np.ndarray, "fitted output"]
    constant: Float[np.ndarray, " output"]
    left_out: Float[np.ndarray, "fitted output"]

    @classmethod
    def fit(cls, masks: Masks, values: Float[np.ndarray, "mask output"], counts: Float[np.ndarray, " mask"]) -> Self:
        """Kernel ridge regression. `counts` says how much a mask counts; reach and penalty are those of the least
        left-out error. All outputs have the same kernel."""
        constant = np.average(values, axis=0, weights=counts)
        target = values - constant
        weights = relevance(masks, target, counts)
        some = np.unique(np.linspace(0, len(masks) - 1, CHOSEN_ON).round().astype(int))
        distances = distance(masks[some], masks[some], weights)
        typical = max(float(distances.mean()), SMALLEST)
        best = None
        for reach in REACHES:
            kernel = np.exp(-distances / (reach * typical))
            for penalty in PENALTIES:
                _, left_out = _ridge(kernel, target[some], penalty / counts[some])
                score = float(np.average((left_out**2).mean(1), weights=counts[some]))
                if best is None or score < best[0]:
                    best = score, reach, penalty
        assert best is not None
        _, reach, penalty = best
        weights = weights / (reach * typical)
        dual, left_out = _ridge(np.exp(-distance(masks, masks, weights)), target, penalty / counts)
        return cls(masks.copy(), weights, dual, constant, left_out)

    def values(self, masks: Masks, output: Int[np.ndarray, " mask"] | int = 0) -> Float[np.ndarray, " mask"]:
        """One output of each mask, the same for all or its own."""
        kernel = np.exp(-distance(masks, self.masks, self.weights))
        return self.constant[output] + (kernel * self.dual[:, output].T).sum(1)

    def changes(
        self,
        masks: Masks,
        inside: Int[np.ndarray, "mask kept"],
        outside: Int[np.ndarray, "mask removed"],
        output: Int[np.ndarray, " mask"] | int = 0,
    ) -> Float[np.ndarray, "mask swap"]:
        """The change of an output of each mask by each of its swaps, in the order of `SwapTable`.

        A swap multiplies each term by a factor of the removed and one of the added component.
        """
        sign = np.where(self.masks, 1.0, -1.0) * self.weights
        removed, added = np.exp(-sign).T, np.exp(sign).T  # [component, fitted]
        terms = np.exp(-distance(masks, self.masks, self.weights)) * self.dual[:, output].T
        found = np.empty((len(masks), inside.shape[1], outside.shape[1]))
        step = max(1, AT_ONCE // max(1, masks.shape[1] * len(self.masks)))
        for first in range(0, len(masks), step):
            rows = slice(first, first + step)
            left = removed[inside[rows]] * terms[rows, None]
            found[rows] = left @ added[outside[rows]].transpose(0, 2, 1) - terms[rows].sum(1)[:, None, None]
        return found.reshape(len(masks), -1)


def relevance(
    masks: Masks, target: Float[np.ndarray, "mask output"], counts: Float[np.ndarray, " mask"]
) -> Float[np.ndarray, " component"]:
    """How much each component counts in a distance: its slope in a linear fit, in units of the mean one."""
    gates = masks - masks.mean(1, keepdims=True)
    square = gates.T @ (counts[:, None] * gates) + LINEAR_PENALTY * np.eye(masks.shape[1])
    slopes = np.abs(np.linalg.solve(square, gates.T @ (counts[:, None] * target)))
    return LEAST_WEIGHT + (slopes / np.maximum(slopes.mean(0), SMALLEST)).mean(1)


def distance(
    masks: Masks, others: Bool[np.ndarray, "other component"], weights: Float[np.ndarray, " component"]
) -> Float[np.ndarray, "mask other"]:
    """The sum of the weights of the components in which two masks differ."""
    return (masks * weights) @ (~others).T.astype(float) + (~masks * weights) @ others.T.astype(float)


def _ridge(
    kernel: Float[np.ndarray, "mask mask"],
    target: Float[np.ndarray, "mask output"],
    penalty: Float[np.ndarray, " mask"],
) -> tuple[Float[np.ndarray, "mask output"], Float[np.ndarray, "mask output"]]:
    """The coefficients of the kernel, and the residual of each mask by the fit without it."""
    inverse = np.linalg.inv(kernel + np.diag(penalty))
    dual = inverse @ target
    return dual, dual / np.diag(inverse)[:, None]


@dataclass(frozen=True, eq=False)
class LossSurrogate:
    """The log loss of a mask.

    `error` is the root mean square of its leave-one-out errors near the bound, in log loss. `explained` is the share
    of the variance of all measured log losses that leave-one-out predictions explain.
    """

    function: KernelFit
    error: float
    explained: float

    @classmethod
    def fit(cls, masks: Masks, losses: Float[np.ndarray, " mask"], bound: float) -> Self:
        """To masks that all keep equally many components.

        Masks far above the bound, where no chain of a bound goes, count less.
        """
        nearest = np.argsort(np.abs(losses - bound), kind="stable")[:MOST_FITTED]
        masks, losses = masks[nearest], losses[nearest]
        log_loss = np.log(np.maximum(losses, SMALLEST))
        excess = np.maximum(0.0, log_loss - np.log(bound))
        counts = 1 / (1 + (excess / FAR) ** 2)
        function = KernelFit.fit(masks, log_loss[:, None], counts)
        left_out = function.left_out[:, 0]
        near = counts >= 0.5 if (counts >= 0.5).any() else counts > 0
        error = max(LEAST_ERROR, float(np.sqrt(np.mean(left_out[near] ** 2))))
        spread = float(np.sum((log_loss - log_loss.mean()) ** 2))
        explained = 1 - float(np.sum(left_out**2)) / spread if spread > 0 else 0.0
        return cls(function, error, explained)

    def log_losses(self, masks: Bool[np.ndarray, "*mask component"]) -> Float[np.ndarray, "*mask"]:
        return self.function.values(masks.reshape(-1, masks.shape[-1])).reshape(masks.shape[:-1])

    def swaps(self, masks: Masks) -> "SwapTable":
        """The change of the log loss by each swap of each mask. All masks keep equally many components."""
        n_kept = int(masks[0].sum()) if len(masks) else 0
        order = np.argsort(~masks, axis=1, kind="stable")
        inside, outside = order[:, :n_kept], order[:, n_kept:]
        return SwapTable(inside, outside, self.function.changes(masks, inside, outside))


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


def swapped(masks: Masks, removed: Sequence[int] | np.ndarray, added: Sequence[int] | np.ndarray) -> Masks:
    """Each mask after its own swap."""
    after = masks.copy()
    index = np.arange(len(masks))
    after[index, removed], after[index, added] = False, True
    return after
