"""`MeasuredLosses`: the exact loss of masks on fixed rows; a mask is run once and remembered."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.search.objective import Objective
from hc_interp.search.swaps import row_losses

PARTS = (0.25, 0.5, 1.0)  # shares of the rows after which a mask that is above its limit is given up

Masks = Bool[np.ndarray, "mask component"]
RowLossesOf = Callable[[Tensor, Tensor], Tensor]  # of masks `[mask, component]` and rows: `[mask, row]`


@dataclass(eq=False)
class MeasuredLosses:
    """Mean losses by mask. `rows_of(masks, part)` are the losses of each row of one part of the rows, never below 0.

    `known` holds every mask measured so far, in the order in which they were.
    """

    rows_of: Callable[[Masks, int], Float[np.ndarray, "mask row"]]
    parts: int
    n_rows: int
    known: dict[bytes, float] = field(default_factory=dict)
    runs: int = 0  # rows that were run under some mask

    def __call__(self, masks: Masks, limits: Float[np.ndarray, " mask"] | None = None) -> Float[np.ndarray, " mask"]:
        """The mean loss of each mask; `inf` for a mask that is above its limit.

        Losses are not negative, so that a mask's first rows can tell that its mean is above the limit: its other rows
        are then not run, and the mask is not remembered.
        """
        keys = [mask.tobytes() for mask in masks]
        highest: dict[bytes, float] = {}
        for i, key in enumerate(keys):
            if key not in self.known:
                limit = np.inf if limits is None else float(limits[i])
                highest[key] = max(limit, highest.get(key, -np.inf))
        new = [key for key, limit in highest.items() if limit >= 0]
        sums = np.zeros(len(new))
        open_ = np.arange(len(new))
        for part in range(self.parts):
            if not len(open_):
                break
            some = np.stack([np.frombuffer(new[i], dtype=bool) for i in open_])
            losses = self.rows_of(some, part)
            self.runs += losses.size
            sums[open_] += np.maximum(losses, 0.0).sum(1)
            limit = np.array([highest[new[i]] for i in open_])
            open_ = open_[sums[open_] <= limit * self.n_rows]
        for i in open_:
            self.known[new[i]] = float(sums[i] / self.n_rows)
        return np.array([self.known.get(key, np.inf) for key in keys])

    def remember(self, masks: Masks, losses: Float[np.ndarray, " mask"], runs: int) -> None:
        """Masks that an earlier run measured, in its order."""
        self.known |= {mask.tobytes(): float(loss) for mask, loss in zip(masks, losses, strict=True)}
        self.runs += runs

    def table(self, n_components: int) -> tuple[Masks, Float[np.ndarray, " mask"]]:
        """All masks measured so far, and their losses."""
        masks = np.frombuffer(b"".join(self.known), dtype=bool).reshape(-1, n_components)
        return masks, np.fromiter(self.known.values(), dtype=float)


def losses_on(
    goal: Objective, rows: Int[Tensor, " n"], near: Bool[Tensor, " component"], measure: RowLossesOf | None = None
) -> MeasuredLosses:
    """The losses of an objective on these rows. The first part has the rows on which the mask `near` loses most.

    `measure(masks, rows)` gives the losses of rows under masks (None: `row_losses`, in this process).
    """
    measure = measure or (lambda masks, part: row_losses(goal, masks, part))
    order = row_losses(goal, near[None], rows)[0].argsort(descending=True, stable=True)
    ends = [round(share * len(rows)) for share in PARTS]
    cuts = [rows[order[start:end]] for start, end in zip([0, *ends[:-1]], ends, strict=True) if end > start]
    return MeasuredLosses(
        lambda masks, part: measure(torch.from_numpy(masks), cuts[part]).numpy(), len(cuts), len(rows)
    )
