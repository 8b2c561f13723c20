"""`Dispatch`: hands pieces to the workers of an executor, tries lost ones again, and names those that fail."""

import secrets
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pickle import PicklingError
from queue import Empty, SimpleQueue
from typing import Any

from hc_interp.errors import HCError, in_one_line
from hc_interp.progress import Stage
from hc_interp.records.lease import remove_ended
from hc_interp.records.ledger import Ledger
from hc_interp.records.parcel import Parcel, write_parcel
from hc_interp.records.pieces import Executor, Key, Order, Outcome, Runner, Work, make_here, make_ordered
from hc_interp.records.provenance import versions
from hc_interp.records.result import Result
from hc_interp.records.store import Store

PACKAGE = "hc_interp"
PARCELS = "parcels"
LOSSES = 5  # how often a piece is tried again whose worker was lost (killed, preempted, out of time)
FAILURES = 1  # how often a piece is tried again that raised an error of another package
BARREN = 3  # how often all workers may end without having begun a piece
WINDOW = 1000  # pieces that are with the executor at a time
PATIENCE = 60.0  # seconds to wait for a file that a worker has written
POLL = 0.05, 2.0  # shortest and longest time between two looks at futures that do not report, in seconds


def make_missing(
    work: Work,
    keys: Mapping[str, Key],
    store: Store | None,
    runner: Runner,
    progress: Stage,
    parcel: Parcel | None = None,
) -> Iterator[tuple[str, Result]]:
    """Make the pieces of these names, here or by the runner's executor, and yield each with its name.

    With an executor all pieces are made first, and then read from the store one by one. `parcel` is that of the work,
    where an earlier call has written it. Raises `HCError` for what makes
    all pieces impossible, and at the end for pieces that failed; the others are kept then.
    """
    if runner.executor is None:
        yield from make_here(work, keys, store, runner.threads, progress)
        return
    assert store is not None
    if keys:
        Dispatch(work, dict(keys), store, runner.executor, runner.threads, progress, not runner.temporary, parcel).run()
    for name in keys:
        yield name, _read(store, name)


def _read(store: Store, name: str) -> Result:
    """A piece that a worker wrote. A network disk may show it some time later."""
    deadline = time.monotonic() + PATIENCE
    while (piece := store.get(name, store.kind)) is None:
        if time.monotonic() > deadline:
            raise HCError(
                f"A worker has written {store.path(name)}, but it is not there for this process. Give "
                f"{store.argument}= a folder on a disk that all workers and this process see under the same path."
            )
        time.sleep(POLL[1])
    return piece


