"""`report`: one run as one HTML page that needs no network."""

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
    "A fine-tuned model that learned a shallow rule first and generalized later may hold two circuits side by side, or "
    "one core of heuristic heads whose output the heads that generalize read. This page tests the second account on "
    "one model, from accuracies to the paths between heads."
)
DEMO = (
    "This run was shortened: fewer searches, examples or pairs than a result needs. It shows that every step works; "
    "its numbers are rough, and its verdict is not evidence. Run it with full settings before you quote it."
)
WIDTHS = ("single", "double")


@dataclass
class Section:
    """A part of the evidence: its words, and its figures at each width."""

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
    did not compute. `static=True` puts pictures on the page, drawn now by a browser, in place of a script that draws
    them when the page is read: the file is smaller and has no hover texts. Raises `ResultError` for a folder that holds
    no run, a run without any result and a result without a figure, and `NoBrowser`.
    """
    found = _as_run(run)
    if not set(found.present) - {"manifest"}:
        raise ResultError(
            "This run has no results to report. Expected at least one of search, evaluation, core, generalizing, "
            "edges, probes or verdict; run a step first."
        )
    return _write(found, evidence(found), path, static=static)


def _as_run(given: Any) -> RunResults:
    match given:
        case RunResults():
            return given
        case str() | Path():
            return RunResults.load(given)
        case Result():
            return RunResults.of([given])
        case Mapping() | list() | tuple():
            return RunResults.of(given)
    raise ResultError(
        f"report was given a {type(given).__name__}. Expected a run (hc.run returns one), its folder, or results, "
        "like a verdict."
    )


def evidence(run: RunResults) -> list[Section]:
    """The sections of a report, in order: the words of each part that the run has, and every registered figure."""
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


def _write(found: RunResults, sections: list[Section], path: str | Path, *, static: bool = False) -> Path:
    figures = {name: drawn for section in sections for name, drawn in section.drawn.items()}
    verdict = found.verdict
    text = page(
        "report.html",
        {} if static else figures,
        title=TITLE,
        about=about(found),
        question=QUESTION,
        verdict={"answer": verdict.answer, "asked": question(verdict), "said": answer(verdict)} if verdict else None,
        notice=DEMO if _is_demo(found.manifest) else None,
        lead=lead(found),
        sections=sections,
        tables=tables(found),
        settings=settings_groups(found),
        version=versions()["hc-interp"],
        pictures=pictures(figures) if static else {},
    )
    return write_text(path, text)


def pictures(figures: dict[str, list[Figure]]) -> dict[str, list[str]]:
    """Each figure at each width as a `data:` link of its SVG."""
    texts = iter(svg_texts([figure for drawn in figures.values() for figure in drawn]))
    return {name: [svg_link(next(texts)) for _ in drawn] for name, drawn in figures.items()}


def draw_run(run: RunResults, folder: str | Path) -> dict[str, Any]:
    """Write `report.html` into a run's folder, and each figure at both widths into `figures/`.

    Figures are .json, the circuit also .tex, all of them .svg where a browser can draw them; where none can, the
    circuit is a page, .html, that any browser shows. Returns the file names, and under "not_drawn" why there is no
    .svg.
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
