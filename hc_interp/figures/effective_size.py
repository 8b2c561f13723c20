"""`effective_size`: the size that a subnetwork needs to be as accurate as the full model, over training."""

from collections.abc import Mapping
from typing import Any

from hc_interp.errors import HCError
from hc_interp.evaluation.effective_size import EffectiveSize
from hc_interp.figures.chart import legend_below
from hc_interp.figures.figure import Figure
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, ORANGE, PURPLE, VERMILLION, Width, layout, pixels, points

GROUP_STYLES = [
    (BLUE, "circle", "solid"), (ORANGE, "square", "dash"), (GREEN, "diamond", "dot"), (VERMILLION, "cross", "dashdot"),
    (PURPLE, "triangle-up", "longdash"),
]  # fmt: skip


@figure("effective-size", of=EffectiveSize, section="effective-size")
def effective_size(
    sizes: EffectiveSize | Mapping[str, EffectiveSize], *, width: Width = "double", every: bool = True
) -> Figure:
    """Draw effective size against training step: a line through the means over seeds, with their range as a bar.

    `sizes` is one result, or several by name ("in domain", "out of domain"), each with a line of its own. A step with
    the flag `floor` is drawn hollow and not connected: the full model has hardly any accuracy to lose there.
    `every=True` also draws each seed. Raises `HCError` for no result or more than five.
    """
    import plotly.graph_objects as go

    named = {"effective size": sizes} if isinstance(sizes, EffectiveSize) else dict(sizes)
    if not 1 <= len(named) <= len(GROUP_STYLES):
        raise HCError(f"{len(named)} effective sizes were given. Expected 1 to {len(GROUP_STYLES)}, by name.")
    plot = go.Figure(
        layout=layout(
            width,
            200 if width == "double" else 190,
            xaxis={"title": {"text": "training step"}, "rangemode": "tozero"},
            yaxis={"title": {"text": "components kept"}, "range": [0, 104], "ticksuffix": " %"},
            legend=legend_below(0.24 if width == "double" else 0.28),
            showlegend=len(named) > 1,
        )
    )
    rows = []
    for (name, result), style in zip(named.items(), GROUP_STYLES, strict=False):
        for trace in _traces(plain(name, points(width) / 2), name, result, style, every):
            plot.add_trace(trace)
        rows += [{"group": name, **row} for row in result.by_step().to_dict("records")]
    plot.update_layout(margin={"b": 58 if len(named) > 1 else 36})
    return Figure(plot, "Effective size over training", _caption(named), rows)


def _traces(
    words: str, name: str, result: EffectiveSize, style: tuple[str, str, str], every: bool
) -> list[dict[str, Any]]:
    color, symbol, dash = style
    frame: Any = result.by_step()
    floor = frame["flags"].str.contains("floor")
    bars = {
        "type": "data", "symmetric": False, "array": (frame["largest"] - frame["size"]).tolist(),
        "arrayminus": (frame["size"] - frame["smallest"]).tolist(), "thickness": pixels(0.8), "width": 0,
        "color": color,
    }  # fmt: skip
    hover = [
        f"{plain(name)}, step {row['step']:,}: {row['size']:.1f} % [{row['smallest']:g}, {row['largest']:g}] over "
        f"{row['seeds']} seeds{'<br>' + row['flags'] if row['flags'] else ''}"
        for row in frame.to_dict("records")
    ]
    # None breaks the line at a step where the full model has no accuracy to lose.
    joined = [None if flat else size for flat, size in zip(floor, frame["size"], strict=True)]
    symbols = [f"{symbol}-open" if flat else symbol for flat in floor]
    common = {"type": "scatter", "legendgroup": name, "name": words, "cliponaxis": False}
    key = {"color": color, "symbol": symbol, "size": pixels(5.5)}
    traces = [
        {**common, "mode": "lines+markers", "x": [None], "y": [None], "line": {"color": color, "dash": dash},
         "marker": key},  # an empty trace for the legend, because the first drawn point may be hollow
        {**common, "mode": "lines", "x": frame["step"].tolist(), "y": joined, "connectgaps": False, "hoverinfo": "skip",
         "line": {"color": color, "dash": dash, "width": 1.5}, "showlegend": False},
        {**common, "mode": "markers", "x": frame["step"].tolist(), "y": frame["size"].tolist(), "error_y": bars,
         "marker": {"color": color, "symbol": symbols, "size": pixels(5.5), "line": {"color": color, "width": 1.2}},
         "hovertext": hover, "hoverinfo": "text", "showlegend": False},
    ]  # fmt: skip
    if every:
        single = result.to_frame()
        traces.append(
            {**common, "mode": "markers", "x": single["step"].tolist(), "y": single["size"].tolist(),
             "marker": {"color": color, "symbol": symbol, "size": pixels(3), "opacity": 0.35}, "hoverinfo": "skip",
             "showlegend": False}
        )  # fmt: skip
    return traces


def _caption(named: Mapping[str, EffectiveSize]) -> str:
    first = next(iter(named.values()))
    cases = "; ".join(f"{name}: {len(result.cases)} cases" for name, result in named.items())
    flat = any(result.to_frame()["flags"].str.contains("floor").any() for result in named.values())
    bounds = any(result.to_frame()["flags"].str.contains("grid_edge").any() for result in named.values())
    hollow = " Hollow points: the full model is below 10 % accuracy on a case, so there was nothing to lose."
    return (
        "Effective size: the smallest share of components, on a grid of shares, whose subnetwork is at most "
        f"{100 * first.margin:g} percentage points less accurate than the full model at the same step (mean over "
        f"cases; {cases}). Points are means over {first.sizes['seed'].nunique()} seeds; bars run from the smallest "
        f"value of a seed to the largest.{hollow * flat}"
        f"{' Some sizes are at an end of the grid: they are bounds, not measurements.' * bounds} "
        "A growing size does not show which components are added, and a better search may find smaller subnetworks."
    )
