"""`status`: how far the pieces in a folder are."""

from pathlib import Path

from hc_interp.records.ledger import Status


def status(folder: str | Path) -> Status:
    """How far the pieces are that a call with `executor=` keeps in the folder of its `resume=`.

    Returns the names of the finished, running, failed and waiting pieces, and who makes those that are running. Raises
    `ResultError` for a folder in which nothing was ordered.
    """
    return Status.of(Path(folder))
