"""One sample: chains cool down to the bounds while the surrogate learns, then they are recorded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.progress import Stage
from hc_interp.search.sampling.chains import Chains
from hc_interp.search.sampling.evaluator import MeasuredLosses
from hc_interp.search.sampling.levels import Level
from hc_interp.search.sampling.starts import random_masks, swaps_away
from hc_interp.search.sampling.store import SampleFolder, SavedBlock
from hc_interp.search.sampling.surrogate import LossSurrogate

BLOCK = 10  # sweeps between two files, and between two fits of the surrogate in the warm-up
COOLING = 0.6  # share of the warm-up in which the bounds are tempered
HOTTEST, COLDEST = 0.5, 0.03  # temperatures of the bounds at the start and at the end of the cooling
FIRST_SWAPS = 3  # of a surrogate move, before they are tuned
LEARNT_AT_FIRST = 1  # masks near the starts, and as many random ones, measured first, in multiples of the components


@dataclass(eq=False)
class SampleRun:
    """The warm-up and the recorded sweeps of all chains; blocks that `folder` has are taken from it.

    `moved` counts, for each bound, the chains that the cooling did not bring inside it.
    """

    measured: MeasuredLosses
    levels: tuple[Level, ...]
    starts: Bool[np.ndarray, "chain component"]
    best: Bool[np.ndarray, " component"]
    seed: int
    folder: SampleFolder | None = None
    moved: dict[float, int] = field(default_factory=dict)

    def warm_up(self, n_blocks: int, progress: Stage) -> tuple[Chains, LossSurrogate]:
        """Chains at their levels, and the surrogate that stays fixed from now on.

        The bounds begin as tempered levels that grow colder. What is then still outside its bound goes to the nearest
        measured mask inside; there is at least the best one.
        """
        n_chains, n = self.starts.shape
        rng = np.random.default_rng([self.seed, 2])
        n_kept = int(self.best.sum())
        some = self.starts[rng.integers(n_chains, size=LEARNT_AT_FIRST * n)]
        most = max(1, min(n_kept, n - n_kept) // 2)
        near = [swaps_away(mask, int(rng.integers(1, most + 1)), rng) for mask in some]
        self.measured(np.stack([self.best, *self.starts, *near, *random_masks(LEARNT_AT_FIRST * n, n, n_kept, rng)]))
        masks = np.repeat(self.starts[:, None], len(self.levels), axis=1)
        losses = self.measured(masks.reshape(-1, n)).reshape(masks.shape[:2])
        chains = Chains(self.levels, masks, losses, np.full(len(self.levels), FIRST_SWAPS))
        cooling = max(1, round(COOLING * n_blocks))
        for number in range(n_blocks):
            heat = HOTTEST * (COLDEST / HOTTEST) ** (number / max(1, cooling - 1))
            cooled = tuple(replace(level, temperature=max(level.temperature, heat)) for level in self.levels)
            chains.levels = cooled if number < cooling else self.levels
            if number == cooling:
                self._move_inside(chains)
            self._block(number, chains, self.surrogate, progress, learn=True)
        if n_blocks <= cooling:
            chains.levels = self.levels
            self._move_inside(chains)
        return chains, self.surrogate()

    def record(
        self, chains: Chains, surrogate: LossSurrogate, first: int, n_blocks: int, progress: Stage
    ) -> list[SavedBlock]:
        """The recorded blocks; `first` is the number of the first one."""
        return [self._block(first + i, chains, lambda: surrogate, progress, learn=False) for i in range(n_blocks)]

    def surrogate(self) -> LossSurrogate:
        masks, losses = self.measured.table(self.starts.shape[1])
        return LossSurrogate.fit(masks, losses, self.levels[0].bound)

    def _block(
        self, number: int, chains: Chains, surrogate: Callable[[], LossSurrogate], progress: Stage, learn: bool
    ) -> SavedBlock:
        done = None if self.folder is None else self.folder.block(number)
        if done is None:
            done = self._swept(number, chains, surrogate(), learn, progress)
            if self.folder is not None:
                self.folder.write_block(number, done)
        else:
            self.measured.remember(done.new_masks.numpy(), done.new_losses.numpy(), done.runs)
            chains.masks, chains.losses = done.masks[-1].numpy().copy(), done.losses[-1].numpy().copy()
            chains.swaps = done.swaps.numpy().copy()
            progress.advance(len(done.masks))
        progress.part(f"block {number}")
        return done

    def _swept(self, number: int, chains: Chains, surrogate: LossSurrogate, learn: bool, progress: Stage) -> SavedBlock:
        known, runs = len(self.measured.known), self.measured.runs
        kept = []
        for sweep in range(number * BLOCK, (number + 1) * BLOCK):
            accepted, exchanged = chains.sweep(self.measured, surrogate, sweep, self.seed, learn)
            kept.append((chains.masks.copy(), chains.losses.copy(), accepted, exchanged))
            progress.advance()
        masks, losses, accepted, exchanged = (torch.from_numpy(np.stack(part)) for part in zip(*kept, strict=True))
        if learn:
            chains.tune(accepted.numpy().mean(0))
        new_masks, new_losses = (part[known:] for part in self.measured.table(self.starts.shape[1]))
        return SavedBlock(
            masks, losses, accepted, exchanged, torch.from_numpy(chains.swaps.copy()),
            torch.from_numpy(new_masks.copy()), torch.from_numpy(new_losses.copy()), self.measured.runs - runs,
        )  # fmt: skip

    def _move_inside(self, chains: Chains) -> None:
        masks, losses = self.measured.table(self.starts.shape[1])
        for i, level in enumerate(chains.levels):
            if level.temperature > 0:
                continue
            inside = losses <= level.bound
            outside = np.flatnonzero(chains.losses[:, i] > level.bound)
            self.moved[level.bound] = len(outside)
            for chain in outside:
                nearest = (masks[inside] != chains.masks[chain, i]).sum(1).argmin()
                chains.masks[chain, i] = masks[inside][nearest]
                chains.losses[chain, i] = losses[inside][nearest]


def at_bounds(
    blocks: Sequence[SavedBlock], n_bounds: int
) -> tuple[Bool[Tensor, "bound chain draw component"], Float[Tensor, "bound chain draw"]]:
    """The masks and losses of the recorded blocks at the bounds, from the tightest one to the loosest."""
    masks = torch.cat([block.masks for block in blocks])[:, :, -n_bounds:]
    losses = torch.cat([block.losses for block in blocks])[:, :, -n_bounds:]
    return masks.permute(2, 1, 0, 3).flip(0).contiguous(), losses.permute(2, 1, 0).flip(0).contiguous()


def acceptance(blocks: Sequence[SavedBlock], run: SampleRun) -> pd.DataFrame:
    """A row for each level, from hot to cold: its moves, how often these and exchanges with the next level were
    accepted, and how many chains were moved inside the bound after the cooling."""
    levels = run.levels
    exchanged = torch.cat([block.exchanged for block in blocks]).nanmean(0).tolist()
    return pd.DataFrame(
        {
            "bound": [level.bound for level in levels],
            "temperature": [level.temperature for level in levels],
            "swaps": blocks[0].swaps.tolist(),
            "accepted": torch.cat([block.accepted for block in blocks]).mean(0).tolist(),
            "exchanged": [*exchanged, float("nan")],
            "moved": [0 if level.temperature > 0 else run.moved.get(level.bound, 0) for level in levels],
        }
    )
