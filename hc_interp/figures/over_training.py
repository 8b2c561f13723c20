"""`over_training`: a quantity at each checkpoint of a series, as lines or as cells."""

from typing import Any

import numpy as np
import pandas as pd

from hc_interp.dynamics.result import OverTraining
from hc_interp.errors import HCError
from hc_interp.figures.chart import SEQUENTIAL, SIGNED, cells, colorbar, legend_below
from hc_interp.figures.figure import Figure
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Width,
    layout,
    pixels,
    points,
)

PANEL, LINE = 180.0, 13.0  # heights of a plot with lines and of a line of its legend, in points
ROW, AXIS = 11.0, 56.0  # heights of a row of cells, and of the axis below them with the colour bar's heading
MOST = 40  # rows of cells that are drawn
LINES = [
    (INK, "circle", "solid"), (BLUE, "square", "solid"), (ORANGE, "diamond", "solid"), (GREEN, "cross", "solid"),
    (SKY, "square", "dot"), (VERMILLION, "diamond", "dot"), (PURPLE, "cross", "dot"), (BLUE, "x", "dash"),
    (ORANGE, "triangle-up", "dash"), (GREEN, "star", "dash"),
]  # fmt: skip


@figure("over-training", of=OverTraining, section="over-training")
def over_training(found: OverTraining, *, width: Width = "double", most: int = MOST) -> Figure:
    """Draw the quantity of these results at each training step, which are evenly spaced and written below.

    A few items (accuracy, premises, T) are lines with intervals; many (heads, paths, sites) are rows of cells, of which
    the `most` with the largest values are drawn, by layer. What is marked is filled, or has a dot. Raises `HCError` for
    results of a kind that has no quantity over training, and for results without any value.
    """
    quantity, frame = found.quantity, found.trajectory()
    drawn = frame.dropna(subset=["value"])
    any_marked = bool(np.any(frame["marked"]))
    if drawn.empty:
        raise HCError(f"{found!r} has no value at any checkpoint, so there is nothing to draw. See found.to_frame().")
    draw = _lines if quantity.form == "lines" else _cells
    plot, left_out = draw(found, drawn, width, most)
    mark = f" Marked: {quantity.mark}." if quantity.mark and any_marked else ""
    cut = f" {left_out} further items are in the table and not drawn." if left_out else ""
    caption = f"{quantity.about}{mark}{cut} Training steps are evenly spaced, not to scale ({len(found)} checkpoints)."
    return Figure(plot, quantity.heading, caption, frame.to_dict("records"))


def _lines(found: OverTraining, frame: pd.DataFrame, width: Width, most: int) -> tuple[Any, int]:
    import plotly.graph_objects as go

    quantity = found.quantity
    rows = frame.to_dict("records")
    any_marked = any(row["marked"] for row in rows)
    items = list(dict.fromkeys(row["item"] for row in rows))
    names = items[: len(LINES)]
    key_rows = -(-len(names) // (3 if width == "double" else 1))
    low, high = quantity.limits
    limits = {} if low is None or high is None else {"range": [low - 0.03, high + 0.05]}
    plot = go.Figure(
        layout=layout(
            width,
            PANEL + LINE * key_rows,
            xaxis=_step_axis(found),
            yaxis={"title": {"text": quantity.title}, **limits},
            legend=legend_below(44 / PANEL),
            showlegend=len(names) > 1,
        )
    )
    plot.update_layout(margin={"b": pixels(36 + LINE * key_rows)})
    for name, (color, symbol, dash) in zip(names, LINES, strict=False):
        part = [row for row in rows if row["item"] == name]
        above, below = ([abs(np.nan_to_num(row[end] - row["value"])) for row in part] for end in ("high", "low"))
        bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "width": 0}
        filled = [row["marked"] or not any_marked for row in part]
        hover = [f"{plain(name)}, step {row['step']:,}: {row['value']:.2f}{_interval(row)}" for row in part]
        plot.add_trace(
            {
                "type": "scatter", "mode": "lines+markers", "name": plain(name, points(width) / 2),
                "x": [str(r["step"]) for r in part], "y": [r["value"] for r in part],
                "error_y": {**bars, "thickness": pixels(0.8), "color": color}, "cliponaxis": False,
                "line": {"color": color, "dash": dash, "width": 1.5}, "hovertext": hover, "hoverinfo": "text",
                "marker": {
                    "color": color, "size": pixels(5), "line": {"color": color, "width": 1.2},
                    "symbol": [symbol if full else f"{symbol}-open" for full in filled],
                },
            }
        )  # fmt: skip
    return plot, len(items) - len(names)


def _cells(found: OverTraining, frame: pd.DataFrame, width: Width, most: int) -> tuple[Any, int]:
    import plotly.graph_objects as go

    quantity = found.quantity
    rows = frame.to_dict("records")
    largest: dict[str, float] = {}
    for row in rows:
        largest[row["item"]] = max(largest.get(row["item"], 0.0), abs(row["value"]))
    kept = set(sorted(largest, key=lambda name: -largest[name])[:most])
    names, steps = [name for name in largest if name in kept], list(found.steps)
    values = {(row["item"], row["step"]): row["value"] for row in rows}
    z = np.array([[values.get((name, step), np.nan) for step in steps] for name in names])
    low, high = quantity.limits
    signed = bool((z < 0).any()) and low is None
    top = float(np.nanmax(np.abs(z))) or 1.0
    scale = {"zmin": -top, "zmax": top, "colorscale": SIGNED} if signed else {
        "zmin": 0.0 if low is None else low, "zmax": top if high is None else high, "colorscale": SEQUENTIAL,
    }  # fmt: skip
    text = [
        [f"{plain(name)}, step {step:,}: {value:.2f}" for step, value in zip(steps, row, strict=True)]
        for name, row in zip(names, z, strict=True)
    ]
    x = [str(step) for step in steps]
    plot = go.Figure(
        layout=layout(
            width,
            ROW * len(names) + AXIS,
            xaxis=_step_axis(found) | {"showline": False, "ticks": "", "showgrid": False},
            yaxis={
                "type": "category", "range": [len(names) - 0.5, -0.5], "showline": False, "ticks": "",
                "showgrid": False, "tickfont": {"size": pixels(6.5)}, "tickmode": "array", "tickvals": names,
                "ticktext": [plain(name, points(width) / 3) for name in names],
            },
            showlegend=False,
        )
    )  # fmt: skip
    bar = colorbar(quantity.title)
    plot.add_trace(cells(x=x, y=names, z=z, hovertext=text, colorbar=bar, **scale))
    marked = [row for row in rows if row["marked"] and row["item"] in kept]
    if marked:
        plot.add_trace(
            {
                "type": "scatter", "mode": "markers", "x": [str(row["step"]) for row in marked],
                "y": [row["item"] for row in marked], "hoverinfo": "skip", "showlegend": False,
                "marker": {"color": "#fff", "size": pixels(3.2), "line": {"color": "#000", "width": 1}},
            }
        )  # fmt: skip
    return plot, max(0, len(largest) - most)


def _step_axis(found: OverTraining) -> dict[str, Any]:
    names = [str(step) for step in found.steps]
    return {
        "type": "category", "categoryorder": "array", "categoryarray": names, "title": {"text": "training step"},
        "range": [-0.5, len(names) - 0.5],
    }  # fmt: skip


def _interval(row: dict[str, Any]) -> str:
    return f" [{row['low']:.2f}, {row['high']:.2f}]" if np.isfinite(row["low"]) else ""
