"""`search_curves`: loss and sparsity during a mask search."""

import math
from typing import Any

import numpy as np
import pandas as pd

from hc_interp.errors import HCError
from hc_interp.figures.chart import percent_axis
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, span
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, ORANGE, PIXELS_PER_POINT, PURPLE, SKY, VERMILLION, Width, layout
from hc_interp.search.result import MaskSearch

PANEL = 130.0  # height of a panel, in points
MAX_POINTS = 80  # a curve of more steps is thinned evenly to this number
LINE_STYLES = [
    (BLUE, "solid"),
    (ORANGE, "dash"),
    (GREEN, "dot"),
    (VERMILLION, "dashdot"),
    (PURPLE, "longdash"),
    (SKY, "solid"),
]


@figure("search", of=MaskSearch, section="heuristic-core", when=lambda search: not search.history.empty)
def search_curves(search: MaskSearch, *, width: Width = "double") -> Figure:
    """Draw the KL divergence and the expected sparsity over the training steps, with a line for each run.

    Colour and dash distinguish the sparsities. Raises `HCError` for a search without history (at sparsity 0 nothing is
    trained). A low KL does not show that a subnetwork computes its answers as the full model does.
    """
    from plotly.subplots import make_subplots

    if search.history.empty:
        raise HCError(
            "This search has no history to draw: at sparsity 0 nothing is searched. Choose a higher sparsity."
        )
    side = width == "double"
    panels = (1, 2) if side else (2, 1)
    plot = make_subplots(rows=panels[0], cols=panels[1], horizontal_spacing=0.11, vertical_spacing=0.2)
    styles = {s: LINE_STYLES[i % len(LINE_STYLES)] for i, s in enumerate(dict.fromkeys(search.sparsities))}
    in_legend: set[float] = set()
    for run, history in search.history.groupby("run"):
        history = history.iloc[:: -(-len(history) // MAX_POINTS)]
        sparsity = search.sparsities[int(run)]  # type: ignore[call-overload]
        for column, at in (("kl", (1, 1)), ("expected_sparsity", (1, 2) if side else (2, 1))):
            trace = _line(history, column, sparsity, styles[sparsity], int(run), search)  # type: ignore[call-overload]
            plot.add_trace({**trace, "showlegend": sparsity not in in_legend}, row=at[0], col=at[1])
            in_legend.add(sparsity)
    above = 30
    plot.update_layout(
        layout(
            width,
            panels[0] * PANEL + 40 + above,
            legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top", "itemclick": False,
                    "itemdoubleclick": False},
        )
    )  # fmt: skip
    plot.update_layout(margin={"t": above})
    last: dict[str, Any] = {"row": panels[0], "col": panels[1]}
    plot.update_xaxes(title={"text": "step", "standoff": 4})
    plot.update_yaxes(
        type="log", title={"text": "KL (nats)"}, row=1, col=1, tickvals=_log_ticks(search.history["kl"].to_numpy())
    )
    ticks = percent_axis(0, max(1e-9, float(search.history["expected_sparsity"].to_numpy().max())))
    plot.update_yaxes(title={"text": "expected sparsity"}, rangemode="tozero", **ticks, **last)
    plot.update_annotations(font={"size": 8 * PIXELS_PER_POINT})
    return Figure(plot, "How the searches went", _caption(search, side), search.to_frame().to_dict("records"))


def _log_ticks(values: np.ndarray) -> list[float]:
    """1, 2 and 5 times each power of ten in the range of the values; over three or more decades the powers only."""
    positive = values[values > 0]
    low, high = (math.floor(math.log10(end)) for end in (positive.min(), positive.max()))
    digits = (1, 2, 5) if high - low < 3 else (1,)
    return [float(f"{digit}e{power}") for power in range(low, high + 2) for digit in digits]


def _line(
    history: pd.DataFrame, column: str, sparsity: float, style: tuple[str, str], run: int, search: MaskSearch
) -> dict[str, Any]:
    name = f"sparsity {percent(sparsity, 0)}"
    return {
        "type": "scatter", "mode": "lines", "x": history["step"].tolist(), "y": history[column].round(5).tolist(),
        "line": {"color": style[0], "dash": style[1], "width": 1.3}, "opacity": 0.7, "name": name, "legendgroup": name,
        "hovertemplate": f"run {run}, seed {search.seeds[run]}: %{{y:.3f}} at step %{{x}}<extra></extra>",
    }  # fmt: skip


def _caption(search: MaskSearch, side: bool) -> str:
    kl = search.kl
    first, second = ("Left", "Right") if side else ("Above", "Below")
    return (
        f"Each line is a run of the search ({len(search)} runs). {first}: KL(full model || masked model) on the "
        "training batch, with sampled gates, on a logarithmic scale; it rises while the target sparsity is raised. "
        f"{second}: expected sparsity. The result of a run is its binary mask at the end: on held-out examples these "
        f"masks have a KL of {float(kl.min()):.3f} to {float(kl.max()):.3f} nats and give the full model's answer on "
        f"{span(search.agreement.numpy())} of them. A low KL does not show that a subnetwork computes its answers as "
        "the full model does."
    )
