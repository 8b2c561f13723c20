"""`CheckpointStore`: the finished results of an analysis over training, a file for each checkpoint."""

from typing import ClassVar

from hc_interp.records.result import Result
from hc_interp.records.store import Store


class CheckpointStore(Store):
    """A folder with the result of each finished checkpoint, named by the step and the hash of the checkpoint's file."""

    work: ClassVar[str] = "series analysis"
    shaped_by: ClassVar[str] = "start or analysis"
    piece: ClassVar[str] = "step"
    kind: ClassVar[type[Result]] = Result
