"""`extremes`: how differently subnetworks of the same loss in domain separate the cases of a heuristic."""

from typing import Any

import numpy as np

from hc_interp.extremes.result import BEST, FULL, HIGH, LOW, Extremes
from hc_interp.extremes.rows import SELECT, TEST
from hc_interp.figures.chart import legend_below
from hc_interp.figures.figure import Figure
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILLION, Width, layout, pixels

PLOT, LEGEND = 170.0, 70.0  # heights in points
WORDS = {FULL: "full model", BEST: "lowest loss", LOW: "low end", HIGH: "high end"}
MARKS = {FULL: ("diamond", ORANGE), BEST: ("circle", INK), LOW: ("triangle-down", BLUE), HIGH: ("triangle-up", BLUE)}
GROUPS = (("square", VERMILLION), ("cross", GREEN), ("x", PURPLE), ("star", SKY))
PANELS = {SELECT: ("x", "y", "rows searched on"), TEST: ("x2", "y2", "other words and templates")}


@figure("extremes", of=Extremes, section="accuracy")
def extremes(result: Extremes, *, width: Width = "double") -> Figure:
    """Draw separation against the loss in domain: on the rows of the search, and on other words and templates.

    The first panel has all masks that the search scored. Both have the full model, the mask of lowest loss, the two
    ends, and the subnetworks that were measured beside them (`beside=`).
    """
    import plotly.graph_objects as go

    frame: Any = result.to_frame().set_index("system")
    wide = width == "double"
    across = [[0.0, 0.46], [0.54, 1.0]] if wide else [[0.0, 1.0], [0.0, 1.0]]
    up = [[0.0, 1.0], [0.0, 1.0]] if wide else [[0.58, 1.0], [0.0, 0.42]]
    height = (PLOT if wide else 2 * PLOT + 40) + LEGEND
    axes: dict[str, Any] = {}
    for i, (x, y, words) in enumerate(PANELS.values()):
        axes[f"xaxis{x[1:]}"] = {"domain": across[i], "anchor": y, "title": {"text": f"loss in domain; {words}"},
                                 "rangemode": "tozero", "nticks": 5}  # fmt: skip
        axes[f"yaxis{y[1:]}"] = {"domain": up[i], "anchor": x, "title": {"text": "separation"}, "range": [-0.03, 1.03]}
    plot = go.Figure(
        layout=layout(width, height, legend=legend_below(44 / (height - LEGEND)), shapes=_lines(result), **axes)
    )
    plot.add_trace(_cloud(result))
    for part, (x, y, _) in PANELS.items():
        for trace in (*_beside(result, part), *_systems(frame, part)):
            plot.add_trace(trace | {"xaxis": x, "yaxis": y, "showlegend": part == TEST})
    plot.update_layout(margin={"b": int(pixels(LEGEND - 4))})
    title = f"Good subnetworks and {result.heuristic.replace('_', ' ')}"
    return Figure(plot, title, _caption(result), frame.reset_index().astype(object).to_dict("records"))


def _cloud(result: Extremes) -> dict[str, Any]:
    marker = {"color": MUTED, "size": pixels(2.2), "opacity": 0.35}
    x, y = (np.asarray(values).round(4).tolist() for values in (result.losses, result.separations))
    return {"type": "scatter", "mode": "markers", "name": "masks of the search", "x": x, "y": y, "marker": marker,
            "hoverinfo": "skip", "xaxis": "x", "yaxis": "y"}  # fmt: skip


def _beside(result: Extremes, part: str) -> list[dict[str, Any]]:
    traces = []
    groups = list(result.beside.groupby("group", sort=False)) if len(result.beside) else []
    for i, (name, rows) in enumerate(groups):
        symbol, color = GROUPS[i % len(GROUPS)]
        marker = {"symbol": symbol, "color": color, "size": pixels(3.6), "opacity": 0.7}
        traces.append(
            {"type": "scatter", "mode": "markers", "name": plain(str(name)), "x": rows["loss"].round(4).tolist(),
             "y": rows[part].round(4).tolist(), "marker": marker, "hoverinfo": "name", "legendgroup": str(name)}
        )  # fmt: skip
    return traces


def _systems(frame: Any, part: str) -> list[dict[str, Any]]:
    traces = []
    for system, (symbol, color) in MARKS.items():
        row = frame.loc[system]
        bars = [[abs(row[part] - row[f"{part}_{end}"])] for end in ("high", "low")]
        error = {"type": "data", "symmetric": False, "array": bars[0], "arrayminus": bars[1], "width": 0,
                 "thickness": pixels(1)}  # fmt: skip
        hover = f"{WORDS[system]}: loss {row['loss']:.3g}, separation {row[part]:.2f}"
        traces.append(
            {"type": "scatter", "mode": "markers", "name": WORDS[system], "x": [row["loss"]], "y": [row[part]],
             "error_y": error, "marker": {"symbol": symbol, "color": color, "size": pixels(6.5)}, "cliponaxis": False,
             "hovertext": [hover], "hoverinfo": "text", "legendgroup": system}
        )  # fmt: skip
    return traces


def _lines(result: Extremes) -> list[dict[str, Any]]:
    """The bound on the loss, and separation by chance, in both panels."""
    look = {"type": "line", "opacity": 0.7, "line": {"color": MUTED, "width": 1, "dash": "dot"}}
    lines = []
    for x, y, _ in PANELS.values():
        lines += [
            look | {"x0": result.bound, "x1": result.bound, "xref": x, "y0": 0, "y1": 1, "yref": f"{y} domain"},
            look | {"x0": 0, "x1": 1, "xref": f"{x} domain", "y0": 0.5, "y1": 0.5, "yref": y},
        ]
    return lines


def _caption(result: Extremes) -> str:
    state = {end: "counts" if result.counts(end) else "does NOT count" for end in (LOW, HIGH)}
    others = f" Small marks are {len(result.beside)} other subnetworks." if len(result.beside) else ""
    return (
        f"Subnetworks of {len(result.best)} of {len(result.universe)} components. Separation is the chance that an "
        "example on which the heuristic is right scores higher than one on which it is wrong; 0.5 is chance. The "
        f"vertical line is the bound on the loss, {result.bound:.3g}: all masks left of it answer nearly as the full "
        "model does in domain. The ends are the masks within the bound of the lowest and the highest separation on the "
        f"rows of the first panel, so they are too extreme there. The low end {state[LOW]}, the high end "
        f"{state[HIGH]}: an end counts if searches with permuted labels do not go as far and it is equal in domain. "
        f"Bars are intervals.{others} Others may lie beyond the ends; the picture does not show which subnetwork the "
        "full model uses."
    )
