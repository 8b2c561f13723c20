"""`slurm`: jobs of a SLURM cluster, through submitit. Each job of an array makes many pieces, with one loaded model."""

import re
import sys
from contextlib import AbstractContextManager
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

from hc_interp.errors import HCError, in_one_line

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d{1,2}):(?P<minutes>\d{2})(?::(?P<seconds>\d{2}))?")
LOGS = "logs"  # in the folder of the pieces: what the jobs print


def slurm(
    jobs: int,
    folder: str | Path,
    *,
    partition: str | None = None,
    time: int | str = 60,
    gpus: int = 0,
    cpus: int = 1,
    mem_gb: float | None = None,
    account: str | None = None,
    qos: str | None = None,
    constraint: str | None = None,
    exclude: str | None = None,
    nodelist: str | None = None,
    setup: tuple[str, ...] | list[str] = (),
    options: dict[str, Any] | None = None,
    name: str = "hc-interp",
    cluster: str = "slurm",
) -> "Slurm":
    """An executor whose work is done by at most `jobs` SLURM jobs at a time. It needs `hc-interp[slurm]`.

    `folder` is the folder of the pieces, on a disk that all nodes see: that of a call which has no `resume=` of its
    own. It is kept, so that a call that was stopped goes on. Give a second, other call its own `resume=`. `time` is
    the limit of a job, in minutes or as "hours:minutes:seconds" ("1-12:00:00" is a day and a half). `gpus`, `cpus` and
    `mem_gb` (of memory) are those of one job; a piece uses as many cores as the call's `threads=`. `setup` are shell
    commands before the work, like "module load cuda", `options` any other options of sbatch: `{"mail-type": "END"}`.
    `partition`, `account`, `qos`, `constraint`, `exclude`, `nodelist` and `name` (of the jobs) are those of sbatch.
    `cluster="local"` runs the jobs on this machine, to try a setup out.

    Nothing is sent to SLURM before a call uses the executor. A job that is preempted or out of time loses the piece
    that it was making; what it left undone is sent again. Raises `HCError` for values without meaning.
    """
    for key, value, least in (("jobs", jobs, 1), ("gpus", gpus, 0), ("cpus", cpus, 1)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise HCError(f"{key}={value!r} was given. Expected a whole number from {least}.")
    if mem_gb is not None and (isinstance(mem_gb, bool) or not isinstance(mem_gb, Real) or not mem_gb > 0):
        raise HCError(f"mem_gb={mem_gb!r} was given. Expected the memory of a job in gigabytes, above 0.")
    if cluster not in ("slurm", "local"):
        raise HCError(f"cluster={cluster!r} was given. Expected 'slurm', or 'local' to try a setup out.")
    parameters = {
        "job_name": name, "time": minutes(time), "cpus_per_task": int(cpus), "gpus_per_node": int(gpus) or None,
        "mem": None if mem_gb is None else f"{round(1024 * float(mem_gb))}MB", "partition": partition,
        "account": account, "qos": qos, "constraint": constraint, "exclude": exclude, "nodelist": nodelist,
        "setup": list(setup) or None, "additional_parameters": options or None, "array_parallelism": int(jobs),
    }  # fmt: skip
    given = {key: value for key, value in parameters.items() if value is not None}
    return Slurm(int(jobs), Path(folder).absolute(), given, cluster)


def minutes(time: int | str) -> int:
    """A time limit in minutes, rounded up. Raises `HCError` for a text that is no time."""
    if isinstance(time, int) and not isinstance(time, bool) and time > 0:
        return time
    match = _TIME.fullmatch(time) if isinstance(time, str) else None
    if match is None:
        raise HCError(
            f"time={time!r} was given. Expected minutes, like 90, or hours, minutes and seconds, like '1:30:00' or "
            "'1-12:00:00'."
        )
    days, hours, mins, seconds = (int(match[part] or 0) for part in ("days", "hours", "minutes", "seconds"))
    return max(1, 60 * (24 * days + hours) + mins + (seconds > 0))


class Slurm:
    """SLURM jobs behind `submit`. Work that is submitted in one `batch()` becomes one job array.

    `pieces` is the folder of the pieces of a call without `resume=`, and `folder`, in it, that of what the jobs print.
    """

    def __init__(self, jobs: int, pieces: Path, parameters: dict[str, Any], cluster: str = "slurm") -> None:
        self.n_jobs, self.pieces, self.parameters, self.cluster = jobs, pieces, parameters, cluster
        self.folder = pieces / LOGS
        self._submitit = _module("submitit")
        self._made: Any = None

    @property
    def script(self) -> str:
        """The sbatch script of a full array of jobs."""
        # submitit has no public function for it. The extra's bound keeps its versions to those that have this one.
        make: Any = _module("submitit.slurm.slurm")._make_sbatch_string
        command = f"{sys.executable} -u -m submitit.core._submit {self.folder}"
        return make(command=command, folder=self.folder, map_count=self.n_jobs, **self.parameters)

    def submit(self, fn: Any, /, *args: Any) -> Any:
        return self._executor.submit(fn, *args)

    def batch(self) -> AbstractContextManager[None]:
        return self._executor.batch()

    @property
    def _executor(self) -> Any:
        if self._made is None:
            try:
                made = self._submitit.AutoExecutor(self.folder, cluster=self.cluster)
            except RuntimeError as error:
                raise HCError(
                    f"SLURM was not found on this machine ({in_one_line(error)}). Run this on a login node, where "
                    "sbatch and srun are."
                ) from error
            names = {"job_name": "name", "time": "timeout_min"}
            common = {names.get(key, key): value for key, value in self.parameters.items() if key in names}
            own = {f"slurm_{key}": value for key, value in self.parameters.items() if key not in names}
            made.update_parameters(**common, **own)
            self._made = made
        return self._made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Jobs end by themselves."""

    def __repr__(self) -> str:
        told = ", ".join(f"{key}={value}" for key, value in self.parameters.items() if key != "array_parallelism")
        where = " on this machine" if self.cluster == "local" else ""
        return f"Slurm(at most {self.n_jobs} jobs at a time{where}, {told})"


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise HCError(
            f"SLURM jobs are sent by submitit, which is not installed ({error}). Install it: pip install "
            "'hc-interp[slurm]'."
        ) from error
