"""Pieces: parts of a computation that do not depend on each other, made here or by the workers of an executor.

**A piece** is a pure function of a small key and of what its `Work` holds (model, data, settings). Its store knows it
by its name and by the digest of everything that shaped the work, and keeps it as one file, whole and with a checksum.

**Where.** Without an executor this process makes the pieces. With one, the work is written once into the store, as a
`Parcel`, and a worker gets its address, a piece's name and its key. A worker keeps the work, its model and what the
pieces share between pieces. Either way a piece runs at the number of threads that the call names (1, unless it says
otherwise), so that the files are equal to the byte on one machine and version.

**Who.** A process takes a lease on a piece while it makes it. So two calls on one store share the work, and no piece is
made twice. A lease ends with its process.
"""

import os
import shutil
import socket
import tempfile
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

from hc_interp.errors import HCError, in_one_line
from hc_interp.progress import SILENT, Stage, silently
from hc_interp.records.lease import leased, wait_a_little
from hc_interp.records.parcel import Parcel, read_parcel
from hc_interp.records.provenance import versions
from hc_interp.records.result import Result
from hc_interp.records.store import Store
from hc_interp.records.threads import at_threads
from hc_interp.records.value_cache import ACTIVATIONS, ValueCache, cache_limit

Key = Any  # what tells one piece of a work from another: a seed, a block's number


class Bench(Protocol):
    """A work with everything ready that its pieces share, such as encoded data."""

    def make(self, key: Key, progress: Stage) -> Result:
        """The piece of a key. `progress` advances by the key's size meanwhile."""
        ...


class Work(Protocol):
    """A computation in pieces. A frozen dataclass that can be pickled, but for models, which go as files."""

    def bench(self, keys: Sequence[Key]) -> Bench:
        """Get ready for these keys, and for any others that come later."""
        ...

    def size(self, key: Key) -> int:
        """How far a piece advances the progress."""
        ...


class Executor(Protocol):
    """Anything that runs functions elsewhere: concurrent.futures, `dask.distributed.Client`, submitit, `hc.spread`."""

    def submit(self, fn: Any, /, *args: Any) -> Any:
        """A future: an object with `done()`, `result()` and `cancel()`."""
        ...


@dataclass(frozen=True)
class Runner:
    """Where pieces are made, in this process or by an executor, the number of threads of each, and the folder of the
    finished ones (None: nowhere), which may be `temporary`."""

    executor: Executor | None = None
    threads: int = 1
    folder: Path | None = None
    temporary: bool = False

    @classmethod
    def of(cls, executor: Executor | None, threads: int, resume: str | Path | None) -> "Runner":
        """Without `resume` the folder is the executor's `pieces`, if it has one (`hc.spread.slurm`: workers on other
        machines must see it), and otherwise, with an executor, a temporary one, which goes with the runner.

        Raises `HCError` for arguments without meaning.
        """
        if isinstance(threads, bool) or not isinstance(threads, Integral) or threads < 1:
            raise HCError(f"threads={threads!r} was given. Expected the number of threads of a piece, from 1.")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise HCError(
                f"executor={executor!r} was given. Expected an object with submit(function, *arguments), like "
                "hc.spread.processes(4), a concurrent.futures.ProcessPoolExecutor, a dask.distributed.Client or a "
                "submitit.AutoExecutor."
            )
        if executor is not None:
            cache_limit()  # refuses now what would be refused in the middle
            resume = getattr(executor, "pieces", None) if resume is None else resume
        if executor is None or resume is not None:
            return cls(executor, int(threads), None if resume is None else Path(resume))
        folder = Path(tempfile.mkdtemp(prefix="hc-interp-pieces-"))
        runner = cls(executor, int(threads), folder, temporary=True)
        weakref.finalize(runner, shutil.rmtree, folder, ignore_errors=True)
        return runner

    @property
    def kept(self) -> Path | None:
        """The folder, unless it is temporary: what a call does in its own process is worth keeping only in this one."""
        return None if self.temporary else self.folder

    @property
    def cache(self) -> ValueCache | None:
        """Where workers share activations. None without workers: one process computes them once."""
        if self.executor is None or self.folder is None:
            return None
        limit = cache_limit()
        return ValueCache(self.folder.absolute() / ACTIVATIONS, limit) if limit else None

    def clear_cache(self) -> None:
        """Remove what workers shared, when all pieces are made."""
        if self.cache is not None:
            self.cache.clear()

    @property
    def shaping(self) -> dict[str, int]:
        """What goes into the digest of a store. One thread, the default, adds nothing."""
        return {} if self.threads == 1 else {"threads": self.threads}


