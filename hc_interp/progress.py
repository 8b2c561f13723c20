"""Progress: bars on a terminal, a line that renews itself in a notebook, one line for each finished part elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PAUSE = 1.0  # seconds that pass at least before another line is printed
RENEWED = 0.25  # seconds that pass at least before a notebook's line is


class Stage:
    """Work that is under way; `advance` once for each unit done, `part` where a part of it is finished."""

    def __init__(self, description: str, total: int) -> None:
        self.description, self.total, self.done = description, total, 0
        self.begun = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self.done += n

    def part(self, name: str) -> None:
        """Say that a part is finished, where no bar shows it."""

    def finish(self) -> None:
        """Called once, at the end or at a failure."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def __str__(self) -> str:
        return f"{self.description}: {self.done} of {self.total}, {_clock(self.seconds)}"


SILENT = Stage("", 0)
_open: list[Stage] = []


@contextmanager
def stage(description: str, total: int) -> Iterator[Stage]:
    """Show `total` units of work. What is opened inside another is shown below it."""
    outer = _open[-1] if _open else None
    make = type(outer) if outer is not None else _chosen()
    current = make(description, total)
    _open.append(current)
    try:
        yield current
    finally:
        _open.remove(current)
        current.finish()


def _chosen() -> Callable[[str, int], Stage]:
    if sys.stderr.isatty():
        return Bar
    return Display if in_notebook() else Lines


def in_notebook() -> bool:
    """Whether a kernel runs this process, whose output a page shows."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Bar(Stage):
    """A bar of rich; those inside another stand below it and vanish when done."""

    _bars: list[Progress] = []  # noqa: RUF012  (the one that is drawn, if any)

    def __init__(self, description: str, total: int) -> None:
        super().__init__(description, total)
        self._owns = not self._bars
        if self._owns:
            columns = (
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(),
            )  # fmt: skip
            self._bars.append(Progress(*columns, console=Console(stderr=True)))
            self._bars[0].start()
        self._task = self._bars[0].add_task(description, total=total)

    def advance(self, n: int = 1) -> None:
        super().advance(n)
        self._bars[0].advance(self._task, n)

    def finish(self) -> None:
        if self._owns:
            self._bars.pop().stop()
        else:
            self._bars[0].remove_task(self._task)


class Display(Stage):
    """A bar on a notebook's page, renewed as the work goes on; it needs no widgets. What is inside another stands
    beside it and vanishes when done."""

    _handle: Any = None  # of the outermost
    _renewed = 0.0

    def __init__(self, description: str, total: int) -> None:
        super().__init__(description, total)
        if not _open:
            from IPython.display import display  # type: ignore[import-not-found]

            self._handle = display(_bundle([self]), raw=True, display_id=True)

    def advance(self, n: int = 1) -> None:
        super().advance(n)
        outermost, now = _open[0], time.monotonic()
        assert isinstance(outermost, Display)
        if now - outermost._renewed >= RENEWED:
            outermost._renewed = now
            outermost._handle.update(_bundle(_open), raw=True)

    def finish(self) -> None:
        if self._handle is not None:
            self._handle.update(_bundle([self]), raw=True)


def _bundle(stages: Sequence[Stage]) -> dict[str, str]:
    outer, *inner = stages
    left = outer.seconds * (outer.total - outer.done) / outer.done if outer.done else 0.0
    text = f"{outer}, {_clock(left)} left" if 0 < outer.done < outer.total else str(outer)
    text = "; ".join([text, *map(str, inner)])
    bar = f'<progress value="{outer.done}" max="{outer.total}"></progress>'
    return {"text/plain": text, "text/html": f"{bar} {escape(text)}"}


class Lines(Stage):
    """A printed line for each finished part and for the whole; what is done within a second is not said."""

    def __init__(self, description: str, total: int) -> None:
        super().__init__(description, total)
        self._said = self.begun

    def part(self, name: str) -> None:
        if time.monotonic() - self._said >= PAUSE:
            self._said = time.monotonic()
            self._say(f"{self}; finished {name}")

    def finish(self) -> None:
        if self.seconds >= PAUSE:
            self._say(str(self) if self.done >= self.total else f"{self}; stopped")

    def _say(self, line: str) -> None:
        print("  " * len(_open) + line, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    """Seconds as a person reads them: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
