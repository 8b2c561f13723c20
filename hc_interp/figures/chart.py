"""Parts that several figures share: points with intervals, a legend below, and colour scales for print in grey."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hc_interp.figures.numbers import percent
from hc_interp.figures.plain_text import plain
from hc_interp.figures.style import FONT_POINTS, INK, MUTED, ORANGE, Width, pixels, points

# SEQUENTIAL is one hue from light to dark, so the order of values is visible in grey. SIGNED has two hues with two dark
# ends; in grey these look alike, so figures write the sign into the cells that matter.
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
    """A scatter trace of points with horizontal intervals. On a side with an undefined bound no line is drawn."""
    value = np.asarray(x, dtype=float)
    above, below = (np.abs(np.nan_to_num(np.asarray(b, dtype=float) - value)) for b in (high, low))
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": pixels(1), "width": 0}
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": value, "y": list(y), "error_x": bars,
        "marker": {"symbol": symbol, "color": color, "size": pixels(size), "line": {"color": color, "width": 1.4}},
        "hovertext": hover, "hoverinfo": "text" if hover is not None else "all", "cliponaxis": False, **more,
    }  # fmt: skip


def named_rows(names: Sequence[str], width: Width) -> dict[str, Any]:
    """A y axis with a row for each name, from the top down. Long names are cut in the labels only."""
    return {
        "type": "category", "categoryorder": "array", "categoryarray": list(names)[::-1], "showgrid": False,
        "ticks": "", "tickmode": "array", "tickvals": list(range(len(names))),
        "ticktext": [plain(name, points(width) / 2) for name in reversed(names)],
    }  # fmt: skip


def legend_below(offset: float) -> dict[str, Any]:
    """A legend that begins `offset` below the plot, as a share of the plot's height."""
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": -offset, "yanchor": "top", "itemclick": False} | {
        "itemdoubleclick": False, "bgcolor": "rgba(0,0,0,0)",
    }  # fmt: skip


def colorbar(title: str, **more: Any) -> dict[str, Any]:
    heading = {"text": f"{title}<br> ", "side": "top", "font": {"size": pixels(FONT_POINTS)}}
    look = {"thickness": pixels(7), "outlinewidth": 0, "ticks": "", "tickfont": {"color": MUTED}}
    return {"title": heading, **look, **more}


def cells(**more: Any) -> dict[str, Any]:
    """A heatmap trace with thin gaps between its cells."""
    return {"type": "heatmap", "xgap": 1, "ygap": 1, "hoverinfo": "text", **more}


def signed_root(number: float) -> float:
    """The signed square root."""
    return round(float(np.sign(number) * np.sqrt(abs(number))), 4)


def root_ticks(largest: float, shares: bool) -> dict[str, Any]:
    """Ticks of the colour bar: 0, and on both sides values of one digit near the largest value and a quarter of it.

    On a scale of square roots these are about evenly spaced.
    """
    positive = []
    for divisor in (1, 4):
        power = 10.0 ** np.floor(np.log10(largest / divisor))
        positive.append(float(np.floor(largest / divisor / power + 1e-9) * power))
    values = [*(-number for number in positive), 0.0, *positive[::-1]]
    text = [
        percent(value, 0 if abs(value) >= 0.01 or not value else 2) if shares else f"{value:.1g}" for value in values
    ]
    return {
        "tickvals": [signed_root(value) for value in values],
        "ticktext": [words.replace("-", "\u2212") for words in text],
    }


PERCENT_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


def percent_axis(low: float, high: float, most: int = 6) -> dict[str, Any]:
    """Ticks of an axis of shares from `low` to `high`, at most `most` of them where shares allow it, as "50 %"."""
    step = next((step for step in PERCENT_STEPS if (high - low) / step < most), PERCENT_STEPS[-1])
    values = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
    return {
        "tickmode": "array", "tickvals": values.round(4).tolist(),
        "ticktext": [percent(value, 0).replace("-", "\u2212") for value in values],
    }  # fmt: skip


def every(names: list[str]) -> dict[str, Any]:
    """An axis with a label at every row or column. By default plotly leaves out labels that are close together."""
    return {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names}
