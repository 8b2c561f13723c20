"""What spreading costs and gains: overhead a piece, speed-up of two workers, and the gathering of many pieces.

    python experiments/benchmarks/spread.py --on processes              # or dask, or submitit (its local executor)
    python experiments/benchmarks/spread.py --on processes --kill 5     # a worker is killed by SIGKILL five times
    python experiments/benchmarks/spread.py --gather 100000

Overhead: the wall time of many empty pieces on one warm worker, divided by their number. Speed-up: a search and a sweep
of the zoo's model, on one warm worker and on two; workers have one thread and are spawned. The files of every run are
compared with those of a call without an executor, byte by byte.
"""

import argparse
import os
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd

import hc_interp as hc
from hc_interp.progress import SILENT, Stage
from hc_interp.records.dispatch import make_missing
from hc_interp.records.lease import leases
from hc_interp.records.pieces import Runner
from hc_interp.records.result import Result
from hc_interp.records.store import Store

EMPTY = 200  # pieces that do nothing, of which the overhead is measured
REPEATS = 3  # of the speed-up, of which the median is reported
PAIRS, SEEDS, STEPS = 192, 8, 20


@dataclass(frozen=True, eq=False)
class Nothing(Result):
    """A piece that takes no time."""

    number: int

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({"number": [self.number]})


class NothingStore(Store):
    work: ClassVar[str] = "benchmark"
    shaped_by: ClassVar[str] = "nothing"
    piece: ClassVar[str] = "nothing"
    kind: ClassVar[type[Result]] = Nothing


@dataclass(frozen=True, eq=False)
class Nothings:
    """Pieces that take no time, or `seconds` each."""

    seconds: float = 0.0

    def bench(self, keys: Sequence[int]) -> Self:
        return self

    def size(self, key: int) -> int:
        return 1

    def make(self, key: int, progress: Stage) -> Nothing:
        time.sleep(self.seconds)
        return Nothing(key)


@contextmanager
def workers(on: str, n: int, folder: Path) -> Iterator[Any]:
    if on == "processes":
        with hc.spread.processes(n) as executor:
            yield executor
    elif on == "dask":
        with hc.spread.dask(n) as executor:
            yield executor
    else:
        yield hc.spread.slurm(n, folder, cluster="local")


def empty(executor: Any, folder: Path, n: int, seconds: float = 0.0) -> float:
    """The wall time of `n` pieces."""
    keys = {f"nothing-{i:06d}": i for i in range(n)}
    begun = time.perf_counter()
    for _ in make_missing(Nothings(seconds), keys, NothingStore(folder, "settings"), Runner(executor), SILENT):
        pass
    return time.perf_counter() - begun


def real(executor: Any, folder: Path) -> tuple[float, float]:
    """The wall times of a search (a piece is a seed) and of a sweep (a piece is 12 senders on a batch of pairs)."""
    model = hc.load("zoo:minilm-nli")
    task = hc.load_task("overlap-grammar")
    pairs = task.contrast_pairs("lexical_overlap_ln_subject/object_swap", kind="order", split="test").sample(PAIRS, 0)
    means = hc.mean_activations(model, task.train.sample(64, 0))
    begun = time.perf_counter()
    train = task.train.sample(512, 0)
    hc.search_masks(
        model, train, 0.5, SEEDS, means, steps=STEPS, resume=folder / "search", executor=executor
    ).save(folder / "search.json")  # fmt: skip
    searched = time.perf_counter()
    hc.path_effects(
        model, pairs, "heads", ["L4H1", "L5H0", "L5H6"], resume=folder / "sweep", executor=executor, memory_mib=256
    ).save(folder / "sweep.json")  # fmt: skip
    return searched - begun, time.perf_counter() - searched


