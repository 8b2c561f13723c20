"""Exchanges: a binary mask trades kept components for removed ones as long as that lowers the loss on its data.

Training moves soft gates, each under the noise of the others; what it leaves is near the best binary mask, not it.
Here the mask is binary throughout. Logits that are linear in the gates, taken anew at each mask, predict the loss of
every trade together with those before it. What they err by is mostly each component's own, so it is measured for the
most promising ones; then the best trades are measured, and only a measured gain counts.
Few examples fit trades to themselves: each of the first rounds draws its own, more of them where no gain stands out
from chance, and the last rounds take all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.errors import SearchError
from hc_interp.progress import SILENT, Stage
from hc_interp.search.objective import Objective

START, MOST = 128, 1024  # examples of the first rounds and of the last
MODELLED = 512  # examples at most whose logits predict trades
CLEAR = 2.5  # standard errors by which a gain must stand out on fewer examples than the last rounds' to be taken
GAIN = 0.005  # of the loss: a round on the most examples that gains less is idle
PATIENCE = 2  # idle rounds after which the search ends
PROMISING = 8  # components on each side whose own error is measured
FINALISTS = 4  # single trades measured in a round; where there are at most WHOLE, all are
WHOLE = 64
COMPARED, HOPEFUL = 256, 3  # examples on which all measured masks are compared, and how many see the others too
CHAINS = (2, 4)  # numbers of trades, each the best after those before it, that are measured together
PART = 16  # rows of similar length in one pass: 64 took 2.4 times as long on MNLI, for padding
ROWS_AT_ONCE = 256  # rows of one pass under several masks

Mask = Bool[Tensor, " component"]


@dataclass(frozen=True)
class Surrogate:
    """Logits `[row, class]` at a mask and their slopes `[row, class, component]` in its gates.

    Slopes are those of the difference to the last class: a shift of all classes changes no loss. `errors` is what the
    predicted loss of any trade is too low by for each component in it, NaN where nobody measured it, infinite where a
    component is not to be traded.
    """

    kept: Mask
    logits: Float[Tensor, "row class"]
    slopes: Float[Tensor, "row class component"]
    errors: Float[Tensor, " component"]

    def trade(self, removed: int, added: int) -> "Surrogate":
        """After a trade, as far as logits are linear in gates; what was traded stays where it is."""
        kept, errors = self.kept.clone(), self.errors.clone()
        kept[removed], kept[added] = False, True
        errors[[removed, added]] = torch.inf
        logits = self.logits - self.slopes[..., removed] + self.slopes[..., added]
        return Surrogate(kept, logits, self.slopes, errors)


@dataclass(frozen=True)
class Round:
    """One round of trades: on how many examples, the mean loss on them before and after, and how many were traded."""

    examples: int
    before: float
    after: float
    traded: int

    @property
    def gain(self) -> float:
        return self.before - self.after


def exchange(
    goal: Objective,
    kept: Mask,
    rows: Int[Tensor, " n"],
    rounds: int,
    rng: np.random.Generator,
    progress: Stage = SILENT,
) -> tuple[Mask, list[Round]]:
    """The best mask that at most `rounds` rounds of trades lead to; the number of kept components never changes.

    Early gains are large, and few examples show them: the first rounds draw `START` of `rows` each. Where no gain
    stands out from chance by `CLEAR` standard errors, none is taken, and rounds draw twice as many from there on, at
    last `MOST` or all. On those every gain counts that is more than rounding; the search ends after `PATIENCE` rounds
    in a row that gained less than `GAIN`, the later ones knowing the errors of more components. If all trades are
    measured in a round, which only a small model allows, it goes on from the best mask after some random trades
    instead. Never worse than `kept` on the examples of the last rounds. Deterministic for a generator in the same
    state.
    """
    small = _n_trades(kept) <= WHOLE
    rows = rows[torch.from_numpy(rng.permutation(len(rows))[:MOST])]
    n = min(START, len(rows))
    here, best, best_loss = kept, kept, math.inf  # the best of what was measured on all examples
    errors = torch.full((len(kept),), torch.nan, dtype=torch.float64)
    history: list[Round] = []
    idle = 0
    while len(history) < rounds and idle < PATIENCE:
        own = rows if n == len(rows) else rows[torch.from_numpy(rng.choice(len(rows), n, replace=False))]
        modelled = own[:MODELLED]
        at = replace(linear_logits(goal, here, modelled), errors=errors)
        masks, errors = proposals(goal, at, modelled)
        if not len(masks):
            break
        masks, losses, before = compared(goal, masks, here, own, len(masks) if small else HOPEFUL)
        place = _best_gain(before - losses, last=n == len(rows), rounding=_rounding(goal, before))
        found, after = (here, before) if place is None else (masks[place], losses[place])
        history.append(Round(n, float(before.mean()), float(after.mean()), int((here & ~found).sum())))
        progress.advance()
        here = found
        if n < len(rows):
            if place is None:
                n = min(2 * n, len(rows))
                errors = torch.full_like(errors, torch.nan) if n == len(rows) else errors
            continue
        if after.mean() < best_loss:
            best, best_loss = here, float(after.mean())
        if not small:
            idle = idle + 1 if history[-1].gain < GAIN * history[-1].before else 0
        elif place is None:
            here = kicked(best, rng)
    if best_loss == math.inf:  # rounds ran out before all examples were used
        best, best_loss = here, float(mask_losses(goal, here[None], rows)[0])
    start_loss = float(mask_losses(goal, kept[None], rows)[0])
    return (best if best_loss <= start_loss else kept), history


def compared(
    goal: Objective, masks: Bool[Tensor, "mask component"], here: Mask, rows: Int[Tensor, " n"], hopeful: int
) -> tuple[Bool[Tensor, "hopeful component"], Float[Tensor, "hopeful n"], Float[Tensor, " n"]]:
    """The `hopeful` masks of the lowest loss on the first rows, their losses on all rows, and those of `here`."""
    first, rest = rows[:COMPARED], rows[COMPARED:]
    losses = row_losses(goal, torch.cat([here[None], masks]), first, near=here)
    if len(rest):
        best = losses[1:].mean(1).argsort(stable=True)[:hopeful]
        masks = masks[best]
        more = row_losses(goal, torch.cat([here[None], masks]), rest, near=here)
        losses = torch.cat([torch.cat([losses[:1], losses[1:][best]]), more], dim=1)
    return masks, losses[1:], losses[0]


def _best_gain(gains: Float[Tensor, "mask n"], last: bool, rounding: float) -> int | None:
    """Which mask gains most of those whose gain counts; None where none does."""
    means = gains.mean(1)
    clear = means > (rounding if last else CLEAR * gains.std(1) / math.sqrt(gains.shape[1]))
    return int(means.where(clear, -math.inf).argmax()) if bool(clear.any()) else None


def _rounding(goal: Objective, losses: Tensor) -> float:
    """What two ways to compute the same mean loss may differ by."""
    return 8 * torch.finfo(goal.model.dtype).eps * float(losses.mean().abs())


def _n_trades(kept: Mask) -> int:
    return int(kept.sum()) * int((~kept).sum())


def proposals(
    goal: Objective, start: Surrogate, rows: Int[Tensor, " n"]
) -> tuple[Bool[Tensor, "mask component"], Float[Tensor, " component"]]:
    """The best single trades by predicted loss, and chains of trades; and the errors known by now, others NaN."""
    every = _n_trades(start.kept) <= WHOLE
    known = start.errors
    if every:
        start = replace(start, errors=torch.zeros_like(known))
    else:
        known = measured_errors(goal, start, rows)
        start = replace(start, errors=known.nan_to_num(nan=torch.inf))
    removed, added = ranked_trades(goal, start, rows)
    measured = len(removed) if every else FINALISTS
    found = [start.trade(int(i), int(j)).kept for i, j in zip(removed[:measured], added[:measured], strict=True)]
    chain = start
    for length in range(1, max(CHAINS) + 1):
        removed, added = ranked_trades(goal, chain, rows)
        if not len(removed):
            break
        chain = chain.trade(int(removed[0]), int(added[0]))
        if length in CHAINS:
            found.append(chain.kept)
    masks = torch.stack(found).unique(dim=0) if found else torch.empty(0, len(start.kept), dtype=torch.bool)
    return masks, known


@torch.no_grad()
def measured_errors(goal: Objective, at: Surrogate, rows: Int[Tensor, " n"]) -> Float[Tensor, " component"]:
    """`at.errors`, with those of the `PROMISING` components on each side measured anew, by what replacing one alone
    does to some of the rows. An error that nobody measured (NaN) is taken for 0 there, and so soon measured.
    """
    inside, outside = at.kept.nonzero()[:, 0], (~at.kept).nonzero()[:, 0]
    losses = trade_losses(goal, replace(at, errors=at.errors.nan_to_num(nan=0.0)), rows)
    best = [losses.amin(1).argsort(stable=True)[:PROMISING], losses.amin(0).argsort(stable=True)[:PROMISING]]
    chosen = torch.cat([inside[best[0]], outside[best[1]]])
    few = rows[: max(START // 2, len(rows) // 4)]
    masks = at.kept.repeat(len(chosen), 1)
    masks[torch.arange(len(chosen)), chosen] ^= True
    sign = torch.where(at.kept[chosen], -1.0, 1.0).to(at.slopes)
    moved = at.logits[: len(few), None] + (sign * at.slopes[: len(few)][..., chosen]).transpose(1, 2)
    predicted = goal.loss(moved.flatten(0, 1), few.repeat_interleave(len(chosen))).view(len(few), -1).double().mean(0)
    errors = at.errors.clone()
    errors[chosen] = mask_losses(goal, masks, few, near=at.kept) - predicted.cpu()
    return errors


@torch.no_grad()
def trade_losses(goal: Objective, at: Surrogate, rows: Int[Tensor, " n"]) -> Float[Tensor, "removed added"]:
    """The predicted mean loss of every trade of a kept for a removed component, both in ascending order."""
    inside, outside = at.kept.nonzero()[:, 0], (~at.kept).nonzero()[:, 0]
    found = torch.empty(len(inside), len(outside), dtype=torch.float64)
    for place, own in enumerate(inside.tolist()):
        moved = at.logits[:, None] - at.slopes[..., own][:, None] + at.slopes[..., outside].transpose(1, 2)
        every = goal.loss(moved.flatten(0, 1), rows.repeat_interleave(len(outside)))
        found[place] = every.view(len(rows), -1).double().mean(0).cpu()
    return found + at.errors[inside][:, None] + at.errors[outside]


def ranked_trades(
    goal: Objective, at: Surrogate, rows: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " trade"], Int[Tensor, " trade"]]:
    """What to remove and what to add, the trade of the lowest predicted loss first."""
    inside, outside = at.kept.nonzero()[:, 0], (~at.kept).nonzero()[:, 0]
    losses = trade_losses(goal, at, rows).flatten()
    best = losses.argsort(stable=True)[: int(losses.isfinite().sum())]
    return inside[best // max(1, len(outside))], outside[best % max(1, len(outside))]


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
    """Logits at a binary mask and their slopes: one forward pass, and one backward pass for each class but the last."""
    logits, slopes = [], []
    wide = torch.promote_types(goal.model.dtype, torch.float32)
    parts = goal.by_length(rows, PART)
    for part in parts:
        gates = kept.to(goal.model.device, goal.model.dtype).repeat(len(part), 1).requires_grad_()
        found = goal.logits(gates, part)
        apart = found[:, :-1] - found[:, -1:]
        each = [
            torch.autograd.grad(column.sum(), gates, retain_graph=True, materialize_grads=True)[0]
            for column in apart.unbind(-1)
        ]
        logits.append(found.detach().to(wide))
        slopes.append(torch.stack([*each, torch.zeros_like(gates)], dim=1).to(wide))
    order = _back(rows, parts)
    none = torch.zeros(len(kept), dtype=torch.float64)
    return Surrogate(kept, torch.cat(logits)[order], torch.cat(slopes)[order], none)


def mask_losses(
    goal: Objective, masks: Bool[Tensor, "mask component"], rows: Int[Tensor, " n"], near: Mask | None = None
) -> Float[Tensor, " mask"]:
    """Mean loss over the rows under each mask."""
    return row_losses(goal, masks, rows, near).mean(1)


@torch.no_grad()
def row_losses(
    goal: Objective, masks: Bool[Tensor, "mask component"], rows: Int[Tensor, " n"], near: Mask | None = None
) -> Float[Tensor, "mask n"]:
    """Loss of each row under each mask; several masks share a pass. A loss that is no number is an error.

    Where masks differ from `near` only from some layer on, what enters that layer is computed once for all of them.
    """
    firsts = torch.zeros(len(masks), dtype=torch.long) if near is None else _first_changed(goal, masks, near)
    last = int(firsts.max()) if int(firsts.sum()) > int(firsts.max()) else 0  # else one pass more saves nothing
    firsts = firsts.clamp_max(last)
    found = []
    parts = goal.by_length(rows, PART)
    for part in parts:
        together = max(1, ROWS_AT_ONCE // len(part))
        below = goal.streams(near.to(goal.model.dtype), part, last) if near is not None and last else []
        losses = torch.empty(len(masks), len(part), dtype=torch.float64)
        for layer in firsts.unique().tolist():
            for own in (firsts == layer).nonzero()[:, 0].split(together):
                some = masks[own].to(goal.model.dtype)
                every = part.repeat(len(some))
                gates = some[0] if len(some) == 1 else some.repeat_interleave(len(part), 0)
                start = (layer, below[layer].repeat(len(some), 1, 1)) if layer else None
                losses[own] = goal.loss(goal.logits(gates, every, start), every).view(len(some), -1).double().cpu()
        found.append(losses)
    if n_bad := int((~torch.isfinite(torch.cat(found, 1))).any(1).sum()):
        raise SearchError(
            f"The loss of {n_bad} of {len(masks)} binary masks is not finite on {len(rows)} examples. Expected finite "
            "logits under a binary mask; check the means, the model's dtype and the interventions."
        )
    return torch.cat(found, 1)[:, _back(rows, parts)]


def _first_changed(goal: Objective, masks: Bool[Tensor, "mask component"], near: Mask) -> Int[Tensor, " mask"]:
    """The lowest layer in which each mask differs from `near`; the last layer where it does not."""
    layers = torch.tensor([item.layer for item in goal.universe])
    return torch.where(masks != near, layers, goal.model.n_layers - 1).amin(1)


def _back(rows: Int[Tensor, " n"], parts: Sequence[Tensor]) -> Int[Tensor, " n"]:
    """Where each of `rows` stands among the rows of all parts."""
    place = {int(row): i for i, row in enumerate(torch.cat(list(parts)))}
    return torch.tensor([place[int(row)] for row in rows])
