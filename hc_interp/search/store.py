"""Finished runs of a search in a folder, so that an interrupted search goes on where it stopped."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.errors import HCError, ResultError
from hc_interp.records.result import Result


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

    def check_writable(self) -> None:
        """Raise `HCError` where runs could not be written, before there are any to lose. Leaves nothing behind."""
        there = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            raise HCError(
                f"{self.folder} cannot keep finished runs ({error.strerror or error}). Give resume= a folder that you "
                "may write to."
            ) from error

    def read(self, sparsity: float, seed: int) -> FinishedRun | None:
        """The run, None if it is not there. Raises `ResultError` for a run of another search or a file that is none."""
        path = self._path(sparsity, seed)
        others = [path] if path.exists() else sorted(self.folder.glob("run-*.json"))[:1]
        for other in others:
            found = _loaded(other)
            if found.settings != self.settings:
                raise ResultError(
                    f"{other} was written by a search of another model, data, means or settings; expected "
                    f"{self.settings}. Give resume= a folder of its own for each search, or delete this one to start "
                    "again."
                )
            if other == path:
                if (found.sparsity, found.seed) != (sparsity, seed):
                    raise ResultError(
                        f"{path} holds the run of sparsity {found.sparsity:g} and seed {found.seed}: it was renamed or "
                        "copied. Delete this file, and the run is made again."
                    )
                return found
        return None

    def write(self, run: FinishedRun) -> None:
        run.save(self._path(run.sparsity, run.seed))

    def _path(self, sparsity: float, seed: int) -> Path:
        return self.folder / f"run-sparsity-{float(sparsity)!r}-seed-{seed}.json"


def _loaded(path: Path) -> FinishedRun:
    try:
        return FinishedRun.load(path)
    except ResultError as error:
        raise ResultError(
            f"{path} cannot be read as a finished run ({error.__cause__ or error}). Delete this file, and the run is "
            "made again."
        ) from error
