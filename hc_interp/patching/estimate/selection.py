"""`ExactSelection`: which estimated rows `method="auto"` measures exactly, and which of them on all pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.align import PairBatch
from hc_interp.errors import HCError
from hc_interp.patching.sweep import Sweep

# The candidates are this many times the rows of the top. (On minilm-nli the 10 % of largest estimate hold 99 % of the
# 5 % of largest exact effect.)
CANDIDATES = 2
PILOT = 0.25  # the share of pairs on which candidates are measured first
WIDTH = 3.0  # half the width of an interval, in standard errors
FEWEST = 8  # pairs in the pilot: a standard error from fewer is not reliable


@dataclass(frozen=True)
class ExactSelection:
    """Candidates are measured on the pilot pairs first; those that are surely outside the top are then dropped.

    The exact mean effect of a candidate is predicted by the mean of its estimates over all pairs, plus the mean
    difference of exact effect and estimate over the pilot pairs. The standard error of that difference gives an
    interval. The estimate is a control variate: the difference varies less over pairs than the effect does.

    `top` is a share of the rows, `rest` the pairs outside the pilot.
    """

    top: float
    pilot: list[PairBatch]
    rest: list[PairBatch]

    @classmethod
    def of(cls, sweep: Sweep, top: float, seed: int) -> "ExactSelection":
        """Draw the pilot pairs from all pairs by `seed`. Raises `HCError` for a `top` that is no share above 0."""
        if not 0 < top <= 1:
            raise HCError(f"top={top}; expected a share of the paths above 0 and at most 1, like 0.05.")
        n = len(sweep.encoded)
        chosen = torch.zeros(n, dtype=torch.bool)
        size = min(n, max(FEWEST, round(PILOT * n)))
        chosen[torch.from_numpy(np.random.default_rng(seed).permutation(n)[:size].copy())] = True
        pilot, rest = [], []
        for part in sweep.parts:
            first = chosen[part.index.cpu()]
            for batches, chosen_here in ((pilot, first), (rest, ~first)):
                if chosen_here.any():
                    sides = part.clean.rows(chosen_here), part.corrupt.rows(chosen_here)
                    batches.append(PairBatch(*sides, part.index[chosen_here.to(part.index.device)]))
        return cls(top, pilot, rest)

    @property
    def parts(self) -> list[PairBatch]:
        """All pairs, each in one batch."""
        return [*self.pilot, *self.rest]

    def n_top(self, active: Sequence[int]) -> int:
        """The number of rows in the top; only rows with a downstream receiver (`active`) count."""
        return max(1, round(self.top * len(active)))

    def candidates(self, estimates: Float[Tensor, "pair row"], active: Sequence[int]) -> list[int]:
        """The indices of the rows of largest |mean estimate|, in ascending order."""
        size = estimates.mean(0)[list(active)].abs()
        order = size.argsort(descending=True, stable=True)[: CANDIDATES * self.n_top(active)]
        return sorted(active[i] for i in order.tolist())

    def survivors(
        self, estimates: Float[Tensor, "pair row"], pilot: dict[str, Tensor], candidates: Sequence[int], n_top: int
    ) -> list[int]:
        """The candidates whose interval of |effect| is not wholly below the intervals of `n_top` others.

        `pilot["effects"]` `[pair, row]` are exact effects, NaN for pairs outside the pilot.
        """
        exact = pilot["effects"][:, list(candidates)]
        measured = ~exact.isnan().any(1)
        estimate = estimates[:, list(candidates)]
        difference = (exact - estimate)[measured]
        size = (estimate.mean(0) + difference.mean(0)).abs()
        n = len(difference)
        error = WIDTH * difference.std(0) / n**0.5 if n > 1 else torch.full_like(size, float("inf"))
        bar = (size - error).sort(descending=True).values[n_top - 1]
        return [index for index, high in zip(candidates, (size + error).tolist(), strict=True) if high >= bar]
