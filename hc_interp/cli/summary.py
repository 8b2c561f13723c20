"""The one screen that a run ends with: the verdict, the few numbers behind it, and where the files are."""

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

import hc_interp as hc


def summary(run: Any, folder: str | Path) -> RenderableType:
    """What was found and where it lies; claims no more than `verdict.sentence()`."""
    numbers = Table.grid(padding=(0, 2))
    for name, value in hc.reports.lead(run):
        numbers.add_row(name, f"[bold]{value}[/bold]")
    files = Table.grid(padding=(0, 2))
    for name, path in _files(run, Path(folder)):
        files.add_row(name, str(path))
    parts: list[RenderableType] = []
    if run.verdict is not None:
        parts += [run.verdict.sentence(), ""]
    parts += [numbers, "", files]
    if run.manifest.get("settings", {}).get("demo"):
        parts += ["", "[yellow]Demo settings: short searches, few pairs, few relabellings. Not evidence.[/yellow]"]
    seconds = run.manifest.get("seconds", {}).get("all")
    title = "Do generalizing heads read from the heuristic core?"
    return Panel(
        Group(*parts), title=title, subtitle=None if seconds is None else f"{seconds:.0f} s", title_align="left"
    )


def record(run: Any, folder: str | Path) -> dict[str, Any]:
    """The same for machines."""
    verdict = run.verdict
    found = (
        {} if verdict is None else {"answer": verdict.answer, "reason": verdict.reason, "sentence": verdict.sentence()}
    )
    files = {name: str(path) for name, path in _files(run, Path(folder))}
    return {
        **found,
        "numbers": dict(hc.reports.lead(run)),
        "files": files,
        "seconds": run.manifest.get("seconds", {}).get("all"),
    }


def _files(run: Any, folder: Path) -> list[tuple[str, Path]]:
    drawn = [folder / name for name in run.manifest.get("figures", {}).get("files", [])]
    circuits = [path for path in drawn if path.name in ("circuit-single.svg", "circuit-double.html")]
    found = [("report", folder / "report.html")]
    found += [("circuit diagram", path) for path in circuits]
    found += [("for LaTeX", path) for path in drawn if path.name == "circuit-single.tex"]
    return [*found, ("everything", folder / "manifest.json")]
