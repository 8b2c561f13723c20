"""A grid of heads, layers by heads, as a heatmap trace: what several charts draw."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hc_interp.components import Head, components, heads_of
from hc_interp.figures.chart import SEQUENTIAL, cells
from hc_interp.figures.style import pixels

CORNER = 0.26  # from the middle of a cell
WHITE_FROM = 0.7  # the shade of `SEQUENTIAL` from which white is easier to read than black


def grid(
    values: Mapping[Head, float],
    hover: Mapping[Head, str],
    *,
    low: float,
    high: float,
    **more: Any,
) -> dict[str, Any]:
    """One cell per head, layers upward, dark where the value is high; heads without a value stay empty."""
    layers, heads = axes(values)
    z = [[values.get(Head(layer, head), float("nan")) for head in heads] for layer in layers]
    said = [[hover.get(Head(layer, head), "") for head in heads] for layer in layers]
    scale = {"zmin": low, "zmax": high, "colorscale": SEQUENTIAL}
    return cells(x=heads, y=layers, z=z, hovertext=said, **scale, **more)


def written(x: Sequence[Any], y: Sequence[Any], text: Sequence[str], shade: Sequence[float]) -> dict[str, Any]:
    """What stands in cells, in black or white; `shade` says how dark each is, from 0 to 1."""
    color = ["#fff" if dark > WHITE_FROM else "#000" for dark in shade]
    return {
        "type": "scatter", "mode": "text", "x": x, "y": y, "text": text, "hoverinfo": "skip", "showlegend": False,
        "textfont": {"size": pixels(6.5), "color": color},
    }  # fmt: skip


def axes(values: Iterable[Head]) -> tuple[list[int], list[int]]:
    """The layers and the heads' numbers that occur."""
    found = list(values)
    return sorted({item.layer for item in found}), sorted({item.head for item in found})


def dots(marked: Any, values: Iterable[Head], *, corner: float = CORNER) -> dict[str, Any]:
    """A dot in the corner of the cell of each marked head (a core, or heads): what the cell shows stays visible."""
    found = [item for item in components(heads_of(marked)) if item in set(values)] if marked is not None else []
    return {
        "type": "scatter", "mode": "markers", "hoverinfo": "skip", "showlegend": False,
        "x": [item.head + corner for item in found], "y": [item.layer + corner for item in found],
        "marker": {"color": "#fff", "size": pixels(3.2), "line": {"color": "#000", "width": 1}},
    }  # fmt: skip
