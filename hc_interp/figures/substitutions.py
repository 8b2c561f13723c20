"""`substitutions`: which components of good subnetworks stand in for each other, and which come together."""

from typing import Any

import numpy as np

from hc_interp.components import MLP, component
from hc_interp.figures.chart import legend_below
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, INK, MUTED, PAPER, VERMILLION, Width, layout, pixels, points
from hc_interp.search.sampling.pairs import STAND_IN, TOGETHER
from hc_interp.search.sampling.sample import LEAST_CHAINS, SubnetworkSample

ROW, BESIDE, LEGEND = 46.0, 40.0, 40.0  # height of a layer, width of the layers' names, height below, in points
BEND = 0.16  # how far an edge leaves the straight line, as a share of its length
STEPS = 16  # points of a drawn edge
STYLES = {STAND_IN: (VERMILLION, "dash"), TOGETHER: (BLUE, "solid")}


@figure(
    "substitutions",
    of=SubnetworkSample,
    section="heuristic-core",
    when=lambda sample: sample.masks.shape[1] >= LEAST_CHAINS and bool((sample.pairs()["relation"] != "").any()),
)
def substitutions(sample: SubnetworkSample, *, most: int = 30, width: Width = "double") -> Figure:
    """Draw an edge for each pair of components that stand in for each other (dashed) or come together (solid).

    Components are at their layers, and an edge is wide where the pair is far from independent. `most` is the number of
    edges, at most: those with the largest difference. That two components stand in for each other does not show that
    they compute the same.
    """
    import plotly.graph_objects as go

    pairs: Any = sample.pairs()
    shown = pairs[pairs["relation"] != ""]
    shown = shown.reindex(shown["difference"].abs().sort_values(ascending=False, kind="stable").index)[:most]
    place = _places([component(name) for name in dict.fromkeys([*shown["first"], *shown["second"]])])
    layers = sorted({y for _, y in place.values()})
    ends = [min(layers, default=0) - 0.6, max(layers, default=1) + 0.6]
    largest = float(shown["difference"].abs().max()) if len(shown) else 1.0
    plot = go.Figure(
        layout=layout(
            width,
            ROW * max(2, len(layers)) + LEGEND,
            xaxis={"visible": False, "range": [-0.06, 1.06]},
            yaxis={"tickvals": layers, "ticktext": [f"L{layer:g}" for layer in layers], "showgrid": False,
                   "showline": False, "ticks": "", "range": ends},
            legend=legend_below(10 / (ROW * max(2, len(layers)))),
        )
    )  # fmt: skip
    for relation, (color, dash) in STYLES.items():
        part = shown[shown["relation"] == relation]
        for i, row in enumerate(part.to_dict("records")):
            line = {"color": color, "dash": dash, "width": pixels(0.6 + 2.2 * abs(row["difference"]) / largest)}
            plot.add_trace(_edge(row, place, line) | {"name": relation, "showlegend": i == 0})
    plot.add_trace(_nodes(place, points(width)))
    data = shown.to_dict("records")
    return Figure(plot, "Which components stand in for each other", _caption(sample, pairs, shown), data)


def _places(items: list[Any]) -> dict[str, tuple[float, float]]:
    """The heads of a layer side by side in the order of their numbers, its MLP at the right."""
    layers = sorted({item.layer for item in items})
    place = {}
    for layer in layers:
        row = sorted(
            (item for item in items if item.layer == layer),
            key=lambda item: (isinstance(item, MLP), getattr(item, "head", 0)),
        )
        for i, item in enumerate(row):
            place[str(item)] = ((i + 0.5 + 0.25 * (layer % 2)) / (len(row) + 0.25), float(layer))
    return place


def _edge(row: dict[str, Any], place: dict[str, tuple[float, float]], line: dict[str, Any]) -> dict[str, Any]:
    """A quadratic curve between two components, so that edges within a layer do not run through others."""
    start, end = (np.array(place[row[name]]) for name in ("first", "second"))
    along = end - start
    middle = (start + end) / 2 + BEND * np.array([0.3 * along[1], 6 * abs(along[0]) if along[1] == 0 else along[0]])
    t = np.linspace(0, 1, STEPS)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    hover = (
        f"{row['first']} and {row['second']} {row['relation']}: together in {percent(row['together'], 0)}, expected "
        f"{percent(row['expected'], 0)} (q = {row['q']:.2g})"
    )
    return {"type": "scatter", "mode": "lines", "x": curve[:, 0].round(3).tolist(), "y": curve[:, 1].round(3).tolist(),
            "line": line, "opacity": 0.8, "hoverinfo": "text", "hovertext": hover}  # fmt: skip


def _nodes(place: dict[str, tuple[float, float]], across: float) -> dict[str, Any]:
    x, y = ([at[i] for at in place.values()] for i in (0, 1))
    size = min(30.0, (across - BESIDE) / 12)
    marker = {"size": pixels(size), "color": PAPER, "line": {"color": MUTED, "width": 1}}
    return {"type": "scatter", "mode": "markers+text", "x": x, "y": y, "text": list(place), "hoverinfo": "skip",
            "showlegend": False, "textfont": {"color": INK, "size": pixels(6.5)}, "marker": marker}  # fmt: skip


def _caption(sample: SubnetworkSample, pairs: Any, shown: Any) -> str:
    counts = {relation: int((pairs["relation"] == relation).sum()) for relation in STYLES}
    state = "" if sample.mixed else " The chains have not mixed: the figure describes them and not the set."
    return (
        f"Of {len(pairs)} pairs of components that vary, {counts[STAND_IN]} stand in for each other (dashed) and "
        f"{counts[TOGETHER]} come together (solid), at q of at most 0.05; {len(shown)} are drawn, a wide line where a "
        "pair is together more or less often than in random masks of this size with the same frequencies. A pair that "
        f"stands in for each other gives the same answers on these data; it need not compute the same.{state}"
    )
