"""Exchanges: a binary mask trades kept components for removed ones as long as that lowers the loss on its data.

Training moves soft gates, each under the noise of the others; what it leaves is near the best binary mask, not it.
Here the mask is binary throughout. Logits that are linear in the gates, taken anew at each mask, predict the loss of
every trade together with those before it; only the most promising trades are measured, and only a measured gain counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.search.training import Objective

FINALISTS = 6  # single trades measured in a round; where there are at most WHOLE, all are
WHOLE = 64
CHAINS = (2, 4, 8)  # numbers of trades, each the best after those before it, that are measured together
ROWS_AT_ONCE = 256  # rows of one pass, each under its own mask

Mask = Bool[Tensor, " component"]


@dataclass(frozen=True)
class Surrogate:
    """Logits `[row, class]` at a mask and their slopes `[row, class, component]` in its gates."""

    kept: Mask
    logits: Float[Tensor, "row class"]
    slopes: Float[Tensor, "row class component"]

    def trade(self, removed: int, added: int) -> "Surrogate":
        """After a trade, as far as logits are linear in gates."""
        kept = self.kept.clone()
        kept[removed], kept[added] = False, True
        return Surrogate(kept, self.logits - self.slopes[..., removed] + self.slopes[..., added], self.slopes)


def exchange(
    goal: Objective, kept: Mask, rows: Int[Tensor, " n"], rounds: int, rng: np.random.Generator
) -> tuple[Mask, list[float]]:
    """The best mask that at most `rounds` rounds of trades lead to, and the best mean loss on `rows` after each.

    Where no trade helps any more, the remaining rounds start again from the best mask after some random trades. The
    number of kept components never changes. Deterministic for a generator in the same state.
    """
    best = here = kept
    best_loss = here_loss = float(mask_losses(goal, kept[None], rows)[0])
    history = [best_loss]
    for _ in range(rounds):
        masks = proposals(goal, linear_logits(goal, here, rows), rows)
        if not len(masks):
            break
        losses = mask_losses(goal, masks, rows)
        place = int(losses.argmin())
        if losses[place] < here_loss:
            here, here_loss = masks[place], float(losses[place])
            if here_loss < best_loss:
                best, best_loss = here, here_loss
        else:
            here = kicked(best, rng)
            here_loss = float(mask_losses(goal, here[None], rows)[0])
        history.append(best_loss)
    return best, history


def proposals(goal: Objective, start: Surrogate, rows: Int[Tensor, " n"]) -> Bool[Tensor, "mask component"]:
    """The best single trades by predicted loss, and chains of trades."""
    removed, added = ranked_trades(goal, start, rows)
    measured = len(removed) if len(removed) <= WHOLE else FINALISTS
    found = [start.trade(int(i), int(j)).kept for i, j in zip(removed[:measured], added[:measured], strict=True)]
    chain, length = start, 0
    while found and length < max(CHAINS):
        removed, added = ranked_trades(goal, chain, rows, 1)
        chain, length = chain.trade(int(removed[0]), int(added[0])), length + 1
        if length in CHAINS:
            found.append(chain.kept)
    return torch.stack(found).unique(dim=0) if found else torch.empty(0, len(start.kept), dtype=torch.bool)


@torch.no_grad()
def ranked_trades(
    goal: Objective, at: Surrogate, rows: Int[Tensor, " n"], n_best: int | None = None
) -> tuple[Int[Tensor, " trade"], Int[Tensor, " trade"]]:
    """All trades, or the `n_best`, by predicted mean loss: what to remove and what to add."""
    inside, outside = at.kept.nonzero()[:, 0], (~at.kept).nonzero()[:, 0]
    if not len(inside) or not len(outside):
        return inside[:0], outside[:0]
    predicted = []
    for place in inside.tolist():
        moved = at.logits[:, None] - at.slopes[..., place][:, None] + at.slopes[..., outside].transpose(1, 2)
        every = goal.loss(moved.flatten(0, 1), rows.repeat_interleave(len(outside)))
        predicted.append(every.view(len(rows), -1).double().mean(0))
    best = torch.cat(predicted).argsort(stable=True)[:n_best].cpu()
    return inside[best // len(outside)], outside[best % len(outside)]


def kicked(kept: Mask, rng: np.random.Generator) -> Mask:
    """A mask a few random trades away."""
    inside, outside = (np.flatnonzero(side) for side in (kept.numpy(), ~kept.numpy()))
    n = min(max(2, len(inside) // 10), len(inside), len(outside))
    found = kept.clone()
    found[rng.choice(inside, n, replace=False)] = False
    found[rng.choice(outside, n, replace=False)] = True
    return found


@torch.enable_grad()
def linear_logits(goal: Objective, kept: Mask, rows: Int[Tensor, " n"]) -> Surrogate:
    """Logits at a binary mask and their slopes: one forward pass, and one backward pass for each class."""
    logits, slopes = [], []
    parts = goal.by_length(rows, ROWS_AT_ONCE // 4)
    for part in parts:
        gates = kept.to(goal.model.device, goal.model.dtype).repeat(len(part), 1).requires_grad_()
        found = goal.logits(gates, part)
        each = [
            torch.autograd.grad(column.sum(), gates, retain_graph=True, materialize_grads=True)[0]
            for column in found.unbind(-1)
        ]
        logits.append(found.detach())
        slopes.append(torch.stack(each, dim=1))
    order = _back(goal, rows, parts)
    return Surrogate(kept, torch.cat(logits)[order], torch.cat(slopes)[order])


@torch.no_grad()
def mask_losses(
    goal: Objective, masks: Bool[Tensor, "mask component"], rows: Int[Tensor, " n"]
) -> Float[Tensor, " mask"]:
    """Mean loss over the rows under each mask; several masks share a pass where there are few rows."""
    total = torch.zeros(len(masks), dtype=torch.float64)
    for part in goal.by_length(rows, ROWS_AT_ONCE // 4):
        together = max(1, ROWS_AT_ONCE // len(part))
        for start in range(0, len(masks), together):
            some = masks[start : start + together].to(goal.model.dtype)
            every = part.repeat(len(some))
            gates = some[0] if len(some) == 1 else some.repeat_interleave(len(part), 0)
            losses = goal.loss(goal.logits(gates, every), every).view(len(some), len(part))
            total[start : start + together] += losses.sum(1).double().cpu()
    return total / len(rows)


def _back(goal: Objective, rows: Int[Tensor, " n"], parts: Sequence[Tensor]) -> Int[Tensor, " n"]:
    """Where each of `rows` stands among the rows of all parts."""
    place = {int(row): i for i, row in enumerate(torch.cat(list(parts)))}
    return torch.tensor([place[int(row)] for row in rows])
