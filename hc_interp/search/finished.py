"""Finished runs of a search in a folder, so that an interrupted search goes on where it stopped."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.errors import ResultError
from hc_interp.results import Result


@dataclass(frozen=True, eq=False)
class FinishedRun(Result):
    """One run: what was trained, how, and how its binary mask scores; `settings` is the digest of what shaped it."""

    settings: str
    sparsity: float
    seed: int
    log_alpha: Float[Tensor, " component"]
    history: pd.DataFrame
    exchanges: pd.DataFrame
    kl_per_example: Float[Tensor, " example"]
    agrees: Bool[Tensor, " example"]

    def to_frame(self) -> pd.DataFrame:
        return self.history.copy()


@dataclass(frozen=True)
class RunFolder:
    """A file for each finished run; files appear whole or not at all, so an interruption loses one run at most."""

    folder: Path
    settings: str

    def read(self, sparsity: float, seed: int) -> FinishedRun | None:
        """The run, None if it is not there. Raises `ResultError` for a run of another search or a file that is none."""
        path = self._path(sparsity, seed)
        others = [path] if path.exists() else sorted(self.folder.glob("run-*.json"))[:1]
        for other in others:
            found = FinishedRun.load(other)
            if found.settings != self.settings:
                raise ResultError(
                    f"{other} was written by a search of another model, data, means or settings; expected "
                    f"{self.settings}. Give resume= a folder of its own for each search, or delete this one to start "
                    "again."
                )
            if other == path:
                return found
        return None

    def write(self, run: FinishedRun) -> None:
        run.save(self._path(run.sparsity, run.seed))

    def _path(self, sparsity: float, seed: int) -> Path:
        return self.folder / f"run-sparsity-{float(sparsity)!r}-seed-{seed}.json"
