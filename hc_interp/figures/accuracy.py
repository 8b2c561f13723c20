"""`accuracy`: the accuracy of the full model and of its subnetworks on each case."""

from typing import Any

from hc_interp.data.grammar import case_of
from hc_interp.errors import HCError
from hc_interp.evaluation.result import VALIDATION, WHOLE, Evaluation
from hc_interp.figures.chart import interval_points, percent_axis
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, share_of
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import (
    BLUE,
    GREEN,
    PURPLE,
    RULE,
    SKY,
    VERMILLION,
    Width,
    layout,
    pixels,
    points,
)

ROW_HEIGHT = 10.5  # points
STYLES = [("circle", BLUE), ("square", GREEN), ("triangle-up", PURPLE), ("cross", SKY)]  # of subnetworks, by sparsity
NAME_SHARE = 0.65  # largest share of the width for the names of the cases


@figure("accuracy", of=Evaluation, section="accuracy")
def accuracy(evaluation: Evaluation, *, width: Width = "double") -> Figure:
    """Draw a row for each case, with a point for each subnetwork and a diamond with its interval for the full model.

    Raises `HCError` for an evaluation without accuracies. Subnetworks of one search are not independent samples.
    """
    import plotly.graph_objects as go

    long: Any = evaluation.to_frame(long=True)
    long = long[long["metric"] == "accuracy"]
    if long.empty:
        raise HCError("This evaluation has no accuracies. Expected a task with a validation split or cases.")
    rows = _rows(list(dict.fromkeys(long["case"])))
    ys = {case: index for index, (case, _) in enumerate(rows) if case is not None}
    height, room = ROW_HEIGHT * len(rows) + 56, NAME_SHARE * points(width)
    plot = go.Figure(
        layout=layout(
            width,
            height,
            xaxis={"range": [-0.02, 1.02], "title": {"text": "accuracy"}, **percent_axis(0, 1)},
            yaxis={
                "tickvals": list(range(len(rows))),
                "ticktext": [plain(words, room) if case else f"<b>{plain(words, room)}</b>" for case, words in rows],
                "showline": False, "showgrid": False, "range": [len(rows) - 0.4, -0.6], "ticks": "",
            },
            shapes=[_line(y) for y in ys.values()],
            legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "itemclick": False,
                    "itemdoubleclick": False},
        )
    )  # fmt: skip
    plot.update_layout(margin={"t": 26})
    for trace in _traces(long, ys, evaluation.by_sparsity):
        plot.add_trace(trace)
    return Figure(plot, "Accuracy in domain and out of it", _caption(evaluation, long), long.to_dict("records"))


def _traces(long: Any, ys: dict[str, int], by_sparsity: dict[float, list[str]]) -> list[dict[str, Any]]:
    whole, traces = long[long["subnetwork"].isin(WHOLE)], []
    for number, (sparsity, names) in enumerate(by_sparsity.items()):
        parts, (symbol, color) = long[long["subnetwork"].isin(names)], STYLES[number % len(STYLES)]
        removed = f", {percent(sparsity, 0)} removed" if len(by_sparsity) > 1 else ""
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": f"a subnetwork{removed}",
                "x": parts["value"].round(4).tolist(), "y": [ys[case] for case in parts["case"]], "cliponaxis": False,
                "hovertext": [_hover(row) for row in parts.to_dict("records")], "hoverinfo": "text",
                "marker": {"symbol": symbol, "size": pixels(4.2), "color": color, "opacity": 0.6},
            }
        )  # fmt: skip
    full = interval_points(
        f"the {WHOLE[whole['subnetwork'].iloc[0]]}", whole["value"].tolist(), [ys[case] for case in whole["case"]],
        whole["low"].tolist(), whole["high"].tolist(), symbol="diamond-open", color=VERMILLION, size=6.5,
        hover=[_hover(row) for row in whole.to_dict("records")],
    )  # fmt: skip
    full["marker"]["line"]["width"] = pixels(1.3)  # hollow, so that the subnetworks' points below it are seen
    return [*traces, full]


def _hover(row: dict[Any, Any]) -> str:
    name = WHOLE.get(row["subnetwork"]) or f"subnetwork {plain(row['subnetwork'])}"
    return f"{plain(row['case'])}<br>{name}: {share_of(row['value'], row['low'], row['high'])}, n = {row['n']}"


def _rows(cases: list[str]) -> list[tuple[str | None, str]]:
    """Rows of (case, text). Cases are grouped under headings, whose case is None.

    The groups are in domain, HANS' heuristics by label, and cases that HANS does not have.
    """
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


def _line(y: int) -> dict[str, Any]:
    """A thin line through the points of a case. Headings have no points and no line."""
    ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "layer": "below"}
    return {"type": "line", "line": {"color": RULE, "width": 1}, **ends}


def _caption(evaluation: Evaluation, long: Any) -> str:
    small, large = int(long["n"].min()), int(long["n"].max())
    size = f"{small:,}" if small == large else f"{small:,} to {large:,}"
    return (
        f"Each row is a case ({size} examples). Each point is one of {len(evaluation.names) - 1} subnetworks; the "
        f"diamond is the {WHOLE[evaluation.names[0]]}, with its {percent(evaluation.level, 0)} interval over sources "
        "(premises or templates). Subnetworks that agree in domain and differ out of domain are the finding that both "
        "accounts (competing subnetworks, heuristic core) have to explain. Accuracy shows how many answers are right, "
        "not how they are computed: on entailment cases, a model that always answers entailment is right, too."
    )
