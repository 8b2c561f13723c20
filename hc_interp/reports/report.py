"""`report`: one run as one HTML page that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hc_interp.errors import ResultError
from hc_interp.figures.draw import draw
from hc_interp.figures.figure import Figure
from hc_interp.figures.images import NoBrowser, svg_texts, write_images
from hc_interp.figures.page.pieces import page, svg_link
from hc_interp.files import write_text
from hc_interp.records.provenance import versions
from hc_interp.records.result import Result
from hc_interp.reports.headline import answer, question
from hc_interp.reports.probe_words import probe_words
from hc_interp.reports.tables import settings_groups, tables
from hc_interp.reports.words import (
    about,
    core_words,
    edge_words,
    evaluation_words,
    generalizing_words,
    lead,
    reading_words,
)
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

    `run` is a `RunResults`, the folder that one was saved in, or one result or several that are parts of a run. What a
    run did not compute is left out. `static=True` puts pictures on the page, drawn now by a browser, in place of a
    script that draws them when it is read: smaller, without hover. Raises `ResultError` for a folder that holds no run,
    a run without any result and a result that is no part of one, and `NoBrowser`.
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
        f"report was given a {type(given).__name__}. Expected a run (hc.run returns one), its folder, or results that "
        "are parts of one, like a verdict."
    )


def evidence(run: RunResults) -> list[Section]:
    """The sections of a report, in order, with their figures; one for each part that the run has."""
    narrow, wide = (draw(run, width=width) for width in WIDTHS)
    drawn = {name: [narrow[name], wide[name]] for name in wide}
    makers = (_accuracy, _core, _generalizing, _paths, _reading, _probes)
    return [
        Section(*named, words, {name: drawn[name] for name in figures if name in drawn})
        for named, words, figures in (make(run) for make in makers)
        if words or any(name in drawn for name in figures)
    ]


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


Part = tuple[tuple[str, str], list[str], tuple[str, ...]]  # id and title; words; names of figures


def _accuracy(run: RunResults) -> Part:
    words = evaluation_words(run.evaluation) if run.evaluation is not None else []
    return ("accuracy", "Accuracy of the model and its subnetworks"), words, ("accuracy", "sparsity")


def _core(run: RunResults) -> Part:
    return (
        ("heuristic-core", "The heuristic core"),
        core_words(run.core) if run.core is not None else [],
        ("core", "search"),
    )


def _generalizing(run: RunResults) -> Part:
    return (
        ("generalizing", "Generalizing heads"),
        generalizing_words(run.generalizing) if run.generalizing is not None else [],
        (),
    )


def _paths(run: RunResults) -> Part:
    words = edge_words(run.paths) if run.paths is not None else []
    return ("paths-between", "Paths between heads"), words, ("circuit", "paths")


def _reading(run: RunResults) -> Part:
    words = reading_words(run.verdict) if run.verdict is not None else []
    return ("reads-from", "Do they read from the core?"), words, ("reading",)


def _probes(run: RunResults) -> Part:
    return ("what-travels", "What travels on the paths"), probe_words(run.probes) if run.probes else [], ("probes",)
