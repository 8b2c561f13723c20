"""Many runs on processes, SLURM or Dask: executors for `executor=`. What a piece is stands in `records/pieces.py`."""

from hc_interp.spread.processes import Processes, processes

__all__ = ["Processes", "processes"]
