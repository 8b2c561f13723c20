"""A grid of heads, layers by heads, as a heatmap trace: what several charts draw."""

from collections.abc import Iterable, Mapping
from typing import Any

from hc_interp.components import Head, components, heads_of
from hc_interp.figures.chart import SEQUENTIAL, cells
from hc_interp.figures.style import pixels


def grid(
    values: Mapping[Head, float],
    hover: Mapping[Head, str],
    *,
    low: float,
    high: float,
    text: Mapping[Head, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One cell per head, layers upward, dark where the value is high; heads without a value stay empty."""
    layers, heads = axes(values)
    z = [[values.get(Head(layer, head), float("nan")) for head in heads] for layer in layers]
    said = [[hover.get(Head(layer, head), "") for head in heads] for layer in layers]
    inside = {}
    if text is not None:
        inside = {
            "text": [[text.get(Head(layer, head), "") for head in heads] for layer in layers],
            "texttemplate": "%{text}",
            "textfont": {"size": pixels(6.5)},
        }
    scale = {"zmin": low, "zmax": high, "colorscale": SEQUENTIAL}
    return cells(x=heads, y=layers, z=z, hovertext=said, **scale, **inside, **more)


def axes(values: Iterable[Head]) -> tuple[list[int], list[int]]:
    """The layers and the heads' numbers that occur."""
    found = list(values)
    return sorted({item.layer for item in found}), sorted({item.head for item in found})


def dots(marked: Any, values: Iterable[Head], *, corner: bool = False) -> dict[str, Any]:
    """A dot in the cell of each marked head (a core, or heads), in the corner where cells hold text."""
    found = [item for item in components(heads_of(marked)) if item in set(values)] if marked is not None else []
    shift = 0.34 if corner else 0.0
    return {
        "type": "scatter", "mode": "markers", "hoverinfo": "skip", "showlegend": False,
        "x": [item.head + shift for item in found], "y": [item.layer + shift for item in found],
        "marker": {"color": "#fff", "size": pixels(3.2 if corner else 4.5), "line": {"color": "#000", "width": 1}},
    }  # fmt: skip
