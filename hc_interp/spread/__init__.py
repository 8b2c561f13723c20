"""Many runs on processes, SLURM or Dask: executors for `executor=`. What a piece is stands in `records/pieces.py`."""

from hc_interp.spread.as_finished import as_finished
from hc_interp.spread.dask import Dask, dask
from hc_interp.spread.processes import Processes, processes
from hc_interp.spread.slurm import Slurm, slurm
from hc_interp.spread.status import status

__all__ = ["Dask", "Processes", "Slurm", "as_finished", "dask", "processes", "slurm", "status"]
