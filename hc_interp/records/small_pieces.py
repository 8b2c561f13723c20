"""`SmallPieces`: pieces of one work that are asked for again and again, and are not kept once they were read."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hc_interp.progress import SILENT
from hc_interp.records.dispatch import PARCELS, make_missing
from hc_interp.records.ledger import LEDGER
from hc_interp.records.parcel import Parcel, write_parcel
from hc_interp.records.pieces import Key, Runner, Work
from hc_interp.records.result import Result
from hc_interp.records.store import Store


@dataclass(eq=False)
class SmallPieces:
    """What workers measure for a computation that goes on in this process. The work is written for them once.

    A context, whose end removes the folder of `store`.
    """

    work: Work
    store: Store
    runner: Runner
    _parcel: Parcel | None = None

    def make(self, keys: Mapping[str, Key]) -> dict[str, Any]:
        """The pieces of these names."""
        if self._parcel is None:
            self._parcel = write_parcel(self.store.folder.absolute() / PARCELS, self.work)
        pieces: dict[str, Result] = dict(make_missing(self.work, keys, self.store, self.runner, SILENT, self._parcel))
        for name in keys:
            self.store.path(name).unlink(missing_ok=True)
        (self.store.folder / LEDGER).unlink(missing_ok=True)
        return {name: pieces[name] for name in keys}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.store.folder, ignore_errors=True)


def answer_at_once(runner: Runner) -> bool:
    """Whether there are workers that begin small pieces at once.

    Jobs of an array wait in a queue; executors that have arrays have `batch`.
    """
    return runner.executor is not None and not hasattr(runner.executor, "batch")
