"""`processes`: worker processes on this machine, one for each GPU or CPU core. A killed worker is replaced."""

import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from numbers import Integral
from threading import Thread
from typing import Any, Self

import torch

from hc_interp.errors import HCError, warn

VISIBLE = "CUDA_VISIBLE_DEVICES"


def processes(jobs: int | None = None, *, threads: int = 1) -> "Processes":
    """An executor of `jobs` worker processes on this machine. Use it as a context, whose end stops the workers.

    `jobs` is by default the number of GPUs, or without a GPU the number of cores divided by `threads`. With several
    GPUs each worker has one of them, in turn. `threads` is the number of threads of a worker: the same as the call's
    `threads=`, by which its pieces are made. `repr` says all of this.

    Workers are spawned, so a script does its work under `if __name__ == "__main__":`. Raises `HCError` for numbers
    below 1. Warns (`HCWarning`) of more threads than cores.
    """
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < 1):
            raise HCError(f"{name}={value!r} was given. Expected a whole number from 1.")
    gpus, cores = _gpus(), _cores()
    jobs = int(jobs or len(gpus) or max(1, cores // threads))
    if jobs * threads > cores:
        warn(
            f"{jobs} worker{'s' * (jobs > 1)} of {_threads(threads)} share {cores} core{'s' * (cores > 1)}. "
            "Expected at most as many threads as cores: fewer workers (jobs=, --jobs) or threads."
        )
    return Processes(jobs, gpus, int(threads))


class Processes:
    """Worker processes behind `submit`, as in `concurrent.futures`. After one was killed all are started anew."""

    def __init__(self, jobs: int, gpus: list[str], threads: int = 1) -> None:
        self.jobs, self.gpus, self.threads = jobs, gpus, threads
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
        """A future of `concurrent.futures`. Workers start with the first call, and again after one was killed."""
        if self._pool is not None:
            try:
                return self._pool.submit(fn, *args)
            except BrokenProcessPool:
                self._pool.shutdown(wait=False)
        context = get_context("spawn")
        numbers = context.Value("i", 0)
        self._pool = ProcessPoolExecutor(self.jobs, context, _start, (numbers, self.gpus, self.threads))
        return self._pool.submit(fn, *args)

    def stop(self) -> None:
        """End all workers at once. A piece that is being made is lost."""
        if self._pool is None:
            return
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        self._pool = None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.shutdown() if kind is None else self.stop()

    def __repr__(self) -> str:
        where = f"each with one of {len(self.gpus)} GPU{'s' * (len(self.gpus) > 1)}" if self.gpus else "on the CPU"
        return f"Processes({self.jobs} worker{'s' * (self.jobs > 1)} of {_threads(self.threads)}, {where})"


def _threads(n: int) -> str:
    return f"{n} thread{'s' * (n > 1)}"


def _start(numbers: Any, gpus: list[str], threads: int) -> None:
    """Begin a worker: it leaves Ctrl-C to the process that started it, and has its threads and one GPU."""
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    if gpus:
        with numbers.get_lock():
            number, numbers.value = numbers.value, numbers.value + 1
        os.environ[VISIBLE] = gpus[number % len(gpus)]


def _end_with_parent() -> None:
    """End this worker when the process that started it has ended: nobody else would."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _gpus() -> list[str]:
    """The names of the GPUs that this process sees, as `CUDA_VISIBLE_DEVICES` has them."""
    n = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named[:n] if len(named) >= n > 0 else [str(i) for i in range(n)]


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
