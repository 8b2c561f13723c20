"""Finished runs of a search in a folder, so that an interrupted search can be resumed."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.errors import ResultError
from hc_interp.records.result import Result
from hc_interp.records.store import Store


@dataclass(frozen=True, eq=False)
class FinishedRun(Result):
    """One run: its trained `log_alpha`, the history of training and swaps, and the scores of its binary mask."""

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
class RunFolder(Store):
    """A file for each finished run of a search."""

    work: ClassVar[str] = "search"
    shaped_by: ClassVar[str] = "model, data, means or settings"
    piece: ClassVar[str] = "run"
    kind: ClassVar[type[Result]] = FinishedRun

    def read(self, sparsity: float, seed: int) -> FinishedRun | None:
        """The run, or None if it has no file. Raises `ResultError` for a file that does not hold this run."""
        name = run_name(sparsity, seed)
        run = self.get(name, FinishedRun)
        if run is not None and (run.sparsity, run.seed) != (sparsity, seed):
            raise ResultError(
                f"{self.path(name)} holds the run of sparsity {run.sparsity:g} and seed {run.seed}: it was renamed or "
                "copied. Delete this file, and the run is made again."
            )
        return run

    def write(self, run: FinishedRun) -> None:
        self.put(run_name(run.sparsity, run.seed), run)


def run_name(sparsity: float, seed: int) -> str:
    """The name of a run's file."""
    return f"run-sparsity-{float(sparsity)!r}-seed-{seed}"
