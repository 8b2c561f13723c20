"""Small works in pieces, which worker processes can import, and executors that do what users' executors do."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd
import torch

from hc_interp.errors import SearchError
from hc_interp.progress import Stage
from hc_interp.records.result import Result
from hc_interp.records.store import Store
from hc_interp.records.value_cache import ValueCache


@dataclass(frozen=True, eq=False)
class SquareNumber(Result):
    value: float
    threads: int

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({"value": [self.value]})


class SquareStore(Store):
    work: ClassVar[str] = "squaring"
    shaped_by: ClassVar[str] = "numbers"
    piece: ClassVar[str] = "square"
    kind: ClassVar[type[Result]] = SquareNumber


@dataclass(frozen=True, eq=False)
class Squares:
    """The squares of some numbers. `trouble` says what goes wrong with a number, which leaves a mark in `folder`."""

    numbers: torch.Tensor
    trouble: dict[int, str] = field(default_factory=dict)
    folder: Path | None = None

    def bench(self, keys: Sequence[int]) -> Self:
        return self

    def size(self, key: int) -> int:
        return 1

    def make(self, key: int, progress: Stage) -> SquareNumber:
        progress.advance()
        match self.trouble.get(key):
            case "mendable":
                raise SearchError(f"number {key} is wrong. Choose another.")
            case "bug":
                raise ValueError(f"number {key} has a bug")
            case "killed once":
                mark = (self.folder or Path()) / f"killed-{key}"
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return SquareNumber(float(self.numbers[key]) ** 2, torch.get_num_threads())

    @property
    def keys(self) -> dict[str, int]:
        return {f"square-{number:03d}": number for number in range(len(self.numbers))}


def seen_together(folder: Path, n: int) -> tuple[str, int]:
    """The GPUs and the threads that a worker has. It answers when `n` workers ask, so that each of them does."""
    (folder / f"here-{os.getpid()}").touch()
    while len(list(folder.glob("here-*"))) < n:
        time.sleep(0.02)
    return os.environ["CUDA_VISIBLE_DEVICES"], torch.get_num_threads()


def read_kept(cache: ValueCache, name: str) -> float:
    """The sum of the values "a" of this name, which are there."""
    return float(cache.kept(name, dict)["a"].sum())


class Inline:
    """Runs work when it is submitted, and answers with a future of `concurrent.futures`.

    `lost` says of each submission, by its number, with which error its worker is lost (None: not at all). `pieces` is
    the folder of pieces that the executor brings (None: it brings none).
    """

    def __init__(
        self, lost: Callable[[int], BaseException | None] = lambda number: None, pieces: Path | None = None
    ) -> None:
        self.lost, self.submitted, self.pieces = lost, 0, pieces
        self.orders: list[Any] = []

    def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.submitted += 1
        self.orders += args
        if (error := self.lost(self.submitted)) is not None:
            future.set_exception(error)
        else:
            future.set_result(fn(*args))
        return future


class Job:
    """A job of submitit: it is done when the cluster says so, and tells nobody."""

    def __init__(self, fn: Any, args: Any) -> None:
        self.call, self.asked, self.cancelled = (fn, args), 0, False

    def done(self) -> bool:
        self.asked += 1
        return self.asked > 2

    def result(self) -> Any:
        return self.call[0](*self.call[1])

    def cancel(self, check: bool = True) -> None:
        self.cancelled = True


class Jobs:
    """An executor of submitit: jobs of one `batch()` are one array."""

    def __init__(self) -> None:
        self.arrays: list[list[Job]] = []
        self._open = False

    @contextmanager
    def batch(self) -> Iterator[None]:
        self._open = True
        self.arrays.append([])
        yield
        self._open = False

    def submit(self, fn: Any, /, *args: Any) -> Job:
        assert self._open
        self.arrays[-1].append(Job(fn, args))
        return self.arrays[-1][-1]
