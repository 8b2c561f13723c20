"""How a mask search went."""

import math
from typing import Any

import numpy as np
import pandas as pd

from hc_interp.errors import HCError
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import span
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, ORANGE, PIXELS_PER_POINT, PURPLE, SKY, VERMILLION, Width, layout
from hc_interp.search.result import MaskSearch

PANEL = 130.0  # points
DRAWN = 80  # points of a curve that are drawn, evenly over its steps
LOOKS = [
    (BLUE, "solid"),
    (ORANGE, "dash"),
    (GREEN, "dot"),
    (VERMILLION, "dashdot"),
    (PURPLE, "longdash"),
    (SKY, "solid"),
]


@figure("search", of=MaskSearch, section="heuristic-core", when=lambda search: not search.history.empty)
def search_curves(search: MaskSearch, *, width: Width = "double") -> Figure:
    """KL and expected sparsity over the steps, a line per run; colour and dash tell the sparsities apart.

    Raises `HCError` for a search without history (sparsity 0 searches nothing).
    """
    from plotly.subplots import make_subplots

    if search.history.empty:
        raise HCError(
            "This search has no history to draw: at sparsity 0 nothing is searched. Choose a higher sparsity."
        )
    side = width == "double"
    panels = (1, 2) if side else (2, 1)
    plot = make_subplots(rows=panels[0], cols=panels[1], horizontal_spacing=0.11, vertical_spacing=0.2)
    looks = {s: LOOKS[i % len(LOOKS)] for i, s in enumerate(dict.fromkeys(search.sparsities))}
    shown: set[float] = set()
    for run, part in search.history.groupby("run"):
        part = part.iloc[:: -(-len(part) // DRAWN)]
        sparsity = search.sparsities[int(run)]  # type: ignore[call-overload]
        for column, at in (("kl", (1, 1)), ("expected_sparsity", (1, 2) if side else (2, 1))):
            trace = _line(part, column, sparsity, looks[sparsity], int(run), search)  # type: ignore[call-overload]
            plot.add_trace({**trace, "showlegend": sparsity not in shown}, row=at[0], col=at[1])
            shown.add(sparsity)
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
    plot.update_yaxes(title={"text": "expected sparsity"}, tickformat=".0%", rangemode="tozero", **last)
    plot.update_annotations(font={"size": 8 * PIXELS_PER_POINT})
    return Figure(plot, "How the searches went", _caption(search), search.to_frame().to_dict("records"))


def _log_ticks(values: np.ndarray) -> list[float]:
    """1, 2 and 5 of each power of ten within the values and one step around; only the powers where there are many."""
    positive = values[values > 0]
    low, high = (math.floor(math.log10(end)) for end in (positive.min(), positive.max()))
    digits = (1, 2, 5) if high - low < 3 else (1,)
    return [float(f"{digit}e{power}") for power in range(low, high + 2) for digit in digits]


def _line(
    part: pd.DataFrame, column: str, sparsity: float, look: tuple[str, str], run: int, search: MaskSearch
) -> dict[str, Any]:
    name = f"sparsity {sparsity:.0%}"
    return {
        "type": "scatter", "mode": "lines", "x": part["step"].tolist(), "y": part[column].round(5).tolist(),
        "line": {"color": look[0], "dash": look[1], "width": 1.3}, "opacity": 0.7, "name": name, "legendgroup": name,
        "hovertemplate": f"run {run}, seed {search.seeds[run]}: %{{y:.3f}} at step %{{x}}<extra></extra>",
    }  # fmt: skip


def _caption(search: MaskSearch) -> str:
    kl = search.kl
    return (
        f"A line per run ({len(search)} runs). Left, or above: KL(full || masked) of the training batch under sampled "
        "gates, on a logarithmic scale; it rises while the sparsity is ramped. Right, or below: expected sparsity. "
        f"What counts is the binary mask at the end, on held-out examples: KL {float(kl.min()):.3f} to "
        f"{float(kl.max()):.3f} nats, the same answer as the full model on {span(search.agreement.numpy())}. "
        "A low KL does not say that a subnetwork works as the full model does."
    )
