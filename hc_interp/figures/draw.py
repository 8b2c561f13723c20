"""`draw`: every figure that a run, or a single result, has."""

from collections.abc import Mapping, Sequence

from hc_interp.errors import ResultError
from hc_interp.figures.figure import Figure
from hc_interp.figures.registry import figures_in_order
from hc_interp.figures.style import Width
from hc_interp.records.result import Result
from hc_interp.runs.results import RunResults


def draw(
    source: RunResults | Result | Sequence[Result] | Mapping[str, Result],
    *,
    width: Width = "double",
    margin: float = 0.01,
    alpha: float = 0.05,
    most: int | None = None,
) -> dict[str, Figure]:
    """The figures of `source`, a run, one result or several, by name, in the order of the report.

    Several results are read as one run: the core and the generalizing heads among them name the nodes of the circuit.
    `margin`, `alpha` and `most` choose the circuit's paths. Raises `ResultError` for results that have no figure, and
    for two results of one kind (probes may be several).
    """
    if isinstance(source, Result):
        source = [source]
    run = source if isinstance(source, RunResults) else RunResults.of(source)
    entries = figures_in_order()
    drawable = tuple(dict.fromkeys(entry.of for entry in entries))
    for name, extra in run.extras.items():
        if not isinstance(extra, drawable):
            raise ResultError(
                f"{name} is a {type(extra).__name__}, which has no figure. Expected results that have one: "
                f"{', '.join(kind.__name__ for kind in drawable)}."
            )
    rule = {"margin": margin, "alpha": alpha, "most": most}
    return {
        entry.name: entry.drawing(result, width=width, **entry.arguments(run, rule))
        for entry in entries
        if (result := run.get(entry.of)) is not None and entry.when(result)
    }
