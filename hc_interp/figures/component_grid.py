"""A grid with a cell for each component: heads by layers, and the MLPs in a column of their own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hc_interp.components import MLP, Component, Head
from hc_interp.figures.chart import SEQUENTIAL, cells, colorbar, percent_axis
from hc_interp.figures.style import Width, layout, pixels, points

MLP_GAP = 0.6  # distance between the heads' columns and the MLPs' column, in columns
BESIDE = 88.0  # width of the layers' names and the colour bar, in points
TALLEST = 22.0  # height of a row, in points, at most
DOT = 4.5  # diameter of a dot, in points


def component_grid(
    universe: Sequence[Component],
    shares: Mapping[str, float],
    hover: Mapping[str, str],
    *,
    bar: str,
    full: Iterable[Component],
    hollow: Iterable[Component] = (),
    width: Width,
) -> Any:
    """A plotly figure: one cell for each component, dark if its share (0 to 1) is high, layers upward.

    `shares` and `hover` are by the component's name; `bar` is the title of the colour bar. Components of `full` have a
    white dot, those of `hollow` a ring.
    """
    import plotly.graph_objects as go

    layers = sorted({item.layer for item in universe})
    heads = sorted({item.head for item in universe if isinstance(item, Head)})
    with_mlps = any(isinstance(item, MLP) for item in universe)
    columns = [float(index) for index in range(len(heads))] + [len(heads) + MLP_GAP] * with_mlps
    words = [str(head) for head in heads] + ["MLP"] * with_mlps
    centre = {
        item: (columns[heads.index(item.head)] if isinstance(item, Head) else columns[-1], item.layer)
        for item in universe
    }
    size = (points(width) - BESIDE) / (columns[-1] + 1)
    z = [[float("nan")] * len(columns) for _ in layers]
    text = [[""] * len(columns) for _ in layers]
    for item in universe:
        x, layer = centre[item]
        i, j = layers.index(layer), columns.index(x)
        z[i][j], text[i][j] = shares[str(item)], hover[str(item)]
    plot = go.Figure(
        layout=layout(
            width,
            min(size, TALLEST) * len(layers) + 46,
            xaxis={"tickvals": columns, "ticktext": words, "showgrid": False, "showline": False, "ticks": "",
                   "title": {"text": "head", "standoff": 4}, "tickangle": 0},
            yaxis={"tickvals": layers, "ticktext": [f"L{layer}" for layer in layers], "showgrid": False,
                   "showline": False, "ticks": ""},
            showlegend=False,
        )
    )  # fmt: skip
    scale = colorbar(bar, **percent_axis(0, 1, 3))
    shade = {"zmin": 0, "zmax": 1, "colorscale": SEQUENTIAL, "colorbar": scale}
    plot.add_trace(cells(x=columns, y=layers, z=z, hovertext=text, **shade))
    plot.add_trace(_dots([centre[item] for item in full], {"color": "#fff", "line": {"color": "#000", "width": 1}}))
    if rings := [centre[item] for item in hollow]:
        ring = {"symbol": "circle-open", "color": "#fff", "line": {"color": "#fff", "width": 1.5}}
        plot.add_trace(_dots(rings, ring))
    return plot


def _dots(places: Sequence[tuple[float, int]], marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": [x for x, _ in places], "y": [y for _, y in places],
        "marker": {"size": pixels(DOT)} | marker, "hoverinfo": "skip",
    }  # fmt: skip