@dataclass(eq=False)
class Dispatch:
    """The pieces of one call: those to submit, those with the executor, and those that failed."""

    work: Work
    keys: dict[str, Key]
    store: Store
    executor: Executor
    threads: int
    progress: Stage
    keeps: bool = True  # the store's folder stays after the call
    parcel: Parcel | None = None  # None: it is written first
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    failed: dict[str, str] = field(default_factory=dict)
    _queue: deque[str] = field(default_factory=deque)
    _with_executor: dict[Any, tuple[str, ...]] = field(default_factory=dict)
    _reported: SimpleQueue[Any] = field(default_factory=SimpleQueue)
    _silent: set[Any] = field(default_factory=set)  # futures that do not report that they are done
    _tries: dict[tuple[str, str], int] = field(default_factory=dict)
    _noticed: set[str] = field(default_factory=set)
    _submissions: int = 0
    _broken: bool = False  # the workers ended together since the last submission
    _alive: bool = True  # a piece was begun since the last submission
    _barren: int = 0  # how often the workers ended together without having begun a piece

    def run(self) -> None:
        self._check_dask()
        self.store = replace(self.store, folder=self.store.folder.absolute())  # workers may run in other folders
        self.parcel = self.parcel or write_parcel(self.store.folder / PARCELS, self.work)
        self.ledger = Ledger(self.store.folder)
        self.ledger.begin(self.store, list(self.keys))
        self._queue.extend(self.keys)
        try:
            while self._queue or self._with_executor:
                self._submit()
                for future in self._done():
                    self._take(future)
        except KeyboardInterrupt:
            self._cancel()
            raise KeyboardInterrupt(self._how_to_go_on("Interrupted")) from None
        except BaseException:
            self._cancel()
            raise
        finally:
            self.ledger.end(self.failed)
        if self.failed:
            raise HCError(self._what_failed())

    def _check_dask(self) -> None:
        """Raise `HCError` if a worker of a Dask client lacks the package: Dask would wait for its answers for ever."""
        client: Any = getattr(self.executor, "client", self.executor)
        if not (hasattr(client, "run") and hasattr(client, "scheduler_info")):
            return
        for worker, answer in client.run(import_module, PACKAGE, on_error="return").items():
            if isinstance(answer, Exception):
                what = f"The worker {worker} cannot import {PACKAGE} ({in_one_line(answer)})"
                raise HCError(f"{what}. Start the workers in the environment of this process.") from answer

    # What goes out

    def _submit(self) -> None:
        """Submit what is waiting, as one batch where the executor has batches (submitit's job arrays)."""
        room = WINDOW - len(self._with_executor)
        if not self._queue or room < min(len(self._queue), WINDOW // 2):
            return
        self._check_alive()
        n_jobs = getattr(self.executor, "n_jobs", None)  # adapters whose jobs take many pieces
        per_job = -(-len(self._queue) // n_jobs) if n_jobs else 1
        batch = getattr(self.executor, "batch", nullcontext)
        sent = []
        try:
            with batch():
                while self._queue and len(sent) < room:
                    names = tuple(self._queue.popleft() for _ in range(min(per_job, len(self._queue))))
                    sent.append((self.executor.submit(make_ordered, self._order(names)), names))
        except HCError:
            raise
        except Exception as error:  # every executor has its own
            raise HCError(self._how_to_go_on(f"The executor takes no work ({in_one_line(error)})")) from error
        for future, names in sent:
            self._with_executor[future] = names
            if hasattr(future, "add_done_callback"):
                future.add_done_callback(self._reported.put)
            else:
                self._silent.add(future)

    def _order(self, names: tuple[str, ...]) -> Order:
        self._submissions += 1
        pieces = tuple((name, self.keys[name]) for name in names)
        assert self.parcel is not None
        return Order(self.store, self.parcel, pieces, self.threads, versions(), f"{self.token}-{self._submissions}")

    # What comes back

    def _done(self) -> Iterator[Any]:
        """The futures that are done. Waits until there is one."""
        pause = POLL[0]
        while True:
            found = False
            for future in [future for future in self._silent if future.done()]:
                self._silent.remove(future)
                found = True
                yield future
            if self._silent:
                self._notice()
            with suppress(Empty):
                yield self._reported.get(timeout=0 if found else pause)
                found = True
                while True:
                    yield self._reported.get_nowait()
            if found:
                return
            pause = min(2 * pause, POLL[1])

    def _notice(self) -> None:
        """Advance the progress by pieces that are in the store although their job is not done."""
        for names in self._with_executor.values():
            for name in names if len(names) > 1 else ():
                if name not in self._noticed and self.store.path(name).exists():
                    self._advance(name, "")

    def _advance(self, name: str, worker: str) -> None:
        if name not in self._noticed:
            self._noticed.add(name)
            self.progress.advance(self.work.size(self.keys[name]))
            self.progress.part(f"{name}{worker and f' ({worker})'}")

    def _take(self, future: Any) -> None:
        """Take what a future gives: outcomes, or the reason for which its worker gave none."""
        names = self._with_executor.pop(future)
        try:
            outcomes = future.result()
        except (Exception, CancelledError) as error:  # every executor has its own
            self._lost(names, error)
            return
        self._alive = True
        for outcome in outcomes:
            self._taken(outcome)

    def _taken(self, outcome: Outcome) -> None:
        if outcome.error is None:
            self._advance(outcome.name, outcome.worker)
        elif outcome.no_worker:
            raise HCError(self._how_to_go_on(outcome.error))
        elif outcome.mendable:
            self.failed[outcome.name] = outcome.error
        else:
            self._tries[outcome.name, "failed"] = self._tries.get((outcome.name, "failed"), 0) + 1
            self._again(outcome.name, outcome.error, "failed", FAILURES)

    def _lost(self, names: tuple[str, ...], error: BaseException) -> None:
        """A worker ended without an answer. What it left unfinished is submitted again.

        When the workers of a pool end together, only pieces that they were making count as tried: those with a lease.
        """
        said = _with_causes(error)
        for package in (PACKAGE, "cloudpickle", "torch"):
            if f"No module named '{package}'" in said:
                how = "Start the workers in the environment of this process"
                raise HCError(self._how_to_go_on(f"A worker lacks {package}. {how}")) from error
        if isinstance(error, PicklingError) or "cannot pickle" in said:
            how = "Expected one that pickles a function of an installed package and its arguments"
            raise HCError(
                self._how_to_go_on(f"The executor cannot send a piece ({in_one_line(error)}). {how}")
            ) from error
        begun = remove_ended(self.store.folder)
        if isinstance(error, BrokenExecutor):
            self._broken, self._alive = True, self._alive or bool(begun)
            tried = begun & self.keys.keys()
        else:
            tried = set(names)
        for name in tried:
            self._tries[name, "lost"] = self._tries.get((name, "lost"), 0) + 1
        for name in names:
            if self.store.path(name).exists():
                self._advance(name, "")
            else:
                self._again(name, in_one_line(error), "lost", LOSSES)

    def _check_alive(self) -> None:
        """Raise `HCError` for workers that end again and again before they have begun a piece."""
        self._barren = self._barren + 1 if self._broken and not self._alive else 0
        if self._barren >= BARREN:
            raise HCError(
                self._how_to_go_on(
                    "All workers ended before they began. A script that starts processes does its work under "
                    '`if __name__ == "__main__":`; otherwise see what the workers printed'
                )
            )
        self._broken = self._alive = False

    def _again(self, name: str, error: str, how: str, most: int) -> None:
        """Submit a piece again, unless it has been tried too often."""
        tries = self._tries.get((name, how), 0)
        if tries > most:
            self.failed[name] = f"{how} {tries} times, at last: {error}"
        else:
            self._queue.append(name)

    # How it ends

    def _cancel(self) -> None:
        """Take back what no worker has begun. Pieces that are being made end by themselves, and are kept."""
        for future in self._with_executor:
            with suppress(Exception):  # a future that is done, or whose scheduler is gone
                future.cancel()

    def _n_there(self) -> int:
        return sum(self.store.path(name).exists() for name in self.keys)

    def _how_to_go_on(self, what: str) -> str:
        if not self.keeps:
            return f"{what}. Nothing is kept: give {self.store.argument}= a folder, and finished pieces stay there."
        return (
            f"{what}. {self._n_there()} of {len(self.keys)} pieces are in {self.store.folder}. The same call with the "
            f"same {self.store.argument}= makes the others."
        )

    def _what_failed(self) -> str:
        errors = list(dict.fromkeys(self.failed.values()))
        shown = ", ".join(list(self.failed)[:3]) + (f" and {len(self.failed) - 3} more" if len(self.failed) > 3 else "")
        others = "" if len(errors) == 1 else f" (and {len(errors) - 1} other errors; hc-interp status has them)"
        failed = f"{len(self.failed)} of {len(self.keys)} pieces could not be made: {shown}. {errors[0]}"
        if not self.keeps:
            return self._how_to_go_on(failed.rstrip("."))
        return (
            f"{failed}{others} The other {len(self.keys) - len(self.failed)} are in {self.store.folder}; the same call "
            "tries these again."
        )


def _with_causes(error: BaseException | None) -> str:
    """The messages of an error and of those that led to it: an executor may wrap a worker's error in its own."""
    messages = []
    while error is not None and len(messages) < 10:
        messages.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(messages)
