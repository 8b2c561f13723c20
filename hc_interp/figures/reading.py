"""`reading`: T of the reads-from test beside its controls, and the responses of generalizing and of other heads."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hc_interp.errors import HCError
from hc_interp.figures.chart import interval_points, legend_below, named_rows, percent_axis
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, share
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, MUTED, ORANGE, PAPER, RULE, VERMILLION, Width, layout, pixels, points
from hc_interp.reading.records import NOT_SPECIFIC, DirectionRecord
from hc_interp.reading.sentences import DIRECTION_WORDS
from hc_interp.reading.verdict import Verdict
from hc_interp.statistics.tests import Interval

# The routes before "all", each with the symbol of T on it.
SHORTER_ROUTES = {"direct": ("T, direct paths alone", "circle-open"), "mlps": ("T, with MLPs", "diamond-open")}
ROW_HEIGHT = 26.0  # points
LIMITS = (-0.5, 1.5)  # of an axis: one share with a small, noisy denominator would squeeze all others
PAD = 0.06  # margin of the axis beyond its limits
KEY_ROWS = {"double": 5, "single": 9}  # lines of the legend
TITLES = ("T (share of node effect)", "response R to the core")

Row = tuple[str, DirectionRecord]  # its name, and what it shows


@figure("reading", of=Verdict, section="reads-from", when=lambda verdict: bool(verdict.records))
def reading(verdict: Verdict, *, width: Width = "double") -> Figure:
    """Draw T with its controls, and beside it how far generalizing and other heads follow the core.

    A row is a kind of pairs in one direction. On the left, T is the joint effect of all core heads on all generalizing
    heads, as a share of the generalizing heads' node effect, with marks for shorter routes, relabelled cores and
    size-matched heads. On the right, each head of the generalizing heads' layers has a dot at its response, and R(G)
    and R(O) have intervals. In a single column the panels stand one above the other. Raises `HCError` for a verdict
    without records.
    """
    from plotly.subplots import make_subplots

    if not verdict.records:
        raise HCError(
            f"This verdict tested no pairs ({verdict.reason}), so there is no statistic to draw. Expected at least one "
            "kind of pairs; read verdict.sentence() instead."
        )
    points(width)  # raises `HCError` for an unknown width
    rows = _rows(verdict)
    names = [name for name, _ in rows]
    beside = width == "double"
    plot: Any = make_subplots(
        rows=1 if beside else 2,
        cols=2 if beside else 1,
        shared_yaxes=beside,
        horizontal_spacing=0.05,
        vertical_spacing=0.25,
    )
    panel = ROW_HEIGHT * len(rows)
    keys = 13 * KEY_ROWS[width] + 34
    height = (panel if beside else 2 * panel + 44) + keys + 10
    plot.update_layout(layout(width, height, legend=legend_below(34 / (panel if beside else 2 * panel + 44))))
    plot.update_layout(margin={"b": int(pixels(keys)), "t": 12, "r": 12})
    for place, (traces, marks, shapes) in enumerate(
        (
            (_T_traces(verdict, rows), _T_marks(rows), [_band(verdict), _line(0.0)]),
            (_response_traces(verdict, rows), _response_marks(rows), [_line(0.0)]),
        )
    ):
        at = {"row": 1, "col": place + 1} if beside else {"row": place + 1, "col": 1}
        for trace in (*traces, *_beyond(marks)):
            plot.add_trace(trace, **at)
        low, high = _ends_of([i for *_, i in marks], verdict.settings["margin"] if place == 0 else 0.0)
        plot.update_xaxes(
            range=[low - PAD, high + PAD], tickangle=0, title={"text": TITLES[place]}, **at,
            **(percent_axis(low, high, 5) if place == 0 else {"tickformat": ".1f", "nticks": 5}),
        )  # fmt: skip
        plot.update_yaxes(**named_rows(names, width), **at)
        if beside and place:
            plot.update_yaxes(showticklabels=False, **at)
        for shape in shapes:
            plot.add_shape(shape, **at)
        for name in _undefined(rows, place):
            plot.add_annotation(_note(name, names), **at)
    _one_entry_each(plot)
    return Figure(
        plot,
        "What the generalizing heads take from the core",
        _caption(verdict, rows),
        verdict.to_frame().to_dict("records"),
    )


def _rows(verdict: Verdict) -> list[Row]:
    return [
        (f"{kind}, {DIRECTION_WORDS[direction]}", found)
        for kind, record in verdict.records.items()
        for direction, found in record.directions.items()
    ]


def _T_traces(verdict: Verdict, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """T on each route, and the marks of its controls."""
    level = percent(verdict.settings["level"], 0)
    traces = []
    for route, (label, symbol) in SHORTER_ROUTES.items():
        there = [(name, found.routes[route]) for name, found in rows if route in found.routes]
        traces.append(_points(label, there, symbol=symbol, color=BLUE, size=5, bars=False))
    traces.append(_points(f"T, all routes, {level} interval", [(n, f.T) for n, f in rows], color=BLUE, size=6))
    null = [(name, _upper(found.null)) for name, found in rows if len(found.null)]
    size = [(name, found.size_limit) for name, found in rows if np.isfinite(found.size_limit)]
    for label, symbol, color, marks in (
        ("relabelled cores, 95th percentile", "line-ns-open", MUTED, null),
        ("size-matched heads, 95th percentile", "x-thin-open", VERMILLION, size),
    ):
        x, y = [_inside(value) for _, value in marks], [name for name, _ in marks]
        hover = [f"{label}: {percent(value)}" for _, value in marks]
        traces.append(interval_points(label, x, y, x, x, hover=hover, symbol=symbol, color=color, size=8))
    return [trace for trace in traces if len(trace["y"])]


def _response_traces(verdict: Verdict, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A dot for each head, and the mean responses with their intervals."""
    traces: list[dict[str, Any]] = []
    compared = [(name, found.specificity["all"]) for name, found in rows if "all" in found.specificity]
    for label, color, is_g in (("generalizing heads", BLUE, True), ("other heads of their layers", ORANGE, False)):
        dots = [
            (name, head, value)
            for name, found in compared
            for head, value, mine in zip(found.heads, found.response, found.is_G, strict=True)
            if bool(mine) is is_g
        ]
        x, y = [_inside(value) for *_, value in dots], [name for name, *_ in dots]
        hover = [f"{head}: R = {value:.2f}" for _, head, value in dots]
        traces.append(
            interval_points(f"R of {label}, each", x, y, x, x, symbol="line-ns-open", color=color, size=5, hover=hover)
            | {"opacity": 0.55}
        )
        means = [(name, found.R_G if is_g else found.R_O) for name, found in compared]
        symbol = "circle" if is_g else "square"
        traces.append(_points(f"R of {label}, mean", means, color=color, symbol=symbol, size=6))
    return [trace for trace in traces if len(trace["y"])]


