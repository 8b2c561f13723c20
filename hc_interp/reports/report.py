"""`report`: writes a run as one HTML page that needs no network."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hc_interp.errors import ResultError
from hc_interp.figures.draw import draw
from hc_interp.figures.figure import Figure
from hc_interp.figures.images import NoBrowser, svg_texts, write_images
from hc_interp.figures.page.pieces import page, svg_link
from hc_interp.figures.registry import SECTIONS, figures_in_order
from hc_interp.files import write_text
from hc_interp.records.provenance import versions
from hc_interp.records.result import Result
from hc_interp.reports.headline import answer, question
from hc_interp.reports.tables import settings_groups, tables
from hc_interp.reports.words import about, lead, section_words
from hc_interp.runs.results import RunResults

TITLE = "Do generalizing heads read from the heuristic core?"
QUESTION = (
    "A fine-tuned model may learn a shallow rule first and generalize later. By one account it then holds two "
    "competing subnetworks. By another it has one core of heuristic heads, and generalizing heads, which are learned "
    "later, read from this core. This page tests the second account on one model, from accuracies to the paths between "
    "heads."
)
DEMO = (
    "This run was shortened: fewer searches, examples or pairs than a result needs. It shows that every step works; "
    "its numbers are rough, and its verdict is not evidence. Run it with full settings before you quote it."
)
WIDTHS = ("single", "double")


@dataclass
class Section:
    """A section of the report: its sentences, and each of its figures at both widths."""

    id: str
    title: str
    words: list[str]
    drawn: dict[str, list[Figure]] = field(default_factory=dict)

    @property
    def figures(self) -> list[dict[str, str]]:
        return [{"id": name, "title": f[-1].title, "caption": f[-1].caption} for name, f in self.drawn.items()]


def report(
    run: RunResults | Result | Sequence[Result] | Mapping[str, Result] | str | Path,
    path: str | Path,
    *,
    static: bool = False,
) -> Path:
    """Write one self-contained page: question, verdict, evidence in order, every number, settings and versions.

    `run` is a `RunResults`, the folder that one was saved in, one result or several. The page leaves out what the run
    did not compute. With `static=True` a browser draws the figures now, and the page shows pictures. Otherwise a script
    draws them when the page is read, with hover texts; this page is larger. Returns the path. Raises `ResultError` for
    a folder that holds no run, a run without any result and a result without a figure, and `NoBrowser` if a static page
    cannot be drawn.
    """
    results = _as_run(run)
    if not set(results.present) - {"manifest"}:
        raise ResultError(
            "This run has no results to report. Expected at least one of search, evaluation, core, generalizing, "
            "edges, probes or verdict; run a step first."
        )
    return _write(results, evidence(results), path, static=static)


def _as_run(run: Any) -> RunResults:
    match run:
        case RunResults():
            return run
        case str() | Path():
            return RunResults.load(run)
        case Result():
            return RunResults.of([run])
        case Mapping() | list() | tuple():
            return RunResults.of(run)
    raise ResultError(
        f"report was given a {type(run).__name__}. Expected a run (hc.run returns one), its folder, or results, "
        "like a verdict."
    )


def evidence(run: RunResults) -> list[Section]:
    """The sections of a report, in order: the sentences on each result of the run, and its registered figures."""
    narrow, wide = (draw(run, width=width) for width in WIDTHS)
    words = section_words(run)
    drawn: dict[str, dict[str, list[Figure]]] = {}
    for entry in figures_in_order():
        if entry.name in wide:
            drawn.setdefault(entry.section, {})[entry.name] = [narrow[entry.name], wide[entry.name]]
    names = [name for name in dict.fromkeys([*SECTIONS, *drawn]) if words.get(name) or name in drawn]
    return [
        Section(_anchor(name), SECTIONS.get(name, name), words.get(name, []), drawn.get(name, {})) for name in names
    ]


def _anchor(section: str) -> str:
    return re.sub(r"\W+", "-", section.lower()).strip("-")


def _write(run: RunResults, sections: list[Section], path: str | Path, *, static: bool = False) -> Path:
    figures = {name: drawn for section in sections for name, drawn in section.drawn.items()}
    verdict = run.verdict
    headline = {"answer": verdict.answer, "question": question(verdict), "words": answer(verdict)} if verdict else None
    text = page(
        "report.html",
        {} if static else figures,
        title=TITLE,
        about=about(run),
        question=QUESTION,
        verdict=headline,
        notice=DEMO if _is_demo(run.manifest) else None,
        lead=lead(run),
        sections=sections,
        tables=tables(run),
        settings=settings_groups(run),
        version=versions()["hc-interp"],
        pictures=pictures(figures) if static else {},
    )
    return write_text(path, text)


def pictures(figures: dict[str, list[Figure]]) -> dict[str, list[str]]:
    """Each figure at each width, as a `data:` link with its SVG."""
    texts = iter(svg_texts([figure for drawn in figures.values() for figure in drawn]))
    return {name: [svg_link(next(texts)) for _ in drawn] for name, drawn in figures.items()}


def draw_run(run: RunResults, folder: str | Path) -> dict[str, Any]:
    """Write `report.html` into a run's folder, and each figure at both widths into `figures/`.

    Each figure is written as .json and .svg, the circuit also as .tex. If no browser can draw .svg, the circuit is
    written as .html, which any browser shows later. Returns the file names under "files", and under "not_drawn" why
    there is no .svg.
    """
    folder = Path(folder)
    sections = evidence(run)
    _write(run, sections, folder / "report.html")
    named = {
        f"{name}-{width}": figure
        for section in sections
        for name, drawn in section.drawn.items()
        for width, figure in zip(WIDTHS, drawn, strict=True)
    }
    files = []
    for name, figure in named.items():
        for suffix in (".json", ".tex") if figure.tex else (".json",):
            files.append(figure.write(folder / "figures" / f"{name}{suffix}"))
    not_drawn = ""
    try:
        files += write_images({folder / "figures" / f"{name}.svg": figure for name, figure in named.items()})
    except NoBrowser as error:
        not_drawn = str(error)
        if "circuit-double" in named:
            files.append(named["circuit-double"].write(folder / "figures" / "circuit-double.html"))
    names = ["report.html", *(str(path.relative_to(folder)) for path in files)]
    return {"files": names, **({"not_drawn": not_drawn} if not_drawn else {})}


def _is_demo(manifest: dict[str, Any]) -> bool:
    settings = manifest.get("settings")
    return bool(manifest.get("demo") or (isinstance(settings, dict) and settings.get("demo")))
