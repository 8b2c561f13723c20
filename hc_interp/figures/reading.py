"""The reads-from statistic by kind of pairs and route, beside what it is compared with."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hc_interp.errors import HCError
from hc_interp.figures.chart import interval_points, legend_below, named_rows
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, share
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, MUTED, ORANGE, RULE, VERMILLION, Width, layout, pixels
from hc_interp.reading.verdict import KindRecord, Verdict
from hc_interp.statistics.tests import Interval

ROUTES = {"all": "all", "mlps": "through MLPs", "direct": "direct"}
ROW = 22.0  # points
LIMITS = (-0.5, 1.5)  # of the axis: a share near its noise would squeeze all others
PAD = 0.06


@figure("reading", of=Verdict, section="reads-from", when=lambda verdict: bool(verdict.records))
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
    low, high = _limits(verdict)
    height = ROW * len(rows) + (84 if width == "double" else 108)
    plot = go.Figure(
        layout=layout(
            width,
            height,
            xaxis={
                "range": [low - PAD, high + PAD],
                "tickformat": ".0%",
                "tickangle": 0,
                "nticks": 5,
                "title": {"text": "T (share of own effect)"},
            },
            yaxis=named_rows(names, width),
            legend=legend_below(36 / (ROW * len(rows))),
            shapes=[_margin(verdict), _zero()],
        )
    )
    for trace in (*_traces(verdict, rows, names), *_beyond(verdict)):
        plot.add_trace(trace)
    plot.update_layout(margin={"b": int((height - ROW * len(rows) - 12) * 96 / 72)})
    return Figure(plot, "What the generalizing heads read from the core", _caption(verdict), _data(verdict))


def _traces(verdict: Verdict, rows: list[tuple[str, str]], names: list[str]) -> list[dict[str, Any]]:
    found = [verdict.records[kind].routes[route] for kind, route in rows]
    hover = [f"{plain(name)}: T {share(i)}" for name, i in zip(names, found, strict=True)]
    traces = [
        interval_points(
            f"T, {percent(verdict.settings['level'], 0)} interval",
            [_inside(i.value) for i in found], names, *_ends(found),
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
        more = {"hover": [f"{label}: {percent(value)}" for value in x], "symbol": symbol, "color": color, "size": 8}
        x = [_inside(value) for value in x]
        traces.append(interval_points(label, x, y, x, x, **more))
    special = [(name, r.specificity) for name, r in deciding if np.isfinite(float(r.specificity.value))]
    if special:
        traces.append(
            interval_points(
                "T on other heads (specificity)",
                [_inside(i.value) for _, i in special], [name for name, _ in special], *_ends([i for _, i in special]),
                symbol="diamond-open", color=GREEN, size=6,
                hover=[f"on other heads: {share(i)}" for _, i in special],
            )
        )  # fmt: skip
    return [trace for trace in traces if len(trace["y"])]


def _inside(value: Any) -> float:
    return float(np.clip(value, *LIMITS))


def _ends(found: Sequence[Interval]) -> tuple[list[float], list[float]]:
    return [_inside(item.low) for item in found], [_inside(item.high) for item in found]


def _drawn(verdict: Verdict) -> list[tuple[str, str, Interval]]:
    """Row, what it is, and interval of everything that has one."""
    found = [(k, r, record.routes[r]) for k, record in verdict.records.items() for r in ROUTES if r in record.routes]
    drawn = [(f"{kind}, {ROUTES[route]}", "T", interval) for kind, route, interval in found]
    other = [(f"{kind}, {ROUTES['all']}", "T on other heads", r.specificity) for kind, r in verdict.records.items()]
    return [item for item in (*drawn, *other) if np.isfinite(float(item[2].value))]


def _limits(verdict: Verdict) -> tuple[float, float]:
    """The axis: all that is drawn, within `LIMITS`."""
    margin = float(verdict.settings["margin"])
    records = verdict.records.values()
    marks = [r.size_limit for r in records] + [_upper(r.null) for r in records if len(r.null)]
    ends = [end for *_, i in _drawn(verdict) for end in (i.value, i.low, i.high)]
    within = [_inside(end) for end in (-margin, margin, *marks, *ends) if np.isfinite(float(end))]
    return min(within), max(within)


def _cut(verdict: Verdict) -> list[tuple[str, str, Interval]]:
    """What does not fit on the axis."""
    return [item for item in _drawn(verdict) if _left(item[2]) or _right(item[2])]


def _left(interval: Interval) -> bool:
    return bool(min(interval.value, interval.low) < LIMITS[0])


def _right(interval: Interval) -> bool:
    return bool(max(interval.value, interval.high) > LIMITS[1])


def _beyond(verdict: Verdict) -> list[dict[str, Any]]:
    """Triangles at the edges where an interval goes on."""
    sides = (("triangle-left", LIMITS[0] - PAD / 2, _left), ("triangle-right", LIMITS[1] + PAD / 2, _right))
    marks = [(row, what, i, symbol, x) for row, what, i in _cut(verdict) for symbol, x, goes in sides if goes(i)]
    if not marks:
        return []
    return [
        {
            "type": "scatter", "mode": "markers", "name": "goes on beyond the axis", "cliponaxis": False,
            "x": [x for *_, x in marks], "y": [row for row, *_ in marks], "hoverinfo": "text",
            "hovertext": [f"{plain(row)}: {what} {share(i)}" for row, what, i, *_ in marks],
            "marker": {"symbol": [symbol for *_, symbol, _ in marks], "color": BLUE, "size": pixels(6)},
        }
    ]  # fmt: skip


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
        f"effect; the shaded band is ±{percent(verdict.settings['margin'], 0)}, the margin. T on route “all” decides: "
        f"{_controls(list(verdict.records.values()))} The other routes, which hold what lies between at its clean "
        f"value, only say where the reading runs.{_edge_words(verdict)}"
        + (f" Not informative: {', '.join(silent)}." if silent else "")
        + " It holds for these pairs, this corruption and this metric, and does not say how the model came to read so."
    )


def _controls(records: list[KindRecord]) -> str:
    """What T is compared with, as far as there is something to compare it with."""
    needed = ["the band", *(["relabelled cores"] if any(len(record.null) for record in records) else [])]
    ratios = [record.size_ratio for record in records if np.isfinite(record.size_ratio)]
    if not ratios:
        return f"to show a reading it must lie above {' and '.join(needed)}. No size-matched heads could be drawn."
    found = " to ".join(dict.fromkeys(percent(ratio, 0) for ratio in (min(ratios), max(ratios))))
    return (
        f"to show a reading it must lie above {', '.join(needed)} and size-matched heads, which change {found} as much "
        "as the core."
    )


def _edge_words(verdict: Verdict) -> str:
    cut = [f"{what} of {row} is {share(interval)}" for row, what, interval in _cut(verdict)]
    if not cut:
        return ""
    ends = " and ".join(percent(end, 0) for end in LIMITS)
    return f" The axis ends at {ends}; triangles mark what goes on beyond: {'; '.join(cut)}."
