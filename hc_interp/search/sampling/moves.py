"""How a chain proposes its next mask, and the exact correction that makes the proposal harmless.

A *surrogate move* runs a short chain on the surrogate: a fixed number of locally balanced swaps (Zanella 2020), each of
which leaves the surrogate's own distribution q as it is and is reversible. The mask x where it starts and the mask y
where it ends then satisfy q(x) P(x, y) = q(y) P(y, x), so accepting y with

    min(1, p(y) q(x) / (p(x) q(y)))

leaves the chain's distribution p exactly as it is, however wrong the surrogate (Liu 2001, section 9.4.3). A good
surrogate lets one measured loss pay for many swaps. A *uniform move* is one swap drawn at random, so that no mask that
the surrogate dislikes is out of reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logsumexp

from hc_interp.search.sampling.levels import Level
from hc_interp.search.sampling.surrogate import LossSurrogate, SwapTable, swapped

UNIFORM_SHARE = 0.1  # of the moves

Masks = Bool[np.ndarray, "mask component"]


@dataclass(frozen=True)
class Proposal:
    """One proposed mask for each row: `correction` is log q(x) - log q(y), and 0 for a uniform move."""

    masks: Masks
    correction: Float[np.ndarray, " mask"]
    uniform: Bool[np.ndarray, " mask"]


def propose(
    surrogate: LossSurrogate,
    levels: Sequence[Level],
    masks: Masks,
    at_level: Int[np.ndarray, " mask"],
    swaps: Int[np.ndarray, " mask"],
    rng: np.random.Generator,
) -> Proposal:
    """For each mask, which stands at its own level, a uniform move or a surrogate move of its number of swaps."""
    uniform = rng.random(len(masks)) < UNIFORM_SHARE
    bound, heat = surrogate_levels(surrogate, levels)
    walked, correction = surrogate_walk(
        surrogate, masks, np.where(uniform, 0, swaps), bound[at_level], heat[at_level], rng
    )
    walked[uniform] = uniform_swaps(masks[uniform], rng)
    return Proposal(walked, correction, uniform)


def surrogate_levels(
    surrogate: LossSurrogate, levels: Sequence[Level]
) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, " level"]]:
    """Bounds and temperatures of q: a level is never colder for the surrogate than the surrogate is exact."""
    bound = np.array([level.bound for level in levels])
    return bound, np.array([max(level.temperature, surrogate.error) for level in levels])


def log_q(
    log_losses: Float[np.ndarray, "mask *swap"],
    bound: Float[np.ndarray, "mask *#swap"],
    heat: Float[np.ndarray, "mask *#swap"],
) -> Float[np.ndarray, "mask *swap"]:
    """The log of q, up to a constant, for predicted log losses."""
    return -np.maximum(0.0, np.expm1(np.minimum(log_losses - np.log(bound), 50.0))) / heat


def surrogate_walk(
    surrogate: LossSurrogate,
    masks: Masks,
    swaps: Int[np.ndarray, " mask"],
    bound: Float[np.ndarray, " mask"],
    heat: Float[np.ndarray, " mask"],
    rng: np.random.Generator,
) -> tuple[Masks, Float[np.ndarray, " mask"]]:
    """The masks after their numbers of swaps under q, and log q(start) - log q(end).

    A swap from x to y is drawn with probability proportional to sqrt(q(y) / q(x)) among all swaps, and accepted with
    min(1, Z(x) / Z(y)), where Z is the sum of these roots: the Metropolis rule for this proposal.
    """
    current = masks.copy()
    predicted = surrogate.log_losses(current)
    start = log_q(predicted, bound, heat)
    walking = np.flatnonzero(swaps > 0)
    done = np.zeros(len(masks), dtype=int)
    if not len(walking):
        return current, np.zeros(len(masks))
    steps = _Steps.at(surrogate, current[walking], predicted[walking], bound[walking], heat[walking])
    while len(walking):
        removed, added = steps.draw(rng)
        there = swapped(current[walking], removed, added)
        ahead = _Steps.at(surrogate, there, surrogate.log_losses(there), bound[walking], heat[walking])
        accepted = np.log(rng.random(len(walking))) < steps.log_total - ahead.log_total
        steps = steps.where(~accepted, ahead)
        current[walking] = np.where(accepted[:, None], there, current[walking])
        predicted[walking] = steps.predicted
        done[walking] += 1
        still = done[walking] < swaps[walking]
        walking, steps = walking[still], steps.take(still)
    return current, start - log_q(predicted, bound, heat)


@dataclass(frozen=True, eq=False)
class _Steps:
    """The swaps open to each mask: `roots` has the log of sqrt(q(y) / q(x)) of each, `log_total` that of their sum."""

    roots: SwapTable
    predicted: Float[np.ndarray, " mask"]
    log_total: Float[np.ndarray, " mask"]

    @classmethod
    def at(
        cls,
        surrogate: LossSurrogate,
        masks: Masks,
        predicted: Float[np.ndarray, " mask"],
        bound: Float[np.ndarray, " mask"],
        heat: Float[np.ndarray, " mask"],
    ) -> Self:
        table = surrogate.swaps(masks)
        here = log_q(predicted, bound, heat)[:, None]
        there = log_q(predicted[:, None] + table.values, bound[:, None], heat[:, None])
        roots = (there - here) / 2
        return cls(replace(table, values=roots), predicted, np.asarray(logsumexp(roots, axis=1)))

    def draw(self, rng: np.random.Generator) -> tuple[Int[np.ndarray, " mask"], Int[np.ndarray, " mask"]]:
        """The components that are removed and added, one swap for each mask."""
        cumulative = np.exp(self.roots.values - self.log_total[:, None]).cumsum(1)
        return self.roots.chosen((cumulative <= rng.random(len(cumulative))[:, None] * cumulative[:, -1:]).sum(1))

    def where(self, mine: Bool[np.ndarray, " mask"], other: "_Steps") -> "_Steps":
        """These steps for the masks of `mine`, and others for the rest."""
        pick = mine[:, None]
        ours, theirs = self.roots, other.roots
        table = SwapTable(
            np.where(pick, ours.inside, theirs.inside),
            np.where(pick, ours.outside, theirs.outside),
            np.where(pick, ours.values, theirs.values),
        )
        predicted = np.where(mine, self.predicted, other.predicted)
        return _Steps(table, predicted, np.where(mine, self.log_total, other.log_total))

    def take(self, rows: Bool[np.ndarray, " mask"]) -> "_Steps":
        table = SwapTable(self.roots.inside[rows], self.roots.outside[rows], self.roots.values[rows])
        return _Steps(table, self.predicted[rows], self.log_total[rows])


def uniform_swaps(masks: Masks, rng: np.random.Generator) -> Masks:
    """Each mask after one swap, drawn uniformly from all swaps."""
    keys = rng.random(masks.shape)
    return swapped(masks, np.where(masks, keys, -1).argmax(1), np.where(masks, -1, keys).argmax(1))
