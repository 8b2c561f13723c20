"""`draw`: every figure that a run, or a single result, has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hc_interp.attention.result import AttentionProfile
from hc_interp.errors import ResultError
from hc_interp.evaluation.effective_size import EffectiveSize
from hc_interp.figures.accuracy import accuracy
from hc_interp.figures.accuracy_by_sparsity import accuracy_by_sparsity
from hc_interp.figures.attention import attention_profile
from hc_interp.figures.circuit.circuit import circuit
from hc_interp.figures.effective_size import effective_size
from hc_interp.figures.figure import Figure
from hc_interp.figures.head_frequency import head_frequency
from hc_interp.figures.path_matrix import path_matrix
from hc_interp.figures.path_probes import path_probes
from hc_interp.figures.probe_map import probe_map
from hc_interp.figures.probe_scores import probe_scores
from hc_interp.figures.reading import reading
from hc_interp.figures.search_curves import search_curves
from hc_interp.figures.style import Width
from hc_interp.probing.path_result import PathProbes
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.records.result import Result
from hc_interp.runs.results import RunResults

OWN: dict[type, tuple[str, Callable[..., Figure]]] = {
    ProbeMap: ("probe-map", probe_map),
    PathProbes: ("probe-paths", path_probes),
    AttentionProfile: ("attention", attention_profile),
    EffectiveSize: ("effective-size", effective_size),
}
CORE_MARKED = ("probe-map", "attention")  # these mark the core's heads where a core is given


def draw(
    source: RunResults | Result | Sequence[Result] | Mapping[str, Result],
    *,
    width: Width = "double",
    margin: float = 0.01,
    alpha: float = 0.05,
    most: int | None = None,
) -> dict[str, Figure]:
    """The figures of a run, of a result or of several, by name, in the order of the evidence.

    Several results are read as one run: the core and the generalizing heads among them name the nodes of the circuit.
    A probe map, probed paths, an attention profile and an effective size have a figure of their own. `margin`, `alpha`
    and `most` are the circuit's rule. Raises `ResultError` for results that have no figure, and for two of a kind
    (probes may be several).
    """
    run, own = _parts(source)
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
    for name, (figure, item) in own.items():
        with_core = {"core": run.core} if run.core is not None and name in CORE_MARKED else {}
        drawn[name] = lambda figure=figure, item=item, more=with_core: figure(item, width=width, **more)
    return {name: make() for name, make in drawn.items()}


def _parts(
    source: RunResults | Result | Sequence[Result] | Mapping[str, Result],
) -> tuple[RunResults, dict[str, tuple[Any, Result]]]:
    """A run of what can be part of one, and what is drawn by itself, with its figure."""
    if isinstance(source, RunResults):
        return source, {}
    listed = [source] if isinstance(source, Result) else source
    own: dict[str, tuple[Any, Result]] = {}
    for item in listed.values() if isinstance(listed, Mapping) else listed:
        if (found := OWN.get(type(item))) is not None:
            if found[0] in own:
                raise ResultError(
                    f"{item!r} is a second {type(item).__name__}. Expected one of each kind; draw them apart."
                )
            own[found[0]] = (found[1], item)
    if isinstance(listed, Mapping):
        return RunResults.of({name: item for name, item in listed.items() if type(item) not in OWN}), own
    return RunResults.of([item for item in listed if type(item) not in OWN]), own


def _heads(run: RunResults) -> dict[str, Any]:
    """What the circuit's heads are known as."""
    verdict = run.verdict
    return {
        "core": run.core or (verdict and verdict.core),
        "generalizing": run.generalizing or (verdict and verdict.generalizing),
    }
