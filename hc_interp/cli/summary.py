"""What a run prints when it ends: the verdict, the main numbers behind it, and the paths of its files."""

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

import hc_interp as hc
from hc_interp.cli.show import table_of

HOW_TO_READ = (
    "T: the share of the generalizing heads' effect that arrives from the core; p: the share of {n} relabelled cores "
    "with as high a T. S: how much more the generalizing heads respond to the core than other heads of their layers "
    "do, in % of their response; 0: no more. In brackets 95 % intervals. Order pairs have the same words in another "
    "order, overlap pairs have a word replaced; reversed: what was clean is corrupt."
)


def summary(run: "hc.RunResults", folder: str | Path) -> RenderableType:
    """A panel for the terminal. Its only claims are the sentences of the verdict and of the premises."""
    numbers = Table.grid(padding=(0, 2))
    for name, value in hc.reports.lead(run, tested=False):
        numbers.add_row(name, f"[bold]{value}[/bold]")
    files = Table.grid(padding=(0, 2))
    for name, path in _files(run, Path(folder)):
        files.add_row(name, str(path))
    parts: list[RenderableType] = []
    if run.manifest.get("settings", {}).get("demo"):
        demo = "Demo settings: short searches, few pairs, few relabellings. This verdict is not evidence."
        parts += [f"[yellow]{demo}[/yellow]", ""]
    if run.verdict is not None:
        parts += [f"[bold]{escape(run.verdict.sentence())}[/bold]", ""]
    if run.premises is not None:
        parts += [escape(run.premises.sentence()), ""]
    if run.verdict is not None and run.verdict.records:
        parts += [table_of(run.verdict.numbers()[["pairs", "T", "p", "S"]])]
        parts += [HOW_TO_READ.format(n=_labellings(run.verdict)), ""]
    parts += [numbers, "", files]
    seconds = run.manifest.get("seconds", {}).get("all")
    title = "Do generalizing heads read from the heuristic core?"
    return Panel(
        Group(*parts), title=title, subtitle=None if seconds is None else f"{seconds:.0f} s", title_align="left"
    )


def _labellings(verdict: "hc.Verdict") -> int:
    """The most labellings of the core that a p was taken over."""
    return max(found.n_labellings for item in verdict.records.values() for found in item.directions.values())


def record(run: "hc.RunResults", folder: str | Path) -> dict[str, Any]:
    """The same facts as one JSON object."""
    facts: dict[str, Any] = {}
    if run.verdict is not None:
        facts = {"answer": run.verdict.answer, "reason": run.verdict.reason, "reading": run.verdict.reading}
        facts |= {"premises": run.verdict.premise_words, "sentence": run.verdict.sentence()}
    files = {name: str(path) for name, path in _files(run, Path(folder))}
    return {
        **facts,
        "numbers": dict(hc.reports.lead(run)),
        "files": files,
        "seconds": run.manifest.get("seconds", {}).get("all"),
    }


def _files(run: "hc.RunResults", folder: Path) -> list[tuple[str, Path]]:
    drawn = [folder / name for name in run.manifest.get("figures", {}).get("files", [])]
    circuits = [path for path in drawn if path.name in ("circuit-single.svg", "circuit-double.html")]
    files = [("report", folder / "report.html")]
    files += [("circuit diagram", path) for path in circuits]
    files += [("for LaTeX", path) for path in drawn if path.name == "circuit-single.tex"]
    return [*files, ("for programs", folder / "summary.json"), ("everything", folder / "manifest.json")]