def speed_up(what: str, one: Sequence[float], two: Sequence[float]) -> None:
    """Print the medians, and how many times as fast two workers are."""
    median = [statistics.median(times) for times in (one, two)]
    print(f"{what}: one worker {median[0]:.1f} s, two {median[1]:.1f} s", end="")
    print(f": {median[0] / median[1]:.2f} times as fast (medians of {len(one)})")


def same(here: Path, there: Path) -> int:
    """How many files were compared. Stops where two differ."""
    paths = [path.relative_to(here) for path in sorted(here.rglob("*.json"))]
    for path in paths:
        if (here / path).read_bytes() != (there / path).read_bytes():
            sys.exit(f"{there / path} differs from {here / path}")
    return len(paths)


def kill(executor: Any, folder: Path, times: int) -> None:
    """Kill a worker that makes a piece, so many times, and compare what comes out."""
    empty(None, folder / "here", 40)
    done = threading.Event()
    killed = []

    def killer() -> None:
        while len(killed) < times and not done.is_set():
            busy = [lease.writer.pid for lease in leases(folder / "there") if lease.writer.pid != os.getpid()]
            fresh = [pid for pid in busy if pid not in killed]
            with suppress(ProcessLookupError):  # it ended with the one before
                if fresh:
                    os.kill(fresh[0], signal.SIGKILL)
                    killed.append(fresh[0])
            time.sleep(0.2)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        empty(executor, folder / "there", 40, seconds=0.5)
    finally:
        done.set()
        thread.join()
    print(f"{len(killed)} workers killed; {same(folder / 'here', folder / 'there')} files are equal")


def gather(folder: Path, n: int) -> None:
    """Read many finished pieces one by one."""
    store = NothingStore(folder, "settings")
    store.put("nothing-000000", Nothing(1))
    content = store.path("nothing-000000").read_bytes()
    for i in range(1, n):
        store.path(f"nothing-{i:06d}").write_bytes(content)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = (store.get(f"nothing-{i:06d}", Nothing) for i in range(n))
    total = sum(piece.number for piece in found if piece is not None)
    seconds = time.perf_counter() - begun
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert total == n
    print(f"{n} pieces gathered in {seconds:.1f} s, with {grown:.1f} MiB more memory at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=["processes", "dask", "submitit"], default="processes")
    parser.add_argument("--gather", type=int, help="only: gather so many pieces")
    parser.add_argument("--kill", type=int, help="only: kill a worker so often")
    parser.add_argument("--overhead", action="store_true", help="only: the overhead a piece")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hc-interp-spread-"))
    try:
        if given.gather:
            gather(folder / "gather", given.gather)
            return
        if given.kill:
            with workers(given.on, 2, folder) as executor:
                kill(executor, folder, given.kill)
            return
        with workers(given.on, 1, folder) as executor:
            empty(executor, folder / "warm", 2)
            seconds = empty(executor, folder / "empty", EMPTY)
            print(f"{given.on}: {1000 * seconds / EMPTY:.1f} ms a piece on a warm worker ({EMPTY} pieces)")
            if given.overhead:
                return
            here = real(None, folder / "here")
            one = [real(executor, folder / f"one-{i}") for i in range(REPEATS + 1)][1:]
        with workers(given.on, 2, folder) as executor:
            two = [real(executor, folder / f"two-{i}") for i in range(REPEATS + 1)][1:]
        n_pieces = [len(list((folder / "here" / kind).glob("*.json"))) for kind in ("search", "sweep")]
        print(f"search: {n_pieces[0]} pieces in {here[0]:.1f} s here; sweep: {n_pieces[1]} in {here[1]:.1f} s")
        for what, times in (("search and sweep", slice(0, 2)), ("search", slice(0, 1)), ("sweep", slice(1, 2))):
            speed_up(what, *([sum(run[times]) for run in runs] for runs in (one, two)))
        runs = [folder / f"{name}-{i}" for name in ("one", "two") for i in range(REPEATS + 1)]
        print(f"{sum(same(folder / 'here', run) for run in runs)} files are equal to those of a call without workers")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
