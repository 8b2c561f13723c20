"""The lowest loss that was found without a component: the test of whether every good mask needs it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from hc_interp.progress import Stage
from hc_interp.search.sampling.evaluator import MeasuredLosses
from hc_interp.search.sampling.store import SavedRepair, SavedRepairs
from hc_interp.search.sampling.surrogate import LossSurrogate, swapped

REPAIRS = 3  # masks from which a repair begins, at most
TRIED = 8  # swaps that are measured in one round of a repair, the best by the surrogate
ROUNDS = 12  # of a repair, at most
IDLE = 2  # rounds without a gain after which a repair ends

Masks = Bool[np.ndarray, "mask component"]


@dataclass(frozen=True)
class Without:
    """The mask of the lowest loss that was measured without a component, and how many repairs looked for a lower one.

    0 repairs: a mask that the chains had measured is within the bound already. Without any mask the loss is `inf`.
    """

    mask: Bool[np.ndarray, " component"]
    loss: float
    repairs: int


def lowest_without(
    measured: MeasuredLosses,
    surrogate: LossSurrogate,
    states: Masks,
    bound: float,
    progress: Stage,
    saved: SavedRepairs | None = None,
) -> list[Without]:
    """For every component the lowest loss of a mask without it; where none within the bound is known, it is looked for.

    A repair removes the component from a mask, adds the best other one and goes on with swaps, each of which is
    measured, until it is within the bound or finds no gain. It begins at `states` that lie apart, and at the best mask
    measured so far that lacks the component. A loss above the bound is then an upper bound of the lowest one. Finished
    repairs are taken from `saved`, and kept there.
    """
    n = states.shape[1]
    repairs = np.zeros(n, dtype=int)
    for lost in range(n):
        best = _lowest(*measured.table(n), lost)
        if best.loss > bound:
            done = None if saved is None else saved.of(lost)
            if done is None:
                done = _repairs(measured, surrogate, _starts(surrogate, states, best, lost), lost, bound)
                if saved is not None:
                    saved.write(lost, done)
            else:
                measured.remember(done.new_masks.numpy(), done.new_losses.numpy(), done.runs)
            repairs[lost] = done.repairs
        progress.advance()
    table = measured.table(n)  # a repair for one component may have found a mask that lacks another one
    return [replace(_lowest(*table, lost), repairs=int(repairs[lost])) for lost in range(n)]


def _repairs(
    measured: MeasuredLosses, surrogate: LossSurrogate, starts: list[np.ndarray], lost: int, bound: float
) -> SavedRepair:
    """Repairs from one start after the other, until a mask is within the bound."""
    known, runs, n, n_components = len(measured.known), measured.runs, 0, len(surrogate.function.weights)
    for start in starts:
        n += 1
        if repaired(measured, surrogate, start, lost, bound)[1] <= bound:
            break
    masks, losses = (part[known:] for part in measured.table(n_components))
    return SavedRepair(n, torch.from_numpy(masks.copy()), torch.from_numpy(losses.copy()), measured.runs - runs)


def _starts(surrogate: LossSurrogate, states: Masks, best: Without, lost: int) -> list[np.ndarray]:
    """Different masks without the component: of states that lie apart, and the best one that was measured."""
    starts = _without(surrogate, states, lost, REPAIRS - 1) + ([best.mask] if best.loss < np.inf else [])
    return list({start.tobytes(): start for start in starts}.values())


def _lowest(masks: Masks, losses: Float[np.ndarray, " mask"], lost: int) -> Without:
    """The best measured mask without the component."""
    lacking = np.flatnonzero(~masks[:, lost])
    if not len(lacking):
        return Without(np.zeros(masks.shape[1], dtype=bool), np.inf, 0)
    best = lacking[losses[lacking].argmin()]
    return Without(masks[best], float(losses[best]), 0)


def _without(surrogate: LossSurrogate, states: Masks, lost: int, n: int) -> list[np.ndarray]:
    """The states with the component swapped for the best other one, the `n` that lie furthest apart."""
    having = states[states[:, lost]]
    chosen: list[np.ndarray] = []
    while len(having) and len(chosen) < n:
        apart = np.min([(having != other).sum(1) for other in chosen], axis=0) if chosen else np.ones(len(having))
        if not apart.any():
            break
        chosen.append(having[int(apart.argmax())])
    return [_best_swap_of(surrogate, mask, lost) for mask in chosen]


def _best_swap_of(
    surrogate: LossSurrogate, mask: Bool[np.ndarray, " component"], lost: int
) -> Bool[np.ndarray, " component"]:
    """The mask with the component swapped for the one that the surrogate likes best."""
    table = surrogate.swaps(mask[None])
    of_lost = table.values[0].reshape(table.inside.shape[1], -1)[table.inside[0] == lost][0]
    return swapped(mask[None], [lost], [int(table.outside[0, of_lost.argmin()])])[0]


def repaired(
    measured: MeasuredLosses,
    surrogate: LossSurrogate,
    start: Bool[np.ndarray, " component"],
    lost: int,
    bound: float,
) -> tuple[Bool[np.ndarray, " component"], float]:
    """The mask of the lowest loss that swaps find from `start` without adding the component, and its loss."""
    mask, loss = start, float(measured(start[None])[0])
    tried: set[bytes] = {start.tobytes()}
    idle = 0
    for _ in range(ROUNDS):
        if loss <= bound or idle == IDLE:
            break
        table = surrogate.swaps(mask[None])
        adds_it = np.tile(table.outside[0] == lost, table.inside.shape[1])
        changes = np.where(adds_it, np.inf, table.values[0])
        next_masks = []
        for swap in np.argsort(changes, kind="stable")[: TRIED * (IDLE + 2)]:
            if len(next_masks) == TRIED or not np.isfinite(changes[swap]):
                break
            after = swapped(mask[None], *table.chosen(np.array([swap])))[0]
            if after.tobytes() not in tried:
                next_masks.append(after)
        if not next_masks:
            break
        tried |= {item.tobytes() for item in next_masks}
        losses = measured(np.stack(next_masks), np.full(len(next_masks), loss))
        if losses.min() < loss:
            mask, loss, idle = next_masks[int(losses.argmin())], float(losses.min()), 0
        else:
            idle += 1
    return mask, loss
