"""`circuit`: from a verdict, or from path effects, to the diagram."""

from collections.abc import Iterable
from typing import Any

from hc_interp.analysis.verdict import Verdict
from hc_interp.errors import HCError
from hc_interp.figures.circuit_drawing import draw
from hc_interp.figures.circuit_graph import CircuitGraph, circuit_graph
from hc_interp.figures.circuit_key import key_entries, notice_height
from hc_interp.figures.circuit_layout import lay_out
from hc_interp.figures.circuit_tikz import tikz
from hc_interp.figures.figure import Figure
from hc_interp.figures.style import Width
from hc_interp.patching.effects import PathEffects


def circuit(
    source: Verdict | PathEffects,
    *,
    core: Iterable[Any] | None = None,
    generalizing: Iterable[Any] | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
    width: Width = "double",
    labels: bool = False,
) -> Figure:
    """Draw heads, MLPs and the paths between them, layers upward, for a column of 3.3 or 6.9 inches.

    `source` is a verdict, or path effects with `core=` and `generalizing=` (heads, or results that have `.heads`). An
    edge is drawn where its Benjamini-Hochberg q is below `alpha` and its whole |node share| interval lies above
    `margin`; its line is as wide as the square root of |node share|, dashed where the share is negative. `labels=True`
    writes the receiver's input (q, k, v) on each edge. Raises `HCError`.

    The picture does not show paths that were not measured, and a missing edge is not evidence of a missing path.
    """
    effects, core, generalizing = _parts(source, core, generalizing)
    graph = circuit_graph(effects, core, generalizing, margin=margin, alpha=alpha)
    entries, foot = key_entries(graph, width)
    graph = lay_out(graph, width, foot, notice_height(graph, width))
    return Figure(
        plot=draw(graph, entries, width, labels),
        title="Paths between heuristic and generalizing heads",
        caption=_caption(graph),
        data=graph.to_dict(),
        tex=lambda: tikz(graph, entries, width, labels),
    )


def _parts(source: Any, core: Any, generalizing: Any) -> tuple[PathEffects, Iterable[Any], Iterable[Any]]:
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
            "path_effects together with core= and generalizing=."
        )
    if core is None or generalizing is None:
        raise HCError("circuit(path_effects) needs core= and generalizing=: results with .heads, or lists of heads.")
    return source, getattr(core, "heads", core), getattr(generalizing, "heads", generalizing)


def _caption(graph: CircuitGraph) -> str:
    drawn = graph.notice() or f"{len(graph.edges)} of {graph.paths} measured paths are drawn."
    return (
        f"{drawn} Layers go upward; a line runs from a sender into an input of a receiver (route {graph.route}). It is "
        f"drawn where q < {graph.alpha:g} (Benjamini-Hochberg) and the whole {graph.level:.0%} interval of "
        f"|node share| lies above {graph.margin:.3g}; its width grows with the square root of |node share|, dashed "
        "means that the path works against the receiver's own effect. Places within a layer mean nothing. A path "
        "that is not drawn was not shown to be absent, and shares of different edges do not add up."
    )
