"""Swaps: a binary mask is improved by removing one kept component and adding one removed component at a time.

Training ends only near the best binary mask: it moves soft gates, and the gradient of each is noisy, because the other
gates are sampled. Swaps work on the binary mask itself. At each mask the logits are linearised in the gates, which
predicts the loss after every swap. The prediction error is roughly additive over components, so it is measured for the
most promising ones and subtracted. The best swaps are then evaluated exactly, and only a measured gain is accepted.

A mask that is chosen on few examples fits these examples. So each early round draws fresh examples, the number of
examples doubles when no gain is clearly above chance, and the last rounds use all of them.
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

FIRST_SIZE, LAST_SIZE = 128, 1024  # examples of a round: at first, and at most
SURROGATE_SIZE = 512  # examples of a round, at most, on which swaps are predicted
CLEAR = 2.5  # standard errors that a gain must exceed to be accepted in a round before the last ones
IDLE_GAIN = 0.005  # a round on all examples is idle if it lowers the loss by less than this share
PATIENCE = 2  # idle rounds in a row after which the swaps end
PROMISING = 8  # kept components, and as many removed ones, whose prediction error is measured in a round
FINALISTS = 4  # single swaps that are evaluated exactly in a round
EXHAUSTIVE = 64  # where a mask has at most this many swaps, a round evaluates all of them
CHAINS = (2, 4)  # lengths of chains of swaps that are evaluated exactly as one candidate
# All candidates are scored on the first COMPARED examples, the HOPEFUL best also on the rest.
COMPARED, HOPEFUL = 256, 3
PASS_ROWS = 16  # rows of similar length in one pass: 64 took 2.4 times as long on MNLI, because of padding
MASKED_ROWS = 256  # rows of one pass that several masks share

Mask = Bool[Tensor, " component"]


@dataclass(frozen=True)
class Surrogate:
    """Logits that are linear in the gates around one binary mask; they predict the loss after a swap.

    `slopes[row, class, component]` are derivatives of (logit of the class - logit of the last class) in the gates:
    adding a constant to all logits changes no loss. `errors[c]` is added to the predicted loss of each swap that
    involves component c. NaN: not measured. inf: c may not be swapped.
    """

    kept: Mask
    logits: Float[Tensor, "row class"]
    slopes: Float[Tensor, "row class component"]
    errors: Float[Tensor, " component"]

    def swap(self, removed: int, added: int) -> "Surrogate":
        """The surrogate after a swap, with the same slopes. Neither component may be swapped again."""
        kept, errors = self.kept.clone(), self.errors.clone()
        kept[removed], kept[added] = False, True
        errors[[removed, added]] = torch.inf
        logits = self.logits - self.slopes[..., removed] + self.slopes[..., added]
        return Surrogate(kept, logits, self.slopes, errors)


@dataclass(frozen=True)
class Round:
    """One round of swaps: its number of examples, their mean loss before and after, and the number of swaps made.

    The fields are columns of saved results; `traded` is the number of swaps.
    """

    examples: int
    before: float
    after: float
    traded: int

    @property
    def gain(self) -> float:
        return self.before - self.after


def swap_components(
    goal: Objective,
    kept: Mask,
    rows: Int[Tensor, " n"],
    rounds: int,
    rng: np.random.Generator,
    progress: Stage = SILENT,
) -> tuple[Mask, list[Round]]:
    """Improve a binary mask in at most `rounds` rounds of swaps; the number of kept components never changes.

    At most `LAST_SIZE` of `rows` are used, drawn by `rng`. Each of the first rounds draws `FIRST_SIZE` of them: early
    gains are so large that few examples show them. A round accepts the candidate of the largest mean gain among those
    whose gain exceeds `CLEAR` standard errors. If there is none, the mask stays and the next rounds have twice as many
    examples. Once rounds use all examples, every gain above rounding is accepted, and the swaps end after `PATIENCE`
    idle rounds in a row. One is not enough: it measured more errors, with which the next round may find a gain.

    Where a round evaluates all swaps (`EXHAUSTIVE`) and none gains, the next round starts a few random swaps away from
    the best mask.

    Returns the mask of the lowest loss on all the examples used, never one that is worse there than `kept`, and what
    each round did. Deterministic for a generator in the same state.
    """
    exhaustive = _n_swaps(kept) <= EXHAUSTIVE
    rows = rows[torch.from_numpy(rng.permutation(len(rows))[:LAST_SIZE])]
    n = min(FIRST_SIZE, len(rows))
    current, best, best_loss = kept, kept, math.inf  # `best_loss` is measured on all examples
    errors = torch.full((len(kept),), torch.nan, dtype=torch.float64)
    history: list[Round] = []
    idle = 0
    while len(history) < rounds and idle < PATIENCE:
        drawn = rows if n == len(rows) else rows[torch.from_numpy(rng.choice(len(rows), n, replace=False))]
        modelled = drawn[:SURROGATE_SIZE]
        surrogate = replace(linear_logits(goal, current, modelled), errors=errors)
        masks, errors = candidates(goal, surrogate, modelled)
        if not len(masks):
            break
        masks, losses, before = evaluated(goal, masks, current, drawn, len(masks) if exhaustive else HOPEFUL)
        winner = _best_gain(before - losses, last=n == len(rows), rounding=_rounding(goal, before))
        improved, after = (current, before) if winner is None else (masks[winner], losses[winner])
        history.append(Round(n, float(before.mean()), float(after.mean()), int((current & ~improved).sum())))
        progress.advance()
        current = improved
        if n < len(rows):
            if winner is None:
                n = min(2 * n, len(rows))
                errors = torch.full_like(errors, torch.nan) if n == len(rows) else errors
            continue
        if after.mean() < best_loss:
            best, best_loss = current, float(after.mean())
        if not exhaustive:
            idle = idle + 1 if history[-1].gain < IDLE_GAIN * history[-1].before else 0
        elif winner is None:
            current = perturbed(best, rng)
    if best_loss == math.inf:  # the rounds ran out before one used all examples
        best, best_loss = current, float(mask_losses(goal, current[None], rows)[0])
    start_loss = float(mask_losses(goal, kept[None], rows)[0])
    return (best if best_loss <= start_loss else kept), history


def evaluated(
    goal: Objective, masks: Bool[Tensor, "mask component"], current: Mask, rows: Int[Tensor, " n"], hopeful: int
) -> tuple[Bool[Tensor, "hopeful component"], Float[Tensor, "hopeful n"], Float[Tensor, " n"]]:
    """The `hopeful` masks of the lowest loss on the first rows, their losses on all rows, and the losses of `current`.

    The first rows are `COMPARED` of them. Only the hopeful masks are evaluated on the others.
    """
    first, rest = rows[:COMPARED], rows[COMPARED:]
    losses = row_losses(goal, torch.cat([current[None], masks]), first, near=current)
    if len(rest):
        best = losses[1:].mean(1).argsort(stable=True)[:hopeful]
        masks = masks[best]
        more = row_losses(goal, torch.cat([current[None], masks]), rest, near=current)
        losses = torch.cat([torch.cat([losses[:1], losses[1:][best]]), more], dim=1)
    return masks, losses[1:], losses[0]


def _best_gain(gains: Float[Tensor, "mask n"], last: bool, rounding: float) -> int | None:
    """The mask with the largest mean gain among the acceptable ones; None if no gain is acceptable.

    In the last rounds a gain must exceed `rounding`, in the others `CLEAR` standard errors over the rows.
    """
    means = gains.mean(1)
    clear = means > (rounding if last else CLEAR * gains.std(1) / math.sqrt(gains.shape[1]))
    return int(means.where(clear, -math.inf).argmax()) if bool(clear.any()) else None


def _rounding(goal: Objective, losses: Float[Tensor, " n"]) -> float:
    """The largest difference that rounding may make between two computations of the same mean loss."""
    return 8 * torch.finfo(goal.model.dtype).eps * float(losses.mean().abs())


def _n_swaps(kept: Mask) -> int:
    return int(kept.sum()) * int((~kept).sum())


def candidates(
    goal: Objective, surrogate: Surrogate, rows: Int[Tensor, " n"]
) -> tuple[Bool[Tensor, "mask component"], Float[Tensor, " component"]]:
    """The masks after the best single swaps and chains of swaps, by predicted loss; and the errors known by now.

    Only components with a measured error are swapped, unless all swaps are evaluated: then no error is needed.
    """
    exhaustive = _n_swaps(surrogate.kept) <= EXHAUSTIVE
    known = surrogate.errors
    if exhaustive:
        surrogate = replace(surrogate, errors=torch.zeros_like(known))
    else:
        known = measured_errors(goal, surrogate, rows)
        surrogate = replace(surrogate, errors=known.nan_to_num(nan=torch.inf))
    removed, added = ranked_swaps(goal, surrogate, rows)
    n_single = len(removed) if exhaustive else FINALISTS
    masks = [surrogate.swap(int(i), int(j)).kept for i, j in zip(removed[:n_single], added[:n_single], strict=True)]
    chain = surrogate
    for length in range(1, max(CHAINS) + 1):
        removed, added = ranked_swaps(goal, chain, rows)
        if not len(removed):
            break
        chain = chain.swap(int(removed[0]), int(added[0]))
        if length in CHAINS:
            masks.append(chain.kept)
    stacked = torch.stack(masks).unique(dim=0) if masks else surrogate.kept.new_empty(0, len(surrogate.kept))
    return stacked, known


@torch.no_grad()
def measured_errors(goal: Objective, surrogate: Surrogate, rows: Int[Tensor, " n"]) -> Float[Tensor, " component"]:
    """The surrogate's errors, updated for the `PROMISING` kept and the `PROMISING` removed components.

    The error of a component is the exact mean loss minus the predicted one when the component alone is removed or
    added, on the first quarter of the rows (at least half of `FIRST_SIZE`). A component is promising if one of its
    swaps has a low predicted loss. An error that is not measured yet counts as 0 here, so that the component can become
    promising and be measured.
    """
    inside, outside = surrogate.kept.nonzero()[:, 0], (~surrogate.kept).nonzero()[:, 0]
    losses = swap_losses(goal, replace(surrogate, errors=surrogate.errors.nan_to_num(nan=0.0)), rows)
    best = [losses.amin(1).argsort(stable=True)[:PROMISING], losses.amin(0).argsort(stable=True)[:PROMISING]]
    chosen = torch.cat([inside[best[0]], outside[best[1]]])
    few = rows[: max(FIRST_SIZE // 2, len(rows) // 4)]
    masks = surrogate.kept.repeat(len(chosen), 1)
    masks[torch.arange(len(chosen)), chosen] ^= True
    sign = torch.where(surrogate.kept[chosen], -1.0, 1.0).to(surrogate.slopes)
    shifts = (sign * surrogate.slopes[: len(few)][..., chosen]).transpose(1, 2)
    logits = surrogate.logits[: len(few), None] + shifts
    predicted = goal.loss(logits.flatten(0, 1), few.repeat_interleave(len(chosen))).view(len(few), -1).double().mean(0)
    errors = surrogate.errors.clone()
    errors[chosen] = mask_losses(goal, masks, few, near=surrogate.kept) - predicted.cpu()
    return errors


@torch.no_grad()
def swap_losses(goal: Objective, surrogate: Surrogate, rows: Int[Tensor, " n"]) -> Float[Tensor, "removed added"]:
    """The predicted mean loss after each swap of a kept for a removed component, both in ascending order."""
    inside, outside = surrogate.kept.nonzero()[:, 0], (~surrogate.kept).nonzero()[:, 0]
    losses = torch.empty(len(inside), len(outside), dtype=torch.float64)
    added = surrogate.slopes[..., outside].transpose(1, 2)
    for i, removed in enumerate(inside.tolist()):
        logits = surrogate.logits[:, None] - surrogate.slopes[..., removed][:, None] + added
        by_row = goal.loss(logits.flatten(0, 1), rows.repeat_interleave(len(outside)))
        losses[i] = by_row.view(len(rows), -1).double().mean(0).cpu()
    return losses + surrogate.errors[inside][:, None] + surrogate.errors[outside]


def ranked_swaps(
    goal: Objective, surrogate: Surrogate, rows: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " swap"], Int[Tensor, " swap"]]:
    """The components that swaps remove and those that they add, the swap of the lowest predicted loss first."""
    inside, outside = surrogate.kept.nonzero()[:, 0], (~surrogate.kept).nonzero()[:, 0]
    losses = swap_losses(goal, surrogate, rows).flatten()
    best = losses.argsort(stable=True)[: int(losses.isfinite().sum())]
    return inside[best // max(1, len(outside))], outside[best % max(1, len(outside))]


def perturbed(kept: Mask, rng: np.random.Generator) -> Mask:
    """The mask after random swaps: a tenth of the kept components, at least 2 where there are as many on each side."""
    inside, outside = (np.flatnonzero(side) for side in (kept.numpy(), ~kept.numpy()))
    n = min(max(2, len(inside) // 10), len(inside), len(outside))
    mask = kept.clone()
    mask[rng.choice(inside, n, replace=False)] = False
    mask[rng.choice(outside, n, replace=False)] = True
    return mask


@torch.enable_grad()
def linear_logits(goal: Objective, kept: Mask, rows: Int[Tensor, " n"]) -> Surrogate:
    """The surrogate at a binary mask: one forward pass, and one backward pass for each class but the last.

    Its errors are 0.
    """
    logits, slopes = [], []
    wide = torch.promote_types(goal.model.dtype, torch.float32)
    parts = goal.by_length(rows, PASS_ROWS)
    for part in parts:
        gates = kept.to(goal.model.device, goal.model.dtype).repeat(len(part), 1).requires_grad_()
        output = goal.logits(gates, part)
        differences = output[:, :-1] - output[:, -1:]
        by_class = [
            torch.autograd.grad(column.sum(), gates, retain_graph=True, materialize_grads=True)[0]
            for column in differences.unbind(-1)
        ]
        logits.append(output.detach().to(wide))
        slopes.append(torch.stack([*by_class, torch.zeros_like(gates)], dim=1).to(wide))
    order = order_back(rows, parts)
    no_errors = torch.zeros(len(kept), dtype=torch.float64)
    return Surrogate(kept, torch.cat(logits)[order], torch.cat(slopes)[order], no_errors)


def mask_losses(
    goal: Objective, masks: Bool[Tensor, "mask component"], rows: Int[Tensor, " n"], near: Mask | None = None
) -> Float[Tensor, " mask"]:
    """The mean loss over the rows under each mask."""
    return row_losses(goal, masks, rows, near).mean(1)


@torch.no_grad()
def row_losses(
    goal: Objective, masks: Bool[Tensor, "mask component"], rows: Int[Tensor, " n"], near: Mask | None = None
) -> Float[Tensor, "mask n"]:
    """The loss of each row under each mask; several masks share a pass. Raises `SearchError` if one is not finite.

    A mask gives the same values as `near` below the first layer in which the two differ. Those layers are run once,
    under `near`, for all masks.
    """
    firsts = torch.zeros(len(masks), dtype=torch.long) if near is None else _first_changed(goal, masks, near)
    last = int(firsts.max()) if int(firsts.sum()) > int(firsts.max()) else 0  # else the pass under `near` saves nothing
    firsts = firsts.clamp_max(last)
    by_part = []
    parts = goal.by_length(rows, PASS_ROWS)
    for part in parts:
        n_masks = max(1, MASKED_ROWS // len(part))
        streams = goal.streams(near.to(goal.model.dtype), part, last) if near is not None and last else []
        losses = torch.empty(len(masks), len(part), dtype=torch.float64)
        for layer in firsts.unique().tolist():
            for index in (firsts == layer).nonzero()[:, 0].split(n_masks):
                some = masks[index].to(goal.model.dtype)
                repeated = part.repeat(len(some))
                gates = some[0] if len(some) == 1 else some.repeat_interleave(len(part), 0)
                start = (layer, streams[layer].repeat(len(some), 1, 1)) if layer else None
                by_row = goal.loss(goal.logits(gates, repeated, start), repeated)
                losses[index] = by_row.view(len(some), -1).double().cpu()
        by_part.append(losses)
    losses = torch.cat(by_part, dim=1)
    if n_bad := int((~torch.isfinite(losses)).any(1).sum()):
        raise SearchError(
            f"The loss of {n_bad} of {len(masks)} binary masks is not finite on {len(rows)} examples. Expected finite "
            "logits under a binary mask; check the means, the model's dtype and the interventions."
        )
    return losses[:, order_back(rows, parts)]


def _first_changed(goal: Objective, masks: Bool[Tensor, "mask component"], near: Mask) -> Int[Tensor, " mask"]:
    """The lowest layer in which each mask differs from `near`; the last layer for a mask that is equal to it."""
    layers = torch.tensor([item.layer for item in goal.universe])
    return torch.where(masks != near, layers, goal.model.n_layers - 1).amin(1)


def order_back(rows: Int[Tensor, " n"], parts: Sequence[Int[Tensor, " _"]]) -> Int[Tensor, " n"]:
    """The index of each of `rows` in the concatenated parts, which hold the same rows in another order."""
    index = {int(row): i for i, row in enumerate(torch.cat(list(parts)))}
    return torch.tensor([index[int(row)] for row in rows])
