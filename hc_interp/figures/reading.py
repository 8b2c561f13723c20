"""`reading`: the statistic T of the reads-from test by kind of pairs and route, beside its controls."""

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

ROUTE_WORDS = {"all": "all", "mlps": "through MLPs", "direct": "direct"}
ROW_HEIGHT = 22.0  # points
LIMITS = (-0.5, 1.5)  # of the axis: one share with a small, noisy denominator would squeeze all others
PAD = 0.06  # margin of the axis beyond its limits


@figure("reading", of=Verdict, section="reads-from", when=lambda verdict: bool(verdict.records))
def reading(verdict: Verdict, *, width: Width = "double") -> Figure:
    """Draw T with its interval for each kind of pairs and each route, with marks for its controls.

    T is the joint effect of all core heads on all generalizing heads, as a share of the generalizing heads' node
    effect. Its controls are relabelled cores, size-matched heads, and T on other heads. Raises `HCError` for a verdict
    without records. Only route "all" decides; the other routes show by which components the effect is carried.
    """
    import plotly.graph_objects as go

    if not verdict.records:
        raise HCError(
            f"This verdict tested no pairs ({verdict.reason}), so there is no statistic to draw. Expected at least one "
            "kind of pairs; read verdict.sentence() instead."
        )
    rows = [
        (kind, route) for kind, record in verdict.records.items() for route in ROUTE_WORDS if route in record.routes
    ]
    names = [f"{kind}, {ROUTE_WORDS[route]}" for kind, route in rows]
    low, high = _limits(verdict)
    height = ROW_HEIGHT * len(rows) + (84 if width == "double" else 108)
    plot = go.Figure(
        layout=layout(
            width,
            height,
            xaxis={
                "range": [low - PAD, high + PAD],
                "tickformat": ".0%",
                "tickangle": 0,
                "nticks": 5,
                "title": {"text": "T (share of node effect)"},
            },
            yaxis=named_rows(names, width),
            legend=legend_below(36 / (ROW_HEIGHT * len(rows))),
            shapes=[_margin(verdict), _zero()],
        )
    )
    for trace in (*_traces(verdict, rows, names), *_beyond(verdict)):
        plot.add_trace(trace)
    plot.update_layout(margin={"b": int((height - ROW_HEIGHT * len(rows) - 12) * 96 / 72)})
    return Figure(plot, "What the generalizing heads read from the core", _caption(verdict), _data(verdict))


def _traces(verdict: Verdict, rows: list[tuple[str, str]], names: list[str]) -> list[dict[str, Any]]:
    intervals = [verdict.records[kind].routes[route] for kind, route in rows]
    hover = [f"{plain(name)}: T {share(i)}" for name, i in zip(names, intervals, strict=True)]
    traces = [
        interval_points(
            f"T, {percent(verdict.settings['level'], 0)} interval",
            [_inside(i.value) for i in intervals], names, *_ends(intervals),
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


def _ends(intervals: Sequence[Interval]) -> tuple[list[float], list[float]]:
    return [_inside(item.low) for item in intervals], [_inside(item.high) for item in intervals]


def _drawn(verdict: Verdict) -> list[tuple[str, str, Interval]]:
    """Every defined interval of the figure, as (row, statistic, interval)."""
    drawn = [
        (f"{kind}, {words}", "T", record.routes[route])
        for kind, record in verdict.records.items()
        for route, words in ROUTE_WORDS.items()
        if route in record.routes
    ]
    all_route = ROUTE_WORDS["all"]
    other = [(f"{kind}, {all_route}", "T on other heads", r.specificity) for kind, r in verdict.records.items()]
    return [item for item in (*drawn, *other) if np.isfinite(float(item[2].value))]


def _limits(verdict: Verdict) -> tuple[float, float]:
    """The ends of the axis: it holds everything that is drawn, up to `LIMITS`."""
    margin = float(verdict.settings["margin"])
    records = verdict.records.values()
    marks = [r.size_limit for r in records] + [_upper(r.null) for r in records if len(r.null)]
    ends = [end for *_, i in _drawn(verdict) for end in (i.value, i.low, i.high)]
    within = [_inside(end) for end in (-margin, margin, *marks, *ends) if np.isfinite(float(end))]
    return min(within), max(within)


def _cut(verdict: Verdict) -> list[tuple[str, str, Interval]]:
    """The intervals that do not fit on the axis, as `_drawn` gives them."""
    return [item for item in _drawn(verdict) if _left(item[2]) or _right(item[2])]


def _left(interval: Interval) -> bool:
    return bool(min(interval.value, interval.low) < LIMITS[0])


def _right(interval: Interval) -> bool:
    return bool(max(interval.value, interval.high) > LIMITS[1])


def _beyond(verdict: Verdict) -> list[dict[str, Any]]:
    """Triangles at the ends of the axis, for intervals that continue beyond it."""
    sides = (("triangle-left", LIMITS[0] - PAD / 2, _left), ("triangle-right", LIMITS[1] + PAD / 2, _right))
    marks = [(row, what, i, symbol, x) for row, what, i in _cut(verdict) for symbol, x, goes in sides if goes(i)]
    if not marks:
        return []
    return [
        {
            "type": "scatter", "mode": "markers", "name": "continues beyond the axis", "cliponaxis": False,
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
    ends = {"x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
    return {"type": "line", "line": {"color": RULE, "width": 1.5}, **ends}


def _data(verdict: Verdict) -> list[dict[Any, Any]]:
    return verdict.to_frame().to_dict("records")


def _caption(verdict: Verdict) -> str:
    uninformative = [f"{kind} ({record.why})" for kind, record in verdict.records.items() if not record.informative]
    return (
        "T is the joint effect of the paths from all core heads into all generalizing heads, as a share of the "
        "generalizing heads' node effect: the effect of setting their whole outputs to the corrupt values. The shaded "
        f"band is the margin, ±{percent(verdict.settings['margin'], 0)}. Only T on route “all” decides. "
        f"{_controls(list(verdict.records.values()))} On the other routes, heads between the core and the generalizing "
        "heads keep their clean values (on “direct” MLPs, too), so that they show by which components the effect is "
        f"carried.{_edge_words(verdict)}"
        + (f" Not informative: {', '.join(uninformative)}." if uninformative else "")
        + " The result holds for these pairs, this corruption and this metric. It does not show how the model came to "
        "do so."
    )


def _controls(records: list[KindRecord]) -> str:
    """The sentence on the controls that T must exceed. It names only controls that the verdict has."""
    controls = ["the band"]
    if any(len(record.null) for record in records):
        controls.append("relabelled cores (as many heads, drawn within the same layers)")
    ratios = [record.size_ratio for record in records if np.isfinite(record.size_ratio)]
    if not ratios:
        return f"To show reading, T must be above {' and '.join(controls)}. No size-matched heads could be drawn."
    ratio = " to ".join(dict.fromkeys(percent(ratio, 0) for ratio in (min(ratios), max(ratios))))
    return (
        f"To show reading, T must be above {', '.join(controls)} and size-matched heads (other heads, which change "
        f"{ratio} as much as the core between clean and corrupt)."
    )


def _edge_words(verdict: Verdict) -> str:
    cut = [f"{statistic} of {row} is {share(interval)}" for row, statistic, interval in _cut(verdict)]
    if not cut:
        return ""
    ends = " and ".join(percent(end, 0) for end in LIMITS)
    return f" The axis ends at {ends}; triangles mark intervals that continue beyond it: {'; '.join(cut)}."
