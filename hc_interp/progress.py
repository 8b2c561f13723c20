"""Progress bars: drawn on a terminal, silent everywhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Stage:
    """One bar; `advance` once for each unit of work done."""

    def __init__(self, bar: Progress | None, task: object) -> None:
        self._bar, self._task = bar, task

    def advance(self, n: int = 1) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, n)  # type: ignore[arg-type]


SILENT = Stage(None, None)
_open: list[Progress] = []


@contextmanager
def stage(description: str, total: int) -> Iterator[Stage]:
    """A bar for `total` units of work. Bars opened inside another are drawn below it and vanish when done."""
    if not sys.stderr.isatty():
        yield SILENT
        return
    if _open:
        bar = _open[-1]
        task = bar.add_task(description, total=total)
        try:
            yield Stage(bar, task)
        finally:
            bar.remove_task(task)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        _open.append(bar)
        try:
            yield Stage(bar, bar.add_task(description, total=total))
        finally:
            _open.pop()
