"""`dask`: workers of a Dask cluster, one that runs already or one on this machine."""

from importlib import import_module
from numbers import Integral
from typing import Any, Self

from hc_interp.errors import HCError, in_one_line

PATIENCE = 30.0  # seconds to wait for a scheduler


def dask(jobs: int | None = None, *, address: str | None = None) -> "Dask":
    """An executor on the workers of a Dask cluster. It needs `hc-interp[dask]`. Use it as a context.

    `address` is that of a scheduler ("tcp://host:8786"), whose workers are used. Without it `jobs` worker processes are
    started on this machine. Clusters of other kinds (dask-jobqueue: SLURM, PBS, LSF, SGE; Kubernetes) are made by
    their own packages: give their `dask.distributed.Client` as `executor=`. Workers have one thread: a process makes
    one piece at a time.

    Raises `HCError` for a scheduler that cannot be reached.
    """
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, Integral) or jobs < 1):
        raise HCError(f"jobs={jobs!r} was given. Expected a whole number from 1.")
    if (jobs is None) == (address is None):
        raise HCError(
            f"jobs={jobs!r} and address={address!r} were given. Expected one of the two: a number of workers to start "
            "here, or the address of a scheduler that has workers."
        )
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise HCError(f"Dask is not installed ({error}). Install it: pip install 'hc-interp[dask]'.") from error
    if address is None:
        cluster = distributed.LocalCluster(
            n_workers=int(jobs or 1), threads_per_worker=1, processes=True, dashboard_address=None
        )
        return Dask(distributed.Client(cluster), cluster)
    try:
        return Dask(distributed.Client(address, timeout=PATIENCE))
    except (OSError, ValueError, TimeoutError) as error:
        raise HCError(
            f"No Dask scheduler answers at {address} ({in_one_line(error)}). Expected an address like "
            "tcp://host:8786, which dask scheduler prints when it starts."
        ) from error


class Dask:
    """A client of a Dask cluster. Calls are never answered from its cache."""

    def __init__(self, client: Any, cluster: Any = None) -> None:
        self.client, self.cluster = client, cluster

    def submit(self, fn: Any, /, *args: Any) -> Any:
        return self.client.submit(fn, *args, pure=False)

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        self.client.close()
        if self.cluster is not None:
            self.cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Dask({self.client})"
