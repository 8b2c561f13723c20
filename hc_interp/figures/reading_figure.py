"""The reads-from statistic by kind of pairs and route, beside what it is compared with."""

from typing import Any

import numpy as np

from hc_interp.analysis.verdict import KindRecord, Verdict
from hc_interp.errors import HCError
from hc_interp.figures.chart import interval_points, legend_below
from hc_interp.figures.figure import Figure
from hc_interp.figures.style import BLUE, GREEN, MUTED, ORANGE, RULE, VERMILLION, Width, layout

ROUTES = {"all": "all", "mlps": "through MLPs", "direct": "direct"}
ROW = 22.0  # points


def reading(verdict: Verdict, *, width: Width = "double") -> Figure:
    """T with its interval for each kind and route; ticks mark relabelled cores and size-matched heads.

    Raises `HCError` for a verdict without records. Only route "all" decides; the others say where the reading runs.
    """
    import plotly.graph_objects as go

    if not verdict.records:
        raise HCError(
            f"This verdict tested no pairs ({verdict.reason}), so there is no statistic to draw. Expected at least one "
            "kind of pairs; read verdict.sentence() instead."
        )
    rows = [(kind, route) for kind, record in verdict.records.items() for route in ROUTES if route in record.routes]
    names = [f"{kind}, {ROUTES[route]}" for kind, route in rows]
    height = ROW * len(rows) + (84 if width == "double" else 108)
    plot = go.Figure(
        layout=layout(
            width,
            height,
            xaxis={"tickformat": ".0%", "title": {"text": "T (share of own effect)"}},
            yaxis={"categoryorder": "array", "categoryarray": names[::-1], "showgrid": False, "ticks": ""},
            legend=legend_below(36 / (ROW * len(rows))),
            shapes=[_margin(verdict), _zero()],
        )
    )
    for trace in _traces(verdict, rows, names):
        plot.add_trace(trace)
    plot.update_layout(margin={"b": int((height - ROW * len(rows) - 12) * 96 / 72)})
    return Figure(plot, "What the generalizing heads read from the core", _caption(verdict), _data(verdict))


def _traces(verdict: Verdict, rows: list[tuple[str, str]], names: list[str]) -> list[dict[str, Any]]:
    found = [verdict.records[kind].routes[route] for kind, route in rows]
    hover = [f"{name}: T {i.value:.1%} [{i.low:.1%}, {i.high:.1%}]" for name, i in zip(names, found, strict=True)]
    traces = [
        interval_points(
            f"T, {float(verdict.settings['level']):.0%} interval",
            [i.value for i in found], names, [i.low for i in found], [i.high for i in found],
            color=BLUE, size=6, hover=hover,
        )
    ]  # fmt: skip
    deciding = [
        (name, verdict.records[kind]) for name, (kind, route) in zip(names, rows, strict=True) if route == "all"
    ]
    null = [(name, _upper(record.null)) for name, record in deciding if len(record.null)]
    size = [(name, record.size_limit) for name, record in deciding if np.isfinite(record.size_limit)]
    for label, symbol, color, marks in (
        ("relabelled cores, 95th percentile", "line-ns-open", MUTED, null),
        ("size-matched heads, 95th percentile", "x-thin-open", VERMILLION, size),
    ):
        x, y = [value for _, value in marks], [name for name, _ in marks]
        more = {"hover": [f"{label}: {value:.1%}" for value in x], "symbol": symbol, "color": color, "size": 8}
        traces.append(interval_points(label, x, y, x, x, **more))
    special = [(name, r.specificity) for name, r in deciding if np.isfinite(float(r.specificity.value))]
    if special:
        traces.append(
            interval_points(
                "T on other heads (specificity)",
                [i.value for _, i in special], [name for name, _ in special],
                [i.low for _, i in special], [i.high for _, i in special],
                symbol="diamond-open", color=GREEN, size=6,
                hover=[f"on other heads: {i.value:.1%} [{i.low:.1%}, {i.high:.1%}]" for _, i in special],
            )
        )  # fmt: skip
    return [trace for trace in traces if len(trace["y"])]


def _upper(null: np.ndarray) -> float:
    return float(np.quantile(null, 0.95))


def _margin(verdict: Verdict) -> dict[str, Any]:
    margin = float(verdict.settings["margin"])
    ends = {"x0": -margin, "x1": margin, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
    return {"type": "rect", "fillcolor": ORANGE, "opacity": 0.18, "line": {"width": 0}, **ends}


def _zero() -> dict[str, Any]:
    place = {"x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
    return {"type": "line", "line": {"color": RULE, "width": 1.5}, **place}


def _data(verdict: Verdict) -> list[dict[Any, Any]]:
    return verdict.to_frame().to_dict("records")


def _caption(verdict: Verdict) -> str:
    silent = [f"{kind} ({record.why})" for kind, record in verdict.records.items() if not record.informative]
    return (
        "T is the joint effect of all core heads on all generalizing heads, as a share of the generalizing heads' own "
        f"effect; the shaded band is the margin of ±{float(verdict.settings['margin']):.0%}. T on route “all” decides: "
        "it must lie above the band, above relabelled cores and above size-matched heads. The other routes, which hold "
        "what lies between at its clean value, only say where the reading runs."
        f"{_controls(list(verdict.records.values()))}"
        + (f" Not informative: {', '.join(silent)}." if silent else "")
        + " It holds for these pairs, this corruption and this metric, and does not say how the model came to read so."
    )


def _controls(records: list[KindRecord]) -> str:
    ratios = [record.size_ratio for record in records if np.isfinite(record.size_ratio)]
    if not ratios:
        return ""
    found = " to ".join(dict.fromkeys(f"{ratio:.0%}" for ratio in (min(ratios), max(ratios))))
    return f" The size-matched heads change {found} as much as the core."
