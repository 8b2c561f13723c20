"""`Chains`: masks that walk on every level of the ladder, several independent chains side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from hc_interp.search.sampling.levels import Level, exchange
from hc_interp.search.sampling.moves import propose
from hc_interp.search.sampling.surrogate import LossSurrogate

MOST_SWAPS = 64  # of one surrogate move, and at most twice those that change every component
OFTEN, SELDOM = 0.5, 0.2  # moves accepted more often than that get twice as many swaps, and more seldom half as many

Measure = Callable[[np.ndarray, "np.ndarray | None"], np.ndarray]


@dataclass(eq=False)
class Chains:
    """The state of the sampler: one mask for each chain and level, with its measured loss.

    `swaps` are the swaps of a surrogate move at each level. The state changes in place with each `sweep`.
    """

    levels: tuple[Level, ...]
    masks: Bool[np.ndarray, "chain level component"]
    losses: Float[np.ndarray, "chain level"]
    swaps: Int[np.ndarray, " level"]

    def sweep(
        self, measure: Measure, surrogate: LossSurrogate, number: int, seed: int, learn: bool = False
    ) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, " pair"]]:
        """One move of every mask, then exchanges between neighbouring levels.

        `number` is the sweep's own: its random numbers depend on it and on `seed` alone, so that a run that was stopped
        goes on in the same way. With `learn` every proposal is measured in full, for the surrogate to learn from; the
        states are the same. Returns the share of surrogate moves accepted at each level, and the shares of exchanges.
        """
        rng = np.random.default_rng([seed, 3, number])
        n_chains, n_levels, n = self.masks.shape
        at_level = np.tile(np.arange(n_levels), n_chains)
        flat, losses = self.masks.reshape(-1, n), self.losses.reshape(-1)
        proposal = propose(surrogate, self.levels, flat, at_level, self.swaps[at_level], rng)
        luck = np.log(rng.random(len(flat)))
        here = log_weights(self.levels, losses, at_level)
        needed = here - proposal.correction + luck  # the log weight above which a mask is accepted
        limits = largest_loss(self.levels, at_level, needed)
        found = measure(proposal.masks, None if learn else limits)
        accepted = log_weights(self.levels, found, at_level) > needed
        self.masks = np.where(accepted[:, None], proposal.masks, flat).reshape(self.masks.shape)
        self.losses = np.where(accepted, found, losses).reshape(self.losses.shape)
        by_surrogate = (~proposal.uniform).reshape(self.losses.shape)
        moved = (accepted & ~proposal.uniform).reshape(self.losses.shape)
        rates = moved.sum(0) / np.maximum(1, by_surrogate.sum(0))
        return rates, exchange(self.levels, self.masks, self.losses, number % 2, rng)

    def tune(self, accepted: Float[np.ndarray, " level"]) -> None:
        """More swaps in a move where moves are accepted often, fewer where they are accepted seldom."""
        factor = np.where(accepted > OFTEN, 2.0, np.where(accepted < SELDOM, 0.5, 1.0))
        n_kept = int(self.masks[0, 0].sum())
        most = min(MOST_SWAPS, 2 * min(n_kept, self.masks.shape[-1] - n_kept))
        self.swaps = np.clip((self.swaps * factor).astype(int), 1, most)


def log_weights(
    levels: Sequence[Level], losses: Float[np.ndarray, " mask"], at_level: Int[np.ndarray, " mask"]
) -> Float[np.ndarray, " mask"]:
    """The log weight of each loss at its own level."""
    weights = np.empty(len(losses))
    for i, level in enumerate(levels):
        weights[at_level == i] = level.log_weight(losses[at_level == i])
    return weights


def largest_loss(
    levels: Sequence[Level], at_level: Int[np.ndarray, " mask"], needed: Float[np.ndarray, " mask"]
) -> Float[np.ndarray, " mask"]:
    """The largest loss whose log weight is at least `needed`; -1 where every log weight is below it."""
    bound = np.array([level.bound for level in levels])[at_level]
    heat = np.array([level.temperature for level in levels])[at_level]
    return np.where(needed > 0, -1.0, bound * (1 + np.maximum(-needed, 0.0) * heat))
