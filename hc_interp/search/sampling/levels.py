"""The ladder of a sampler: probabilities of masks that fall as the loss rises, down to the masks within a bound."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

# Of the levels above the bounds, in multiples of the loosest bound. One is hot enough to cross between sets of good
# masks that single swaps do not connect (experiments/subnetwork_sets.py).
TEMPERATURES = (3.0, 0.2)


@dataclass(frozen=True)
class Level:
    """One rung: a mask has probability proportional to exp(-max(0, loss / bound - 1) / temperature).

    At temperature 0 all masks within the bound are equally probable, and no other mask is possible.
    """

    bound: float
    temperature: float = 0.0

    def log_weight(self, losses: Float[np.ndarray, "*masks"]) -> Float[np.ndarray, "*masks"]:
        """The log of the probability, up to a constant."""
        excess = np.maximum(0.0, losses / self.bound - 1)
        if self.temperature == 0:
            return np.where(losses <= self.bound, 0.0, -np.inf)
        return -excess / self.temperature


def ladder(bounds: Sequence[float], temperatures: Sequence[float] = TEMPERATURES) -> tuple[Level, ...]:
    """From hot to cold: the tempered levels at the loosest bound, then every bound without temperature."""
    ordered = sorted(bounds, reverse=True)
    return (*(Level(ordered[0], heat) for heat in temperatures), *(Level(bound) for bound in ordered))


def exchange(
    levels: Sequence[Level],
    masks: Bool[np.ndarray, "chain level component"],
    losses: Float[np.ndarray, "chain level"],
    first: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " pair"]:
    """Exchange the masks of neighbouring levels in place: levels `first` and `first + 1`, then the next two, ...

    Returns, for each pair of neighbours, the share of chains that exchanged; NaN for pairs that were not asked.
    An exchange is accepted with min(1, p_i(y) p_j(x) / (p_i(x) p_j(y))) for masks x and y at levels i and j, which
    leaves the joint distribution of all levels as it is.
    """
    rates = np.full(len(levels) - 1, np.nan)
    for hot in range(first, len(levels) - 1, 2):
        cold = hot + 1
        x, y = losses[:, hot], losses[:, cold]
        gain = levels[hot].log_weight(y) + levels[cold].log_weight(x)
        gain -= levels[hot].log_weight(x) + levels[cold].log_weight(y)
        swapped = np.log(rng.random(len(losses))) < gain
        masks[swapped, hot], masks[swapped, cold] = masks[swapped, cold].copy(), masks[swapped, hot].copy()
        losses[swapped, hot], losses[swapped, cold] = y[swapped].copy(), x[swapped].copy()
        rates[hot] = swapped.mean()
    return rates
