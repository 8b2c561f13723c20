"""`ExactSelection`: which estimated rows are measured exactly, and on how many pairs before they are dropped."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.align import PairBatch
from hc_interp.errors import HCError
from hc_interp.patching.sweep import Sweep

# How many times the wanted rows are candidates (on minilm-nli 99 % of the exact top 5 % are among twice as many by
# estimate), the share of pairs that they are first measured on, and the width of an interval in standard errors.
CANDIDATES, PILOT, WIDTH = 2, 0.25, 3.0
FEWEST = 8  # pairs in the pilot: fewer say nothing about a spread


@dataclass(frozen=True)
class ExactSelection:
    """Candidates run on some pairs first; those that are surely outside the top there do not run on the others.

    The exact mean of a candidate is predicted as its estimate's mean over all pairs, plus the mean difference of exact
    and estimate over the pilot pairs, give or take that difference's standard error: the estimate is a control variate,
    so a few pairs say much.
    """

    top: float
    pilot: list[PairBatch]
    rest: list[PairBatch]

    @classmethod
    def of(cls, sweep: Sweep, top: float, seed: int) -> "ExactSelection":
        """Pilot pairs are drawn by `seed` over all pairs. Raises `HCError` for a share outside 0 to 1."""
        if not 0 < top <= 1:
            raise HCError(f"top={top}; expected a share of the paths above 0 and at most 1, like 0.05.")
        n = len(sweep.encoded)
        chosen = torch.zeros(n, dtype=torch.bool)
        size = min(n, max(FEWEST, round(PILOT * n)))
        chosen[torch.from_numpy(np.random.default_rng(seed).permutation(n)[:size].copy())] = True
        pilot, rest = [], []
        for part in sweep.parts:
            first = chosen[part.index.cpu()]
            for side, where in ((pilot, first), (rest, ~first)):
                if where.any():
                    on = where.to(part.index.device)
                    side.append(
                        PairBatch(part.clean.rows(where), part.corrupt.rows(where), part.gold[on], part.index[on])
                    )
        return cls(top, pilot, rest)

    @property
    def parts(self) -> list[PairBatch]:
        return [*self.pilot, *self.rest]

    def wanted(self, active: Sequence[int]) -> int:
        return max(1, round(self.top * len(active)))

    def candidates(self, estimates: Float[Tensor, "pair row"], active: Sequence[int]) -> list[int]:
        """The rows of largest |mean estimate|."""
        size = estimates.mean(0)[list(active)].abs()
        order = size.argsort(descending=True, stable=True)[: CANDIDATES * self.wanted(active)]
        return sorted(active[i] for i in order.tolist())

    def survivors(
        self, estimates: Float[Tensor, "pair row"], pilot: dict[str, Tensor], candidates: Sequence[int], wanted: int
    ) -> list[int]:
        """The candidates whose interval of |effect| is not wholly below that of as many others as are wanted."""
        exact = pilot["effects"][:, list(candidates)]
        seen = ~exact.isnan().any(1)
        guess = estimates[:, list(candidates)]
        difference = (exact - guess)[seen]
        size = (guess.mean(0) + difference.mean(0)).abs()
        n = len(difference)
        error = WIDTH * difference.std(0) / n**0.5 if n > 1 else torch.full_like(size, float("inf"))
        bar = (size - error).sort(descending=True).values[wanted - 1]
        return [place for place, high in zip(candidates, (size + error).tolist(), strict=True) if high >= bar]
