"""How well the full model and its subnetworks do, case by case."""

from typing import Any

from hc_interp.data.grammar import case_of
from hc_interp.errors import HCError
from hc_interp.evaluation.result import VALIDATION, WHOLE, Evaluation
from hc_interp.figures.chart import interval_points
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, share_of
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, ORANGE, PAPER, RULE, VERMILLION, Width, layout, pixels, points

ROW = 10.5  # points
NAMES = 0.65  # the most that cases' names take of the width


@figure("accuracy", of=Evaluation, section="accuracy")
def accuracy(evaluation: Evaluation, *, width: Width = "double") -> Figure:
    """A row per case: a point per subnetwork, the full model as a diamond with its interval.

    Raises `HCError` for an evaluation without accuracies. Subnetworks of one search are not independent samples.
    """
    import plotly.graph_objects as go

    long: Any = evaluation.to_frame(long=True)
    long = long[long["metric"] == "accuracy"]
    if long.empty:
        raise HCError("This evaluation has no accuracies. Expected a task with a validation split or cases.")
    rows = _rows(list(dict.fromkeys(long["case"])))
    places = {case: place for place, (case, _) in enumerate(rows) if case is not None}
    height, room = ROW * len(rows) + 56, NAMES * points(width)
    plot = go.Figure(
        layout=layout(
            width,
            height,
            xaxis={"range": [-0.02, 1.02], "tickformat": ".0%", "title": {"text": "accuracy"}},
            yaxis={
                "tickvals": list(range(len(rows))),
                "ticktext": [plain(words, room) if case else f"<b>{plain(words, room)}</b>" for case, words in rows],
                "showline": False, "showgrid": False, "range": [len(rows) - 0.4, -0.6], "ticks": "",
            },
            shapes=[_line(place) for place in places.values()],
            legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "itemclick": False,
                    "itemdoubleclick": False},
        )
    )  # fmt: skip
    plot.update_layout(margin={"t": 26})
    for trace in _traces(long, places):
        plot.add_trace(trace)
    return Figure(plot, "Accuracy in domain and out of it", _caption(evaluation, long), long.to_dict("records"))


def _traces(long: Any, places: dict[str, int]) -> list[dict[str, Any]]:
    whole, parts = long[long["subnetwork"].isin(WHOLE)], long[~long["subnetwork"].isin(WHOLE)]
    traces = []
    if len(parts):
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": "a subnetwork", "x": parts["value"].round(4).tolist(),
                "y": [places[case] for case in parts["case"]], "cliponaxis": False, "hoverinfo": "text",
                "hovertext": [_hover(row) for row in parts.to_dict("records")],
                "marker": {"symbol": "circle", "size": pixels(4.2), "color": BLUE, "opacity": 0.6},
            }
        )  # fmt: skip
    full = interval_points(
        f"the {WHOLE[whole['subnetwork'].iloc[0]]}", whole["value"].tolist(), [places[case] for case in whole["case"]],
        whole["low"].tolist(), whole["high"].tolist(), symbol="diamond", color=VERMILLION, size=6.5,
        hover=[_hover(row) for row in whole.to_dict("records")],
    )  # fmt: skip
    full["marker"] |= {"color": ORANGE, "line": {"color": PAPER, "width": 1}}
    return [*traces, full]


def _hover(row: dict[Any, Any]) -> str:
    name = WHOLE.get(row["subnetwork"]) or f"subnetwork {plain(row['subnetwork'])}"
    return f"{plain(row['case'])}<br>{name}: {share_of(row['value'], row['low'], row['high'])}, n = {row['n']}"


def _rows(cases: list[str]) -> list[tuple[str | None, str]]:
    """Cases in groups under a heading: validation, then HANS' heuristics by label, then what has no such name."""
    groups: dict[str, list[tuple[str | None, str]]] = {}
    for case in cases:
        parts = case_of(case)
        if case == VALIDATION:
            heading, words = "In domain", "validation"
        elif parts:
            heading = f"{parts.heuristic.replace('_', ' ').capitalize()}, {parts.label}"
            words = parts.subcase.replace("_", " ")
        else:
            heading, words = "Cases", case.replace("_", " ")
        groups.setdefault(heading, []).append((case, words))
    return [row for heading, rows in groups.items() for row in [(None, heading), *rows]]


def _line(place: int) -> dict[str, Any]:
    """A hairline under a case's points; headings have none, since nothing stands on them."""
    ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": place, "y1": place, "layer": "below"}
    return {"type": "line", "line": {"color": RULE, "width": 1}, **ends}


def _caption(evaluation: Evaluation, long: Any) -> str:
    small, large = int(long["n"].min()), int(long["n"].max())
    size = f"{small:,}" if small == large else f"{small:,} to {large:,}"
    level = percent(evaluation.level, 0)
    return (
        f"Each row is a case ({size} examples), each point one of "
        f"{len(evaluation.names) - 1} subnetworks, the diamond the full model with its {level} interval "
        "over premises. Subnetworks that agree in domain and spread out of it are what both accounts have to explain. "
        "Accuracy says which answers are right, not how they come about; on cases whose answer is entailment, always "
        "answering entailment is right too."
    )
