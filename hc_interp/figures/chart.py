"""What several charts share: points with intervals, a legend below, colour scales that survive print in grey."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hc_interp.figures.plain_text import plain
from hc_interp.figures.style import FONT_POINTS, INK, MUTED, ORANGE, Width, pixels, points

# One hue from light to dark: its order is the order of lightness. Two hues for signed values: both ends are dark, and
# the sign of what matters is written into the cell.
SEQUENTIAL = [[0.0, "#f1f4f8"], [0.5, "#5fa3cf"], [1.0, "#083d66"]]
SIGNED = [[0.0, "#8a5a00"], [0.25, ORANGE], [0.5, "#f6f6f4"], [0.75, "#5fa3cf"], [1.0, "#00629b"]]


def interval_points(
    name: str,
    x: Sequence[Any],
    y: Sequence[Any],
    low: Sequence[Any],
    high: Sequence[Any],
    *,
    symbol: str = "circle",
    color: str = INK,
    size: float = 5.0,
    hover: Sequence[str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A scatter trace of points with horizontal intervals; an undefined bound draws none."""
    value = np.asarray(x, dtype=float)
    above, below = (np.abs(np.nan_to_num(np.asarray(b, dtype=float) - value)) for b in (high, low))
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": pixels(1), "width": 0}
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": value, "y": list(y), "error_x": bars,
        "marker": {"symbol": symbol, "color": color, "size": pixels(size), "line": {"color": color, "width": 1.4}},
        "hovertext": hover, "hoverinfo": "text" if hover is not None else "all", "cliponaxis": False, **more,
    }  # fmt: skip


def named_rows(names: Sequence[str], width: Width) -> dict[str, Any]:
    """A y axis with a row for each name, from the top down; names are cut only where they are shown."""
    return {
        "type": "category", "categoryorder": "array", "categoryarray": list(names)[::-1], "showgrid": False,
        "ticks": "", "tickmode": "array", "tickvals": list(range(len(names))),
        "ticktext": [plain(name, points(width) / 2) for name in reversed(names)],
    }  # fmt: skip


def legend_below(offset: float) -> dict[str, Any]:
    """A legend under the axis titles; `offset` is how far below the plot it begins, in shares of the plot's height."""
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": -offset, "yanchor": "top", "itemclick": False} | {
        "itemdoubleclick": False, "bgcolor": "rgba(0,0,0,0)",
    }  # fmt: skip


def colorbar(title: str, **more: Any) -> dict[str, Any]:
    heading = {"text": f"{title}<br> ", "side": "top", "font": {"size": pixels(FONT_POINTS)}}
    look = {"thickness": pixels(7), "outlinewidth": 0, "ticks": "", "tickfont": {"color": MUTED}}
    return {"title": heading, **look, **more}


def cells(**more: Any) -> dict[str, Any]:
    """A heatmap trace with hairlines of paper between its cells."""
    return {"type": "heatmap", "xgap": 1, "ygap": 1, "hoverinfo": "text", **more}
