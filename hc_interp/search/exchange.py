"""Exchanges: a binary mask trades one kept component for one removed as long as that lowers the loss on its data.

Training moves soft gates, each under the noise of the others; what it leaves is near the best binary mask, not it.
Here the mask is binary throughout. The slope of the loss in its gates says which trades may pay, and only these are
measured: all of a round on a part of the rows, the best of them on all rows.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.search.training import Objective

CANDIDATES = 24  # trades measured in a round
FINALISTS = 6  # of these, measured on all rows
SCREEN_SHARE = 4  # the candidates are measured on one row in so many
ROWS_AT_ONCE = 256  # rows of one pass, each under its own mask

Mask = Bool[Tensor, " component"]


@dataclass(frozen=True)
class Trade:
    """One accepted exchange; `loss` is the mean loss after it, on all rows."""

    removed: int
    added: int
    loss: float


def exchange(goal: Objective, kept: Mask, rows: Int[Tensor, " n"], rounds: int) -> tuple[Mask, list[Trade]]:
    """The mask after at most `rounds` trades, each the best that was measured and better than none, and the trades.

    It ends early in a round that finds nothing better. Deterministic: rows in the order given.
    """
    screen = rows[::SCREEN_SHARE]
    trades: list[Trade] = []
    loss: float | None = None
    for _ in range(rounds):
        removed, added = candidates(kept, slopes(goal, kept, rows))
        if not len(removed):
            break
        masks = traded(kept, removed, added)
        if len(masks) > FINALISTS and len(screen) < len(rows):
            best = mask_losses(goal, masks, screen).argsort(stable=True)[:FINALISTS]
            masks, removed, added = masks[best], removed[best], added[best]
        if loss is None:
            loss = float(mask_losses(goal, kept[None], rows)[0])
        found = mask_losses(goal, masks, rows)
        place = int(found.argmin())
        if not found[place] < loss:
            break
        kept, loss = masks[place], float(found[place])
        trades.append(Trade(int(removed[place]), int(added[place]), loss))
    return kept, trades


def candidates(kept: Mask, slope: Float[Tensor, " component"]) -> tuple[Int[Tensor, " trade"], Int[Tensor, " trade"]]:
    """The trades of lowest predicted loss: places of the component to remove and of the one to add.

    To first order a trade changes the loss by the slope of the one minus that of the other.
    """
    inside, outside = kept.nonzero()[:, 0], (~kept).nonzero()[:, 0]
    change = (slope[outside][None, :] - slope[inside][:, None]).flatten()
    best = change.argsort(stable=True)[:CANDIDATES]
    return inside[best // max(1, len(outside))], outside[best % max(1, len(outside))]


def traded(kept: Mask, removed: Int[Tensor, " trade"], added: Int[Tensor, " trade"]) -> Bool[Tensor, "trade component"]:
    masks = kept.repeat(len(removed), 1)
    places = torch.arange(len(removed))
    masks[places, removed], masks[places, added] = False, True
    return masks


@torch.enable_grad()
def slopes(goal: Objective, kept: Mask, rows: Int[Tensor, " n"]) -> Float[Tensor, " component"]:
    """Slope of the mean loss in each gate, at the binary mask."""
    total = torch.zeros(len(kept), dtype=torch.float64)
    for part in goal.by_length(rows, ROWS_AT_ONCE // SCREEN_SHARE):
        gates = kept.to(goal.model.dtype).requires_grad_()
        loss = goal.per_row(gates, part).sum()
        total += torch.autograd.grad(loss, gates)[0].double().cpu()
    return (total / len(rows)).float()


@torch.no_grad()
def mask_losses(
    goal: Objective, masks: Bool[Tensor, "mask component"], rows: Int[Tensor, " n"]
) -> Float[Tensor, " mask"]:
    """Mean loss over the rows under each mask; several masks share a pass where there are few rows."""
    total = torch.zeros(len(masks), dtype=torch.float64)
    for part in goal.by_length(rows, ROWS_AT_ONCE // SCREEN_SHARE):
        together = max(1, ROWS_AT_ONCE // len(part))
        for start in range(0, len(masks), together):
            some = masks[start : start + together].to(goal.model.dtype)
            if len(some) == 1:
                losses = goal.per_row(some[0], part)[None]
            else:
                every = goal.per_row(some.repeat_interleave(len(part), 0), part.repeat(len(some)))
                losses = every.view(len(some), len(part))
            total[start : start + together] += losses.sum(1).double().cpu()
    return total / len(rows)
