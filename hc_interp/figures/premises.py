"""`premises`: what the full model, the core and the heads do to the heuristic's answer, beside other sets of heads."""

from typing import Any

import numpy as np

from hc_interp.figures.chart import interval_points, legend_below, percent_axis
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, score, share
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, INK, MUTED, ORANGE, SKY, VERMILLION, Width, layout, pixels
from hc_interp.reading.premise_numbers import Signals
from hc_interp.reading.premise_result import MODELS, Premises, set_name
from hc_interp.reading.premise_rules import LOSS, PULL, SEPARATION
from hc_interp.reading.premise_sets import DISJOINT, WITHIN

WORDS = dict(zip(MODELS, ("full model", "core alone", "core + heads", "all without heads"), strict=True))
MARKS = dict(zip(MODELS, (("diamond", ORANGE), ("circle", BLUE), ("square", GREEN), ("star", VERMILLION)), strict=True))
SETS = {WITHIN: ("other sets within layers", SKY), DISJOINT: ("sets of other heads", MUTED)}
CHANGES = {"loss": ("without them", "triangle-down"), "gain": ("with the core", "triangle-up")}
PLOT, LEGEND = 170.0, 118.0  # heights in points
SHARES = (-0.5, 1.5)  # ends of the axis of shares: a set with a small in-domain gap would squeeze all others


@figure("premises", of=Premises, section="premises")
def premises(result: Premises, *, width: Width = "double") -> Figure:
    """Draw pull against separation for the four systems and the comparison sets, and the loss and gain of the signal.

    Without overlap pairs the first panel has the in-domain AUC in place of the pull.
    """
    import plotly.graph_objects as go

    frame: Any = result.to_frame()
    pull = "pull" in result.numbers
    second = "pull" if pull else "in_domain_auc"
    wide = width == "double"
    height = (PLOT if wide else 2 * PLOT + 40) + LEGEND + (0 if wide else 60)
    plotted = height - LEGEND - (0 if wide else 60)
    top = [[0.0, 0.43], [0.57, 1.0]] if wide else [[0.0, 1.0], [0.0, 1.0]]
    side = [[0.0, 1.0], [0.0, 1.0]] if wide else [[0.56, 1.0], [0.0, 0.4]]
    plot = go.Figure(
        layout=layout(
            width,
            height,
            xaxis={"title": {"text": "separation"}, "domain": top[0], "range": [_least(frame, "separation"), 1.05]},
            yaxis={"title": {"text": "pull" if pull else "in-domain AUC"}, "domain": side[0],
                   "range": [_least(frame, second), 1.08]},
            xaxis2={"title": {"text": f"share of the full model's {_signal(result)}"}, "domain": top[1],
                    "anchor": "y2", "tickangle": 0, **percent_axis(*SHARES)},
            yaxis2={"domain": side[1], "anchor": "x2", "tickvals": [0, 1], "ticktext": ["gain", "loss"],
                    "range": [-0.6, 1.6], "showgrid": False, "ticks": ""},
            legend=legend_below(44 / plotted),
            shapes=_lines(pull),
        )
    )  # fmt: skip
    for trace in (*_clouds(frame, pull), *_systems(frame, pull), *_strips(result), *_heads(result)):
        plot.add_trace(trace)
    plot.update_layout(margin={"b": int(pixels(LEGEND + (0 if wide else 60) - 16))})
    title = f"The premises on {result.heuristic.replace('_', ' ')}"
    shown = ["system", "kind", "change", "n_heads", "separation", "pull", "in_domain_auc", "order_sensitivity",
             "case_sensitivity"]  # fmt: skip
    return Figure(plot, title, _caption(result, pull), frame.loc[:, shown].to_dict("records"))


def _least(frame: Any, name: str) -> float:
    """The lower end of an axis: below chance, and below all that is drawn."""
    models = frame[frame["kind"] == "model"]
    drawn = [*frame[frame["kind"] != "donors"][name], *models[f"{name}_low"]]
    return min(0.3, float(np.nanmin(drawn))) - 0.05


def _clouds(frame: Any, pull: bool) -> list[dict[str, Any]]:
    traces = []
    for kind, (words, color) in SETS.items():
        for change, (how, symbol) in CHANGES.items():
            part = frame[(frame["kind"] == kind) & (frame["change"] == change)]
            if len(part):
                y = part["pull" if pull else "in_domain_auc"].round(3).tolist()
                traces.append(_dots(f"{words}, {how}", part["separation"].round(3).tolist(), y, symbol, color))
    return traces


def _dots(name: str, x: list[float], y: list[float], symbol: str, color: str, **more: Any) -> dict[str, Any]:
    marker = {"symbol": symbol, "color": color, "size": pixels(3.2), "opacity": 0.55}
    look = {"type": "scatter", "mode": "markers", "marker": marker, "hoverinfo": "name", "legendrank": 2000}
    return {**look, "name": name, "x": x, "y": y, **more}


