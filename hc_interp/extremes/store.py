"""Finished rounds of a search for extremes in a folder, so that an interrupted search goes on to the same ends."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.records.result import Result
from hc_interp.search.sampling.store import SampleFolder


@dataclass(frozen=True, eq=False)
class SavedRound(Result):
    """What one round measured: masks with their losses, and the separations of those that were `scored`, in order."""

    masks: Bool[Tensor, "mask component"]
    losses: Float[Tensor, " mask"]
    scored: Bool[Tensor, " mask"]
    separations: Float[Tensor, "scored labeling"]

    def to_frame(self) -> pd.DataFrame:
        """A row per mask: loss, scored."""
        return pd.DataFrame({"loss": self.losses.tolist(), "scored": self.scored.tolist()})


@dataclass(frozen=True)
class ExtremesFolder(SampleFolder):
    """A file for the starts, which are those of a sample, and one for each round."""

    work: ClassVar[str] = "search"
    shaped_by: ClassVar[str] = "model, data, task, means or settings"
    piece: ClassVar[str] = "round"
    kind: ClassVar[type[Result]] = SavedRound

    def round(self, number: int) -> SavedRound | None:
        return self.get(f"round-{number:05d}", SavedRound)

    def write_round(self, number: int, done: SavedRound) -> None:
        self.put(f"round-{number:05d}", done)
