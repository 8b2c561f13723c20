"""Finished parts of a sample in a folder, so that an interrupted sample goes on and gives the same masks."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.records.result import Result
from hc_interp.records.store import Store


@dataclass(frozen=True, eq=False)
class SavedStarts(Result):
    """The masks where chains begin, the best mask with its loss, and how epsilon was chosen."""

    masks: Bool[Tensor, "chain component"]
    best: Bool[Tensor, " component"]
    best_loss: float
    epsilon: float
    chosen_by: dict[str, float]

    def to_frame(self) -> pd.DataFrame:
        """A row per chain: chain, and the number of components by which its start differs from the best mask."""
        return pd.DataFrame({"chain": range(len(self.masks)), "differs": (self.masks != self.best).sum(1).tolist()})


@dataclass(frozen=True, eq=False)
class SavedBlock(Result):
    """A block of sweeps: its masks and losses at every level after each sweep, and what it measured for the first time.

    `accepted` and `exchanged` are shares, one row for each sweep. `swaps` are those that the next block's moves have.
    """

    masks: Bool[Tensor, "sweep chain level component"]
    losses: Float[Tensor, "sweep chain level"]
    accepted: Float[Tensor, "sweep level"]
    exchanged: Float[Tensor, "sweep pair"]
    swaps: Int[Tensor, " level"]
    new_masks: Bool[Tensor, "mask component"]
    new_losses: Float[Tensor, " mask"]
    runs: int

    def to_frame(self) -> pd.DataFrame:
        """A row per sweep: the share of moves accepted at each level."""
        return pd.DataFrame(self.accepted.numpy()).add_prefix("accepted_at_level_")


@dataclass(frozen=True, eq=False)
class SavedRepair(Result):
    """The repairs of one component: how many there were, and what they measured for the first time."""

    repairs: int
    new_masks: Bool[Tensor, "mask component"]
    new_losses: Float[Tensor, " mask"]
    runs: int

    def to_frame(self) -> pd.DataFrame:
        """A row per mask: loss."""
        return pd.DataFrame({"loss": self.new_losses.tolist()})


@dataclass(frozen=True)
class SampleFolder(Store):
    """A file for the starts, and one for each block of sweeps."""

    work: ClassVar[str] = "sample"
    shaped_by: ClassVar[str] = "model, data, means or settings"
    piece: ClassVar[str] = "block"
    kind: ClassVar[type[Result]] = SavedBlock

    def starts(self) -> SavedStarts | None:
        return self.get("starts", SavedStarts)

    def write_starts(self, starts: SavedStarts) -> None:
        self.put("starts", starts)

    def block(self, number: int) -> SavedBlock | None:
        return self.get(f"block-{number:05d}", SavedBlock)

    def write_block(self, number: int, block: SavedBlock) -> None:
        self.put(f"block-{number:05d}", block)


@dataclass(frozen=True)
class SavedRepairs:
    """The repairs that follow so many blocks of a sample; after other blocks they would begin elsewhere."""

    folder: SampleFolder
    blocks: int

    def of(self, component: int) -> SavedRepair | None:
        return self.folder.get(self._name(component), SavedRepair)

    def write(self, component: int, repair: SavedRepair) -> None:
        self.folder.put(self._name(component), repair)

    def _name(self, component: int) -> str:
        return f"repair-{self.blocks:05d}-{component:04d}"
