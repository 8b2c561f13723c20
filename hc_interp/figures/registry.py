"""The registry of figures: which figures a result has, and in which section of the report each of them is.

`@figure("dose", of=DoseResponse, section="Dose and response")` above a function registers it. `draw` and the report
then show it for every result of that kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hc_interp.figures.figure import Figure
from hc_interp.registry import check_name
from hc_interp.runs.results import RunResults

# The sections of a report, in order: the name that figures use, and the heading.
SECTIONS = {
    "premises": "Do the premises hold?",
    "accuracy": "Accuracy of the model and its subnetworks",
    "heuristic-core": "The heuristic core",
    "generalizing": "Generalizing heads",
    "paths-between": "Paths between heads",
    "reads-from": "Do generalizing heads read from the core?",
    "what-travels": "What probes read, with and without the paths",
    "where-read": "Where a feature can be read",
    "path-inputs": "What reaches a head's inputs",
    "attention": "What heads attend to",
    "effective-size": "Effective size",
    "over-training": "Over training",
}

Drawing = TypeVar("Drawing", bound=Callable[..., Figure])
Arguments = Callable[[RunResults, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class FigureEntry:
    """A registered figure.

    `drawing(result, width=...)` draws a result of the class `of` (for `Probe`: a mapping of all probes). `section` is
    a key of `SECTIONS`, or the heading of a section of its own, which follows them. `when(result)` says whether this
    result has the figure. `arguments(run, rule)` gives further keyword arguments; `rule` holds the circuit's `margin`,
    `alpha` and `most`.
    """

    name: str
    of: type
    section: str
    drawing: Callable[..., Figure]
    when: Callable[[Any], bool]
    arguments: Arguments


FIGURES: dict[str, FigureEntry] = {}


def figure(
    name: str,
    *,
    of: type,
    section: str,
    when: Callable[[Any], bool] = lambda result: True,
    arguments: Arguments = lambda run, rule: {},
) -> Callable[[Drawing], Drawing]:
    """Register a function as the figure `name` of results of the class `of`; see `FigureEntry` for the arguments.

    `name` is the figure's key in `draw` and its file name in a run's folder. Raises `HCError` if another function has
    this name. A function that is defined again, as when a notebook's cell runs twice, replaces its earlier self.
    """

    def register(drawing: Drawing) -> Drawing:
        check_name("figure", name, drawing, FIGURES[name].drawing if name in FIGURES else None)
        FIGURES[name] = FigureEntry(name, of, section, drawing, when, arguments)
        return drawing

    return register


def figures_in_order() -> list[FigureEntry]:
    """All registered figures, in the order of their sections, and within a section in the order of registration."""
    sections = list(dict.fromkeys([*SECTIONS, *(entry.section for entry in FIGURES.values())]))
    return sorted(FIGURES.values(), key=lambda entry: sections.index(entry.section))


def core_of(run: RunResults, rule: Mapping[str, Any]) -> dict[str, Any]:
    """The argument `core` of a figure that marks the core's heads; empty if the run has no core."""
    return {"core": run.core} if run.core is not None else {}