def _points(
    label: str,
    found: Sequence[tuple[str, Interval]],
    *,
    color: str,
    size: float,
    symbol: str = "circle",
    bars: bool = True,
) -> dict[str, Any]:
    """Points with intervals at the rows' names; undefined ones are left out."""
    drawn = [(name, item) for name, item in found if np.isfinite(float(item))]
    x = [_inside(item.value) for _, item in drawn]
    low = [_inside(item.low) for _, item in drawn] if bars else x
    high = [_inside(item.high) for _, item in drawn] if bars else x
    hover = [f"{plain(name)}: {label} {share(item)}" for name, item in drawn]
    names = [name for name, _ in drawn]
    return interval_points(label, x, names, low, high, symbol=symbol, color=color, size=size, hover=hover)


def _undefined(rows: Sequence[Row], place: int) -> list[str]:
    """The rows that have no point in a panel: T (panel 0) or the response of the heads (panel 1) is not defined."""
    drawn = [found.T if place == 0 else found.specificity.get("all", NOT_SPECIFIC).R_G for _, found in rows]
    return [name for (name, _), value in zip(rows, drawn, strict=True) if not np.isfinite(float(value))]


def _note(name: str, names: Sequence[str]) -> dict[str, Any]:
    """The words in a row without a point, so that it does not look like a row whose point is at 0."""
    where = {"xref": "x domain", "x": 0.5, "y": len(names) - 1 - list(names).index(name)}
    return {"text": "not defined", "showarrow": False, "font": {"color": MUTED}, "bgcolor": PAPER, **where}


def _one_entry_each(plot: Any) -> None:
    """Each label stands once in the legend."""
    seen: set[str] = set()
    for trace in plot.data:
        trace.showlegend = trace.name not in seen
        seen.add(trace.name)


def _inside(value: Any) -> float:
    return float(np.clip(value, *LIMITS))


def _T_marks(rows: Sequence[Row]) -> list[tuple[str, str, Interval]]:
    """Everything that the left panel draws, as (row, statistic, interval)."""
    marks = [(name, f"T on {route}", item) for name, found in rows for route, item in found.routes.items()]
    for name, found in rows:
        single = [found.size_limit, *([_upper(found.null)] if len(found.null) else [])]
        marks += [(name, "a control", Interval(value, value, value, 0)) for value in single]
    return [mark for mark in marks if np.isfinite(float(mark[2]))]


def _response_marks(rows: Sequence[Row]) -> list[tuple[str, str, Interval]]:
    marks = []
    for name, found in rows:
        if "all" in found.specificity:
            specific = found.specificity["all"]
            marks += [(name, "R(G)", specific.R_G), (name, "R(O)", specific.R_O)]
            marks += [(name, "R of a head", Interval(float(r), float(r), float(r), 0)) for r in specific.response]
    return [mark for mark in marks if np.isfinite(float(mark[2]))]


