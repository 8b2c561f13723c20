"""The rounds of all searches, true and permuted: propose masks, measure their losses, score those near the bound."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float

from hc_interp.extremes.labelings import Labelings
from hc_interp.extremes.proposals import Measured, proposals
from hc_interp.extremes.store import ExtremesFolder, SavedRound
from hc_interp.progress import Stage
from hc_interp.search.sampling.evaluator import MeasuredLosses
from hc_interp.search.sampling.starts import random_masks, swaps_away
from hc_interp.search.sampling.surrogate import LossSurrogate

Masks = Bool[np.ndarray, "mask component"]


@dataclass(eq=False)
class Rounds:
    """All searches side by side. What one of them measures, all of them can take as their end.

    Every mask's loss is measured. Masks of a loss of at most `scored_to` are scored: those above `bound` are no
    candidates, but the surrogates learn from them. `score` gives the scores of the select rows under each mask.
    """

    measured: MeasuredLosses
    score: Callable[[Masks], Float[np.ndarray, "mask row"]]
    labelings: Labelings
    bound: float
    scored_to: float
    seed: int
    folder: ExtremesFolder | None = None
    separations: dict[bytes, Float[np.ndarray, " labeling"]] = field(default_factory=dict)

    def run(self, starts: Masks, best: Bool[np.ndarray, " component"], n_rounds: int, progress: Stage) -> Measured:
        """Round 0 measures the starts, masks near the best one, and random ones; then `n_rounds` of proposals."""
        for number in range(n_rounds + 1):
            done = None if self.folder is None else self.folder.round(number)
            if done is None:
                rng = np.random.default_rng([self.seed, 9, number])
                masks = _first(starts, best, rng) if number == 0 else self._proposed(rng)
                done = self._measured(masks)
                if self.folder is not None:
                    self.folder.write_round(number, done)
            self.measured.remember(done.masks.numpy(), done.losses.numpy(), 0)
            scored = done.masks[done.scored].numpy()
            self.separations |= {
                mask.tobytes(): row for mask, row in zip(scored, done.separations.numpy(), strict=True)
            }
            progress.advance()
            progress.part(f"round {number}")
        return self.known()

    def known(self) -> Measured:
        """All masks that were scored, in the order in which they were."""
        n = len(next(iter(self.separations)))
        masks = np.frombuffer(b"".join(self.separations), dtype=bool).reshape(-1, n)
        within = self.measured(masks) <= self.bound
        return Measured(masks, within, np.stack(list(self.separations.values())))

    def _proposed(self, rng: np.random.Generator) -> Masks:
        known = self.known()
        loss = LossSurrogate.fit(*self.measured.table(known.masks.shape[1]), self.bound)
        return proposals(known, loss, self.bound, rng)

    def _measured(self, masks: Masks) -> SavedRound:
        losses = self.measured(masks) if len(masks) else np.empty(0)
        scored = losses <= self.scored_to
        separations = self.labelings.separations(self.score(masks[scored]))
        parts = (masks, losses, scored, separations)
        return SavedRound(*(torch.from_numpy(np.array(part)) for part in parts))


def _first(starts: Masks, best: Bool[np.ndarray, " component"], rng: np.random.Generator) -> Masks:
    n, n_kept = len(best), int(best.sum())
    most = max(1, min(n_kept, n - n_kept) // 2)
    near = [swaps_away(best, 1 + i * most // (2 * n), rng) for i in range(2 * n)]
    masks = [best, *starts, *near, *random_masks(n, n, n_kept, rng)]
    return np.stack(list({mask.tobytes(): mask for mask in masks}.values()))
