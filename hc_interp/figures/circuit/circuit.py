"""`circuit`: draws the circuit diagram of a verdict or of path effects."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from hc_interp.components import MLP, Head, component, whole
from hc_interp.errors import HCError
from hc_interp.figures.circuit.drawing import draw
from hc_interp.figures.circuit.graph import CircuitGraph, circuit_graph
from hc_interp.figures.circuit.key import key_entries, notice_height
from hc_interp.figures.circuit.layout import lay_out
from hc_interp.figures.circuit.tikz import tikz
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, share
from hc_interp.figures.registry import figure
from hc_interp.figures.style import Width, points
from hc_interp.heads.core import HeuristicCore
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.patching.effects import PathEffects
from hc_interp.reading.verdict import Verdict
from hc_interp.runs.results import RunResults
from hc_interp.statistics.tests import Interval

MAX_EDGES = {"single": 30, "double": 60}  # by default; more edges can hardly be told apart
TITLES = {False: "Paths between heuristic and generalizing heads", True: "Paths between heads"}
NO_MLPS = " MLPs were not measured as senders."


@figure(
    "circuit",
    of=PathEffects,
    section="paths-between",
    when=lambda paths: not any("+" in name for row in paths.rows for name in row[:2]),  # a node is one component
    arguments=lambda run, rule: {**_known_heads(run), **rule},
)
def circuit(
    source: Verdict | PathEffects,
    *,
    core: Iterable[Head | str] | HeuristicCore | None = None,
    generalizing: Iterable[Head | str] | GeneralizingHeads | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
    most: int | None = None,
    direct: Interval | None = None,
    width: Width = "double",
    labels: bool = True,
) -> Figure:
    """Draw heads, MLPs and the paths between them, layers upward, for a column of 3.3 or 6.9 inches.

    `source` is a verdict or path effects. For path effects, `core` and `generalizing` are heads, or results that have
    `.heads`, and name the nodes; without both, heads are named senders and receivers.

    The node share of a path is its effect, divided by the effect of setting the receiver's whole output to its corrupt
    value. A path qualifies if its q value (Benjamini-Hochberg) is below `alpha` and its whole interval of |node share|
    is above `margin`. The `most` qualifying paths of largest |node share| are drawn (default: 30 in a single column, 60
    in a double one). Line widths grow with the square root of |node share|; a line of negative node share is dashed.
    Each line ends at the receiver's q, k or v; `labels=False` leaves out these letters. Components at roles stand in
    columns, a column for each role (`path_effects(..., positions="roles")`). `direct` is T on route
    "direct", for the caption; a verdict has its own.

    Raises `HCError` for a source without paths, a rule outside its range, and an unknown width. The picture does not
    show paths that were not measured, and a missing line is not evidence of a missing path.
    """
    joint = source.direct_T if isinstance(source, Verdict) else direct
    effects, core, generalizing = _parts(source, core, generalizing)
    points(width)  # raises `HCError` for an unknown width
    most = MAX_EDGES[width] if most is None else most
    graph = circuit_graph(effects, core, generalizing, margin=margin, alpha=alpha, most=most)
    entries, foot = key_entries(graph, width)
    graph = lay_out(graph, width, foot, notice_height(graph, width), letters=labels)
    return Figure(
        plot=draw(graph, entries, width, labels),
        title=TITLES[core is None and generalizing is None],
        caption=_caption(graph, effects, labels, joint),
        data=graph.to_dict(),
        tex=lambda: tikz(graph, entries, width, labels),
    )


def _parts(source: Any, core: Any, generalizing: Any) -> tuple[PathEffects, Any, Any]:
    if isinstance(source, Verdict):
        if core is not None or generalizing is not None:
            raise HCError("A verdict has its own core and generalizing heads; leave core= and generalizing= out.")
        if source.edges is None:
            raise HCError(
                f"This verdict has no paths to draw ({source.reason}). Pass path effects instead: "
                "circuit(path_effects(...), core=core, generalizing=gen)."
            )
        return source.edges, source.core, source.generalizing
    if not isinstance(source, PathEffects):
        raise HCError(
            f"circuit got a {type(source).__name__}. Expected the Verdict of reads_from, or the PathEffects of "
            "path_effects, with core= and generalizing= to name its heads."
        )
    return source, core, generalizing


def _caption(graph: CircuitGraph, effects: PathEffects, labels: bool, direct: Interval | None) -> str:
    drawn = graph.notice() or f"{graph.qualified} of {graph.paths} measured paths qualify, and are drawn."
    if graph.qualified > len(graph.edges):
        drawn = (
            f"{graph.qualified} of {graph.paths} measured paths qualify; the {len(graph.edges)} strongest by "
            f"|node share| are drawn, {graph.qualified - len(graph.edges)} are not."
        )
    mlps = any(isinstance(whole(component(row[0])), MLP) for row in effects.rows)
    within = "Positions within a layer have no meaning."
    if graph.columns:
        within = (
            "Columns are roles: a sender is corrupt, and a receiver keeps its patched value, at the positions of its "
            "role alone. Positions within a column have no meaning."
        )
    return (
        f"{drawn} Layers go upward; each line is a path from a sender into one input of a receiver (route "
        f"{graph.route}){', named below the receiver: q, k or v' * (labels and bool(graph.edges))}. Its node share is "
        "the effect of patching the path, divided by the effect of setting the receiver's whole output to its corrupt "
        f"value. A path qualifies if its q value (Benjamini-Hochberg) is below {graph.alpha:g} and its whole "
        f"{percent(graph.level, 0)} interval of |node share| is above {percent(graph.margin)}. Line widths grow with "
        "the square root of |node share|; a dashed line has a negative node share, so its path works against the "
        f"receiver's effect.{NO_MLPS * (not mlps)} {within} A path that is not drawn "
        "was not shown to be absent, and the node shares of different paths do not add up." + _joint(direct)
    )


def _joint(direct: Interval | None) -> str:
    """The joint share of all direct paths, beside which the single lines are to be read."""
    if direct is None or not np.isfinite(float(direct)):
        return ""
    return (
        f" All direct paths from the core into the generalizing heads together carry {share(direct)} of the "
        "generalizing heads' node effect (T on route direct)."
    )


def _known_heads(run: RunResults) -> dict[str, Any]:
    """The core and the generalizing heads, from wherever the run has them."""
    verdict = run.verdict
    return {
        "core": run.core or (verdict and verdict.core),
        "generalizing": run.generalizing or (verdict and verdict.generalizing),
        "direct": verdict.direct_T if verdict is not None and run.paths is not None else None,
    }