def make_here(
    work: Work, keys: Mapping[str, Key], store: Store | None, threads: int, progress: Stage
) -> Iterator[tuple[str, Result]]:
    """Make these pieces in this process, one after the other, and yield each with its name as it is finished.

    Pieces that another process makes at this time come last.
    """
    waiting, bench, skipped = deque(keys), None, 0
    while waiting:
        name = waiting.popleft()
        with at_threads(threads):
            if store is None:
                bench = work.bench(list(keys.values())) if bench is None else bench
                piece = bench.make(keys[name], progress)
            else:
                with leased(store.folder, name) as free:
                    piece = store.get(name, store.kind) if free else None
                    if piece is not None:
                        progress.advance(work.size(keys[name]))
                    elif free:
                        bench = work.bench([keys[item] for item in (name, *waiting)]) if bench is None else bench
                        piece = bench.make(keys[name], progress)
                        store.put(name, piece)
        if piece is None:
            waiting.append(name)
            skipped += 1
            if skipped >= len(waiting):
                wait_a_little()
                skipped = 0
            continue
        skipped = 0
        yield name, piece


@dataclass(frozen=True)
class Order:
    """What a worker is told: the pieces to make (name and key), where they go, and which attempt this is.

    `attempt` makes every submission different: some executors answer a call that they know from a cache.
    """

    store: Store
    parcel: Parcel
    pieces: tuple[tuple[str, Key], ...]
    threads: int
    versions: dict[str, str]
    attempt: str


@dataclass(frozen=True)
class Outcome:
    """What became of a piece in a worker. `error` is None for one that is in the store.

    A piece with a `mendable` error (an `HCError`) is not tried again, since it would fail again. `no_worker`: the error
    is the worker's, which can make no piece of this call.
    """

    name: str
    error: str | None = None
    mendable: bool = False
    no_worker: bool = False
    seconds: float = 0.0
    worker: str = ""


_one_at_a_time = threading.Lock()  # the number of threads, and a model's pass, belong to the whole process
_benches: "OrderedDict[str, tuple[Work, Bench]]" = OrderedDict()


def make_ordered(order: Order) -> list[Outcome]:
    """Make the pieces of an order in a worker."""
    if error := _other_versions(order.versions):
        return [Outcome("", error, no_worker=True)]
    with _one_at_a_time, silently():
        return [_made(order, name, key) for name, key in order.pieces]


def _made(order: Order, name: str, key: Key) -> Outcome:
    begun, worker = time.perf_counter(), f"process {os.getpid()} on {socket.gethostname()}"
    try:
        while not order.store.path(name).exists():
            with leased(order.store.folder, name) as free:
                if free and not order.store.path(name).exists():
                    with at_threads(order.threads):
                        order.store.put(name, _bench(order, key).make(key, SILENT))
            if not free:
                wait_a_little()
    except HCError as error:
        return Outcome(name, str(error), mendable=True, worker=worker)
    except Exception as error:  # whatever it is, the other pieces go on
        return Outcome(name, in_one_line(error), worker=worker)
    return Outcome(name, seconds=time.perf_counter() - begun, worker=worker)


def _bench(order: Order, key: Key) -> Bench:
    """The bench of an order's work. A process keeps the last one."""
    name = order.parcel.name
    if name not in _benches:
        _benches.clear()
        work = read_parcel(order.parcel)
        _benches[name] = work, work.bench([key])
    return _benches[name][1]


def _other_versions(expected: Mapping[str, str]) -> str | None:
    """What is wrong with a worker whose packages have other versions than the caller's. None: nothing is."""
    here = versions()
    other = next((name for name, version in expected.items() if here.get(name) != version), None)
    if other is None:
        return None
    return (
        f"A worker on {socket.gethostname()} has {other} {here.get(other, 'not installed')}, and this process has "
        f"{expected[other]}. Expected the same versions, so that pieces belong together. Start the workers in the "
        "environment of this process"
    )