def _systems(frame: Any, pull: bool) -> list[dict[str, Any]]:
    name = "pull" if pull else "in_domain_auc"
    traces = []
    for row in frame[frame["kind"] == "model"].to_dict("records"):
        symbol, color = MARKS[row["system"]]
        trace = interval_points(
            WORDS[row["system"]], [row["separation"]], [row[name]], [row["separation_low"]], [row["separation_high"]],
            symbol=symbol, color=color, size=6.5,
            hover=[f"{WORDS[row['system']]}: separation {row['separation']:.2f}, {name} {row[name]:.2f}"],
        )  # fmt: skip
        up, down = (abs(np.nan_to_num(row[f"{name}{end}"] - row[name])) for end in ("_high", "_low"))
        bars = {"type": "data", "symmetric": False, "array": [up], "arrayminus": [down], "width": 0}
        traces.append(trace | {"error_y": bars | {"thickness": pixels(1)}})
    return traces


def _strips(result: Premises) -> list[dict[str, Any]]:
    """Loss and gain of each comparison set, as a share of the full model's signal on the same rows."""
    rng = np.random.default_rng(0)
    traces = []
    for kind, (words, color) in SETS.items():
        for row, change in enumerate(("gain", "loss")):
            values = set_shares(result, change, kind)
            values = np.clip(values[np.isfinite(values)], *SHARES).round(3)
            if len(values):
                place = row + (0.22 if kind == WITHIN else -0.22)
                y = (place + rng.uniform(-0.12, 0.12, len(values))).round(3)
                more = {"xaxis": "x2", "yaxis": "y2", "showlegend": False}
                traces.append(_dots(words, values.tolist(), y.tolist(), CHANGES[change][1], color, **more))
    return traces


def set_shares(result: Premises, change: str, kind: str) -> np.ndarray:
    """The loss or gain of each comparison set of a kind; NaN where a system has no in-domain gap."""
    frame: Any = result.set_scores.to_frame().set_index("system")
    signal = frame[Signals(result.set_scores, result.heuristic).by]
    sets = signal[[set_name(change, kind, i) for i in range(len(result.sets[kind]))]].to_numpy()
    return 1 - sets / signal["full"] if change == "loss" else (sets - signal["core"]) / signal["full"]


def _heads(result: Premises) -> list[dict[str, Any]]:
    """Loss and gain of the generalizing heads with their intervals, on the rows of the comparison sets."""
    if not result.generalizing:
        return []
    signals = Signals(result.set_scores, result.heuristic)
    core, both, without = (signals.share_of_full(signals.of(name)[0]) for name in MODELS[1:])
    shares = {"gain": signals.interval(both - core), "loss": signals.interval(without.times(-1).plus(1))}
    found = [(row, name, item) for row, (name, item) in enumerate(shares.items()) if np.isfinite(item.value)]
    x, low, high = ([float(np.clip(getattr(i, e), *SHARES)) for *_, i in found] for e in ("value", "low", "high"))
    trace = interval_points(
        "the generalizing heads", x, [row for row, *_ in found], low, high, symbol="diamond", color=INK, size=6.5,
        hover=[f"{name}: {share(item)}" for _, name, item in found], xaxis="x2", yaxis="y2",
    )  # fmt: skip
    return [trace] if found else []


def _lines(pull: bool) -> list[dict[str, Any]]:
    """The bounds of the decisions, as faint lines."""
    look = {"type": "line", "layer": "above", "opacity": 0.7, "line": {"color": MUTED, "width": 1, "dash": "dot"}}
    lines = [
        {"x0": SEPARATION, "x1": SEPARATION, "xref": "x", "y0": 0, "y1": 1, "yref": "y domain"},
        {"x0": LOSS, "x1": LOSS, "xref": "x2", "y0": 0.6, "y1": 1.5, "yref": "y2"},
        {"x0": 0, "x1": 0, "xref": "x2", "y0": 0, "y1": 1, "yref": "y2 domain"},
    ]
    if pull:
        lines.append({"x0": 0, "x1": 1, "xref": "x domain", "y0": PULL, "y1": PULL, "yref": "y"})
    return [look | line for line in lines]


def _signal(result: Premises) -> str:
    return result.by.replace("_", " ")


def _caption(result: Premises, pull: bool) -> str:
    counts = " and ".join(f"{len(listed)} ({kind})" for kind, listed in result.sets.items())
    numbers = result.numbers
    heads = (
        f"the {len(result.generalizing)} generalizing heads (loss {share(numbers['loss'])}, gain "
        f"{share(numbers['gain'])})"
        if "loss" in numbers
        else "the generalizing heads, of which there are none"
    )
    other = (
        f"Pull is the share of overlap pairs in which the heuristic's answer gets less likely when a word is replaced; "
        f"a core that follows the heuristic is above {PULL}. "
        if pull
        else "The task has no overlap pairs, so the in-domain AUC is drawn in place of the pull. "
    )
    return (
        "Separation is the chance that the heuristic's answer scores higher where the heuristic is right than where it "
        f"is wrong: 0.5 is no knowledge beyond the heuristic, and a model that generalizes is above {SEPARATION} (full "
        f"model {score(numbers['separation'])}). {other}The second panel shows {heads}: how much of the full model's "
        f"{_signal(result)} is lost when they are removed from it, and gained when the core gets them. Small marks are "
        f"comparison sets of as many heads: {counts}. All shares are of the sets' own, fewer rows. A "
        "set within layers may hold generalizing heads. Dotted lines "
        f"are the bounds of the decisions (loss {percent(LOSS, 0)}), and bars are {percent(result.scores.level, 0)} "
        "intervals. The picture does not show what the heads read. It holds for these cases and this replacement of "
        "removed components."
    )
