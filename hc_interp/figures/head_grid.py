"""A grid with a cell for each head, layers by heads, as plotly traces that several figures draw."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hc_interp.components import Head, components, heads_of
from hc_interp.figures.chart import SEQUENTIAL, cells
from hc_interp.figures.style import pixels
from hc_interp.heads.core import HeuristicCore

CORNER = 0.26  # distance of a dot from the middle of its cell, in cells
WHITE_FROM = 0.7  # on a darker shade of `SEQUENTIAL`, white text is easier to read than black text


def grid(
    values: Mapping[Head, float],
    hover: Mapping[Head, str],
    *,
    low: float,
    high: float,
    **more: Any,
) -> dict[str, Any]:
    """One cell for each head, layers upward, dark if its value is high. A head without a value has an empty cell."""
    layers, heads = axes(values)
    z = [[values.get(Head(layer, head), float("nan")) for head in heads] for layer in layers]
    text = [[hover.get(Head(layer, head), "") for head in heads] for layer in layers]
    scale = {"zmin": low, "zmax": high, "colorscale": SEQUENTIAL}
    return cells(x=heads, y=layers, z=z, hovertext=text, **scale, **more)


def written(x: Sequence[Any], y: Sequence[Any], text: Sequence[str], shade: Sequence[float]) -> dict[str, Any]:
    """Text in cells, in black or white. `shade` is the darkness of each cell, from 0 to 1."""
    color = ["#fff" if dark > WHITE_FROM else "#000" for dark in shade]
    return {
        "type": "scatter", "mode": "text", "x": x, "y": y, "text": text, "hoverinfo": "skip", "showlegend": False,
        "textfont": {"size": pixels(6.5), "color": color},
    }  # fmt: skip


def axes(values: Iterable[Head]) -> tuple[list[int], list[int]]:
    """The layers, and the numbers of heads within a layer, that occur."""
    heads = list(values)
    return sorted({item.layer for item in heads}), sorted({item.head for item in heads})


def dots(
    marked: Iterable[Head | str] | HeuristicCore | None, values: Iterable[Head], *, corner: float = CORNER
) -> dict[str, Any]:
    """A dot in the corner of the cell of each marked head among `values`, where it does not hide the cell's text."""
    heads = set(values)
    drawn = [item for item in components(heads_of(marked)) if item in heads] if marked is not None else []
    return {
        "type": "scatter", "mode": "markers", "hoverinfo": "skip", "showlegend": False,
        "x": [item.head + corner for item in drawn], "y": [item.layer + corner for item in drawn],
        "marker": {"color": "#fff", "size": pixels(3.2), "line": {"color": "#000", "width": 1}},
    }  # fmt: skip