def _ends_of(intervals: Sequence[Interval], margin: float) -> tuple[float, float]:
    """The ends of an axis: it holds everything that is drawn, up to `LIMITS`."""
    ends = [_inside(end) for i in intervals for end in (i.value, i.low, i.high) if np.isfinite(float(end))]
    return min([-margin, 0.0, *ends]), max([margin, 1.0, *ends])


def _cut(marks: Sequence[tuple[str, str, Interval]]) -> list[tuple[str, str, Interval]]:
    """The intervals that do not fit on the axis."""
    return [mark for mark in marks if _left(mark[2]) or _right(mark[2])]


def _left(interval: Interval) -> bool:
    return bool(min(float(interval.value), float(interval.low)) < LIMITS[0])


def _right(interval: Interval) -> bool:
    return bool(max(float(interval.value), float(interval.high)) > LIMITS[1])


def _beyond(marks: Sequence[tuple[str, str, Interval]]) -> list[dict[str, Any]]:
    """Triangles at the ends of the axis, for intervals that continue beyond it."""
    sides = (("triangle-left", LIMITS[0] - PAD / 2, _left), ("triangle-right", LIMITS[1] + PAD / 2, _right))
    cut = [(row, what, i, symbol, x) for row, what, i in _cut(marks) for symbol, x, goes in sides if goes(i)]
    if not cut:
        return []
    return [
        {
            "type": "scatter", "mode": "markers", "name": "continues beyond the axis", "cliponaxis": False,
            "x": [x for *_, x in cut], "y": [row for row, *_ in cut], "hoverinfo": "text",
            "hovertext": [f"{plain(row)}: {what} {share(i)}" for row, what, i, *_ in cut],
            "marker": {"symbol": [symbol for *_, symbol, _ in cut], "color": GREEN, "size": pixels(6)},
        }
    ]  # fmt: skip


def _upper(null: np.ndarray) -> float:
    return float(np.quantile(null, 0.95))


def _band(verdict: Verdict) -> dict[str, Any]:
    margin = float(verdict.settings["margin"])
    ends = {"x0": -margin, "x1": margin, "y0": 0, "y1": 1, "yref": "y domain", "layer": "below"}
    return {"type": "rect", "fillcolor": ORANGE, "opacity": 0.18, "line": {"width": 0}, **ends}


def _line(at: float) -> dict[str, Any]:
    ends = {"x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "y domain", "layer": "below"}
    return {"type": "line", "line": {"color": RULE, "width": 1.5}, **ends}


def _caption(verdict: Verdict, rows: Sequence[Row]) -> str:
    silent = [f"{kind} ({record.why})" for kind, record in verdict.records.items() if not record.informative]
    margin, delta = percent(verdict.settings["margin"], 0), percent(verdict.settings["delta"], 0)
    specific = [f"{share(found.S)} on {name}" for name, found in rows if np.isfinite(float(found.S)) and not found.why]
    return (
        "Left: T is the joint effect of the paths from all core heads into all generalizing heads, as a share of the "
        "generalizing heads' node effect: the effect of setting their whole outputs to the corrupt values. The shaded "
        f"band is the margin, ±{margin}. {_controls([found for _, found in rows])} On shorter routes, heads between "
        "the core and the generalizing heads (on direct paths MLPs, too) keep their clean values. Right: the response "
        "R of a head is the part of its own change that the core's corrupt outputs bring about. If the other heads "
        "respond as the generalizing heads do, the core is a trunk. S, the share of the generalizing heads' response "
        f"that others lack, must be above {delta}"
        + (f"; it is {'; '.join(specific)}." if specific else ".")
        + _cut_words([*_T_marks(rows), *_response_marks(rows)])
        + (f" Not informative: {', '.join(silent)}." if silent else "")
        + " The result holds for these pairs, this corruption and this metric. It does not show how the model came to "
        "do so."
    )


def _controls(records: Sequence[DirectionRecord]) -> str:
    """The sentence on the controls that T must exceed. It names only controls that the verdict has."""
    controls = ["the band"]
    if any(len(record.null) for record in records):
        controls.append("relabelled cores (as many heads, drawn within the same layers)")
    ratios = [record.size_ratio for record in records if np.isfinite(record.size_ratio)]
    if not ratios:
        return f"T must be above {' and '.join(controls)}. No size-matched heads could be drawn."
    ratio = " to ".join(dict.fromkeys(percent(ratio, 0) for ratio in (min(ratios), max(ratios))))
    return (
        f"T must be above {', '.join(controls)} and size-matched heads (other heads, which change {ratio} as much as "
        "the core between clean and corrupt)."
    )


def _cut_words(marks: Sequence[tuple[str, str, Interval]]) -> str:
    cut = [f"{what} of {row} is {share(interval)}" for row, what, interval in _cut(marks)]
    if not cut:
        return ""
    ends = " and ".join(percent(end, 0) for end in LIMITS)
    return f" An axis ends at {ends}; triangles mark intervals that continue beyond it: {'; '.join(cut)}."
