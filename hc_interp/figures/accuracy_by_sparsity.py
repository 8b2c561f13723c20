"""`accuracy_by_sparsity`: accuracy in domain and out of domain as components are removed."""

from typing import Any

import numpy as np

from hc_interp.data.grammar import case_of
from hc_interp.errors import HCError
from hc_interp.evaluation.result import VALIDATION, WHOLE, Evaluation
from hc_interp.figures.chart import percent_axis
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILLION, Width, layout, pixels, points

PANEL, LINE = 170.0, 15.0  # heights of the plot and of a line of the legend, in points
GROUP_STYLES = [
    ("circle", BLUE, "solid"), ("square", ORANGE, "dash"), ("diamond", GREEN, "dot"), ("cross", VERMILLION, "dashdot"),
    ("triangle-up", PURPLE, "longdash"), ("x", SKY, "longdashdot"), ("star", INK, "solid"),
]  # fmt: skip


@figure(
    "sparsity",
    of=Evaluation,
    section="accuracy",
    when=lambda evaluation: len({item.sparsity for item in evaluation.subnetworks if item is not None}) > 1,
)
def accuracy_by_sparsity(evaluation: Evaluation, *, width: Width = "double") -> Figure:
    """Draw accuracy against the share of components removed: a point for each subnetwork, a line through the means.

    The validation split is "in domain". HANS' cases are averaged by heuristic, without their entailment cases, on which
    the heuristic is right. All other cases are averaged into one line. Raises `HCError` for an evaluation of the full
    model alone, and for one that has only entailment cases. The figure does not show that no better subnetwork of the
    same size exists.
    """
    import plotly.graph_objects as go

    groups = _groups(evaluation)
    if len(evaluation.names) < 2:
        raise HCError(
            "This evaluation has only the full model, so there is no sparsity to draw over. Evaluate the subnetworks "
            "of a search over several sparsities: hc.search_masks(..., sparsity=[0.3, 0.5, 0.7])."
        )
    sparsity = np.array([0.0 if item is None else item.sparsity for item in evaluation.subnetworks])
    rows_of_key = -(-len(groups) // (3 if width == "double" else 1))
    rows = []
    plot = go.Figure(
        layout=layout(
            width,
            PANEL + LINE * rows_of_key,
            xaxis={**percent_axis(0, float(sparsity.max()), 10), "title": {"text": "share of components removed"},
                   "rangemode": "tozero"},
            yaxis={**percent_axis(0, 1), "range": [-0.02, 1.04], "title": {"text": "accuracy"}},
            legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top", "itemclick": False,
                    "itemdoubleclick": False},
        )
    )  # fmt: skip
    plot.update_layout(margin={"t": pixels(LINE * rows_of_key)})
    for i, (name, splits) in enumerate(groups.items()):
        values = np.stack([evaluation.accuracy(split) for split in splits]).mean(axis=0)
        for trace in _traces(name, sparsity, values, evaluation, _style(i), points(width) / 2):
            plot.add_trace(trace)
        rows += [
            {"group": name, "subnetwork": subnetwork, "sparsity": float(share), "accuracy": float(value),
             "cases": len(splits)}
            for subnetwork, share, value in zip(evaluation.names, sparsity, values, strict=True)
        ]  # fmt: skip
    return Figure(plot, "Accuracy as components are removed", _caption(evaluation, groups, sparsity), rows)


def _groups(evaluation: Evaluation) -> dict[str, list[str]]:
    """The splits that are averaged into each line, by the line's name."""
    groups: dict[str, list[str]] = {}
    for split in evaluation.splits:
        parts = case_of(split)
        if split == VALIDATION:
            groups.setdefault("in domain", []).append(split)
        elif parts and not parts.heuristic_is_right:
            groups.setdefault(f"{parts.heuristic.replace('_', ' ')}, {parts.label}", []).append(split)
        elif not parts:
            groups.setdefault("cases", []).append(split)
    if not groups:
        raise HCError(
            "This evaluation has only entailment cases, on which the heuristic is right. Expected validation, or cases "
            "that break it; evaluate those too."
        )
    return groups


def _style(i: int) -> tuple[str, str, str]:
    """Symbol, colour and dash of line `i`. Where the colours are used up, they come again with other symbols."""
    n = len(GROUP_STYLES)
    symbol, (_, color, dash) = GROUP_STYLES[(i + i // n) % n][0], GROUP_STYLES[i % n]
    return symbol, color, dash


def _traces(
    name: str,
    sparsity: np.ndarray,
    values: np.ndarray,
    evaluation: Evaluation,
    style: tuple[str, str, str],
    room: float,
) -> list[dict[str, Any]]:
    symbol, color, dash = style
    shares = np.unique(sparsity)
    means = [float(values[sparsity == share].mean()) for share in shares]
    hover = [
        f"{plain(name)}: {percent(value)}<br>{_words(subnetwork)}, {percent(share, 0)} removed"
        for subnetwork, share, value in zip(evaluation.names, sparsity, values, strict=True)
    ]
    common = {"type": "scatter", "cliponaxis": False, "legendgroup": name, "name": plain(name, room)}
    marker = {"symbol": symbol, "color": color, "size": pixels(4.2)}
    return [
        {**common, "mode": "markers", "x": sparsity.round(4).tolist(), "y": values.round(4).tolist(),
         "hovertext": hover, "hoverinfo": "text", "showlegend": False, "marker": {**marker, "opacity": 0.5}},
        {**common, "mode": "lines+markers", "x": shares.round(4).tolist(), "y": means, "hoverinfo": "skip",
         "line": {"color": color, "dash": dash, "width": 1.5}, "marker": {**marker, "size": pixels(5)}},
    ]  # fmt: skip


def _words(name: str) -> str:
    return WHOLE.get(name) or f"subnetwork {plain(name)}"


def _caption(evaluation: Evaluation, groups: dict[str, list[str]], sparsity: np.ndarray) -> str:
    counts = ", ".join(f"{name} ({len(splits)})" for name, splits in groups.items())
    return (
        f"The {WHOLE[evaluation.names[0]]} is at 0 %. Each small point is one of {len(evaluation.names) - 1} "
        f"subnetworks at {len(set(sparsity[sparsity > 0]))} sparsities; lines connect the means at each sparsity. Each "
        f"line averages over cases (number of cases): {counts}. A line out of domain that falls at smaller sparsities "
        "than the line in domain means that generalization is lost before accuracy in domain. The subnetworks are the "
        "ones that searches found; the figure does not show that no better subnetwork of the same size exists."
    )
