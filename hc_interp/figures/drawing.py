"""`draw`: every figure that a run, or a single result, has."""

from collections.abc import Callable, Sequence
from typing import Any

from hc_interp.analysis.run_results import RunResults
from hc_interp.figures.accuracy_figure import accuracy
from hc_interp.figures.circuit_figure import circuit
from hc_interp.figures.core_figure import head_frequency
from hc_interp.figures.figure import Figure
from hc_interp.figures.path_figure import path_matrix
from hc_interp.figures.probe_figure import probe_scores
from hc_interp.figures.reading_figure import reading
from hc_interp.figures.search_figure import search_curves
from hc_interp.figures.sparsity_figure import accuracy_by_sparsity
from hc_interp.figures.style import Width
from hc_interp.results import Result


def draw(
    source: RunResults | Result | Sequence[Result],
    *,
    width: Width = "double",
    margin: float = 0.01,
    alpha: float = 0.05,
    most: int | None = None,
) -> dict[str, Figure]:
    """The figures of a run, of a result or of several, by name, in the order of the evidence.

    Several results are read as one run: the core and the generalizing heads among them name the nodes of the circuit.
    `margin`, `alpha` and `most` are the circuit's rule. Raises `ResultError` for results that have no figure, and for
    two of a kind (probes may be several).
    """
    run = (
        source if isinstance(source, RunResults) else RunResults.of([source] if isinstance(source, Result) else source)
    )
    rule: dict[str, Any] = {"margin": margin, "alpha": alpha, "most": most}
    drawn: dict[str, Callable[[], Figure]] = {}
    if run.evaluation is not None:
        evaluation = run.evaluation
        drawn["accuracy"] = lambda: accuracy(evaluation, width=width)
        if len({item.sparsity for item in evaluation.subnetworks if item is not None}) > 1:
            drawn["sparsity"] = lambda: accuracy_by_sparsity(evaluation, width=width)
    if run.core is not None:
        core = run.core
        drawn["core"] = lambda: head_frequency(core, width=width)
    if run.search is not None and not run.search.history.empty:
        search = run.search
        drawn["search"] = lambda: search_curves(search, width=width)
    if run.paths is not None:
        paths = run.paths
        if not any("+" in name for row in paths.rows for name in row[:2]):  # a row of several has no place in a graph
            drawn["circuit"] = lambda: circuit(paths, **_heads(run), **rule, width=width)
        drawn["paths"] = lambda: path_matrix(paths, width=width)
    if run.verdict is not None and run.verdict.records:
        verdict = run.verdict
        drawn["reading"] = lambda: reading(verdict, width=width)
    if run.probes:
        drawn["probes"] = lambda: probe_scores(run.probes, width=width)
    return {name: make() for name, make in drawn.items()}


def _heads(run: RunResults) -> dict[str, Any]:
    """What the circuit's heads are known as."""
    verdict = run.verdict
    return {
        "core": run.core or (verdict and verdict.core),
        "generalizing": run.generalizing or (verdict and verdict.generalizing),
    }
