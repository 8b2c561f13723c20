"""`report`: one run as one HTML page that needs no network."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hc_interp.analysis.run_results import RunResults
from hc_interp.errors import ResultError
from hc_interp.figures.accuracy_figure import accuracy
from hc_interp.figures.circuit_figure import circuit
from hc_interp.figures.core_figure import head_frequency
from hc_interp.figures.figure import Figure
from hc_interp.figures.images import NoBrowser, write_images
from hc_interp.figures.page.pieces import page
from hc_interp.figures.path_figure import path_matrix
from hc_interp.figures.probe_figure import probe_scores
from hc_interp.figures.probe_words import probe_words
from hc_interp.figures.reading_figure import reading
from hc_interp.figures.report_tables import settings_groups, tables
from hc_interp.figures.report_words import (
    about,
    core_words,
    edge_words,
    evaluation_words,
    generalizing_words,
    lead,
    reading_words,
)
from hc_interp.figures.search_figure import search_curves
from hc_interp.files import write_text
from hc_interp.provenance import versions

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


def report(run: RunResults | str | Path, path: str | Path) -> Path:
    """Write one self-contained page: question, verdict, evidence in order, every number, settings and versions.

    `run` is a `RunResults`, or the folder that one was saved in. What a run did not compute is left out. Raises
    `ResultError` for a folder that holds no run, or a run without any result.
    """
    found = run if isinstance(run, RunResults) else RunResults.load(run)
    if not set(found.present) - {"manifest"}:
        raise ResultError(
            "This run has no results to report. Expected at least one of search, evaluation, core, generalizing, "
            "edges, probes or verdict; run a step first."
        )
    return _write(found, evidence(found), path)


def evidence(run: RunResults) -> list[Section]:
    """The sections of a report, in order, with their figures; one for each part that the run has."""
    makers = (_accuracy, _core, _generalizing, _paths, _reading, _probes)
    return [section for make in makers for section in make(run)]


def _write(found: RunResults, sections: list[Section], path: str | Path) -> Path:
    figures = {name: drawn for section in sections for name, drawn in section.drawn.items()}
    verdict = found.verdict
    text = page(
        "report.html",
        figures,
        title=TITLE,
        about=about(found),
        question=QUESTION,
        verdict={"answer": verdict.answer, "sentence": verdict.sentence()} if verdict else None,
        notice=DEMO if _is_demo(found.manifest) else None,
        lead=lead(found),
        sections=sections,
        tables=tables(found),
        settings=settings_groups(found),
        version=versions()["hc-interp"],
    )
    return write_text(path, text)


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


def _both(make: Any, *args: Any, **options: Any) -> list[Figure]:
    return [make(*args, width=width, **options) for width in WIDTHS]


def _accuracy(run: RunResults) -> list[Section]:
    if run.evaluation is None:
        return []
    drawn = {"accuracy": _both(accuracy, run.evaluation)}
    return [Section("accuracy", "Accuracy of the model and its subnetworks", evaluation_words(run.evaluation), drawn)]


def _core(run: RunResults) -> list[Section]:
    drawn: dict[str, list[Figure]] = {}
    if run.core is not None:
        drawn["core"] = _both(head_frequency, run.core)
    if run.search is not None and not run.search.history.empty:
        drawn["search"] = _both(search_curves, run.search)
    words = core_words(run.core) if run.core is not None else []
    return [Section("heuristic-core", "The heuristic core", words, drawn)] if drawn else []


def _generalizing(run: RunResults) -> list[Section]:
    if run.generalizing is None:
        return []
    return [Section("generalizing", "Generalizing heads", generalizing_words(run.generalizing))]


def _paths(run: RunResults) -> list[Section]:
    if run.paths is None:
        return []
    single = not any("+" in name for row in run.paths.rows for name in row[:2])
    drawn = {"circuit": _both(_circuit, run)} if single else {}
    drawn["paths"] = _both(path_matrix, run.paths)
    return [Section("paths-between", "Paths between heads", edge_words(run.paths), drawn)]


def _circuit(run: RunResults, **options: Any) -> Figure:
    core: Any = run.core or (run.verdict and run.verdict.core)
    generalizing: Any = run.generalizing or (run.verdict and run.verdict.generalizing)
    assert run.paths is not None
    return circuit(run.paths, core=core, generalizing=generalizing, **options)


def _reading(run: RunResults) -> list[Section]:
    if run.verdict is None:
        return []
    drawn = {"reading": _both(reading, run.verdict)} if run.verdict.records else {}
    return [Section("reads-from", "Do they read from the core?", reading_words(run.verdict), drawn)]


def _probes(run: RunResults) -> list[Section]:
    if not run.probes:
        return []
    drawn = {"probes": _both(probe_scores, run.probes)}
    return [Section("what-travels", "What travels on the paths", probe_words(run.probes), drawn)]
