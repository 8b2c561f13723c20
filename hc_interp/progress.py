"""Shows progress: bars on a terminal, a bar that is renewed in a notebook, a line for each finished part elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PAUSE = 1.0  # the shortest time between two printed lines, in seconds
RENEWED = 0.25  # the shortest time between two renewals of a notebook's bar, in seconds


class Stage:
    """Work that is under way. `advance` counts a unit of it as done; `part` reports a part of it as finished."""

    def __init__(self, description: str, total: int) -> None:
        self.description, self.total, self.done = description, total, 0
        self.begun = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self.done += n

    def part(self, name: str) -> None:
        """Report that a part is finished. Only `Lines` prints it; a bar shows it by its length."""

    def finish(self) -> None:
        """End the display. It is called once, after the work or after a failure."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def __str__(self) -> str:
        return f"{self.description}: {self.done} of {self.total}, {_clock(self.seconds)}"


SILENT = Stage("", 0)
_open: list[Stage] = []


@contextmanager
def stage(description: str, total: int) -> Iterator[Stage]:
    """Show the progress of `total` units of work. A stage inside another one is shown with it."""
    outer = _open[-1] if _open else None
    make = type(outer) if outer is not None else _chosen()
    current = make(description, total)
    _open.append(current)
    try:
        yield current
    finally:
        _open.remove(current)
        current.finish()


@contextmanager
def silently() -> Iterator[None]:
    """Show no progress in this context."""
    _open.append(SILENT)
    try:
        yield
    finally:
        _open.remove(SILENT)


def _chosen() -> Callable[[str, int], Stage]:
    if sys.stderr.isatty():
        return Bar
    return Display if in_notebook() else Lines


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Bar(Stage):
    """A bar of rich. The bars of inner stages are drawn below it and removed when these have ended."""

    _bars: list[Progress] = []  # noqa: RUF012  (rich's display of all bars, or nothing)

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
    """A bar in a notebook, renewed as the work goes on; it needs no widgets. Inner stages are named beside the bar of
    the outermost one until they have ended."""

    _handle: Any = None  # IPython's handle of the bar; only the outermost stage has one
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
    """The outermost stage's bar and the text of all stages, by MIME type."""
    outer, *inner = stages
    remaining = outer.seconds * (outer.total - outer.done) / outer.done if outer.done else 0.0
    text = f"{outer}, {_clock(remaining)} left" if 0 < outer.done < outer.total else str(outer)
    text = "; ".join([text, *map(str, inner)])
    bar = f'<progress value="{outer.done}" max="{outer.total}"></progress>'
    return {"text/plain": text, "text/html": f"{bar} {escape(text)}"}


class Lines(Stage):
    """Prints a line for each finished part, `PAUSE` seconds apart at least, and one for work that took as long."""

    def __init__(self, description: str, total: int) -> None:
        super().__init__(description, total)
        self._printed = self.begun

    def part(self, name: str) -> None:
        if time.monotonic() - self._printed >= PAUSE:
            self._printed = time.monotonic()
            self._print(f"{self}; finished {name}")

    def finish(self) -> None:
        if self.seconds >= PAUSE:
            self._print(str(self) if self.done >= self.total else f"{self}; stopped")

    def _print(self, line: str) -> None:
        print("  " * len(_open) + line, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    """Seconds as minutes and seconds, or with hours: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
