"""`SmallPieces`: pieces of one work that are asked for again and again, and are not kept once they were read."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from hc_interp.progress import SILENT
from hc_interp.records.digest import digest
from hc_interp.records.dispatch import PARCELS, make_missing
from hc_interp.records.ledger import LEDGER
from hc_interp.records.parcel import Parcel, write_parcel
from hc_interp.records.pieces import Key, Runner, Work
from hc_interp.records.result import Result
from hc_interp.records.store import Store


@dataclass(frozen=True, eq=False)
class Measured(Result):
    """The numbers of one piece."""

    values: Float[Tensor, "row column"]

    def to_frame(self) -> pd.DataFrame:
        """The numbers as they are."""
        return pd.DataFrame(self.values.numpy())


class MeasuredStore(Store):
    """A file for the numbers of each piece, which is removed when it is read."""

    work: ClassVar[str] = "measurement"
    shaped_by: ClassVar[str] = "model, data, means or settings"
    piece: ClassVar[str] = "measured"
    kind: ClassVar[type[Result]] = Measured


@dataclass(eq=False)
class SmallPieces:
    """What workers measure for a computation that goes on in this process. The work is written for them once.

    A context, whose end removes the folder of `store`.
    """

    work: Work
    store: MeasuredStore
    runner: Runner
    _parcel: Parcel | None = None

    def make(self, keys: Sequence[Key]) -> list[Tensor]:
        """The numbers of the pieces of these keys, `[row, column]` each."""
        named = {f"{self.store.piece}-{digest(key)}": key for key in keys}
        if self._parcel is None:
            self._parcel = write_parcel(self.store.folder.absolute() / PARCELS, self.work)
        pieces: dict[str, Any] = dict(make_missing(self.work, named, self.store, self.runner, SILENT, self._parcel))
        for name in named:
            self.store.path(name).unlink(missing_ok=True)
        (self.store.folder / LEDGER).unlink(missing_ok=True)
        return [pieces[name].values for name in named]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.store.folder, ignore_errors=True)


def answer_at_once(runner: Runner) -> bool:
    """Whether there are workers that begin small pieces at once.

    Jobs of an array wait in a queue; executors that have arrays have `batch`.
    """
    return runner.executor is not None and not hasattr(runner.executor, "batch")
