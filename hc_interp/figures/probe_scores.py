"""`probe_scores`: the scores of probes, for example before and after paths are cut."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hc_interp.errors import HCError
from hc_interp.figures.chart import interval_points, legend_below, named_rows
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, score
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, GREEN, MUTED, ORANGE, RULE, Width, layout
from hc_interp.probing.differences import METRIC_NAMES, gain, metric
from hc_interp.probing.probe import Probe
from hc_interp.statistics.tests import Interval

ROW_HEIGHT, BETWEEN = 20.0, 40.0  # height of a probe's row, and the distance between two panels, in points
CHANCE = {"auc": 0.5, "r2": 0.0}
GAIN_PANEL = "gain"  # the panel of the probe's score minus that of the word alone
GAIN_WORDS = (
    " The last panel is the score minus that of the word alone, from paired resamples; “the word alone” predicts the "
    "feature from the identity of the word. If its interval contains 0, the probe was not shown to read more than that."
)
# The probe itself, and the predictions that it is compared with: name, symbol, colour.
ARMS = {
    "": ("probe", "circle", BLUE),
    "control_": ("random values per word", "circle-open", MUTED),
    "word_": ("the word alone", "diamond-open", ORANGE),
    "untrained_": ("untrained weights", "square-open", GREEN),
}


@figure("probes", of=Probe, section="what-travels")
def probe_scores(probes: Mapping[str, Probe] | Sequence[Probe], *, width: Width = "double") -> Figure:
    """Draw the AUC (or R²) of each probe, and its gain over the word alone (a prediction from the word's identity).

    `probes` is a list, or a mapping from names to probes. Raises `HCError` for no probe. A score shows what a linear
    map can read at a site, not what the model reads there.
    """
    from plotly.subplots import make_subplots

    named = dict(probes) if isinstance(probes, Mapping) else {_name(p, i): p for i, p in enumerate(probes)}
    if not named:
        raise HCError("No probe was given. Expected at least one, as a list or as {name: fit_probe(...)}.")
    gains = {name: interval for name, probe in named.items() if (interval := gain(probe)) is not None}
    panels = list(dict.fromkeys(map(metric, named.values()))) + [GAIN_PANEL] * bool(gains)
    one_row = width == "double"
    below = 68.0 if one_row else 92.0
    rows, columns = (1, len(panels)) if one_row else (len(panels), 1)
    inside = rows * ROW_HEIGHT * len(named) + (rows - 1) * BETWEEN
    plot = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes=one_row,
        horizontal_spacing=0.06,
        vertical_spacing=BETWEEN / inside * (rows > 1),
    )
    in_legend: set[str] = set()
    for index, panel in enumerate(panels, 1):
        at: dict[str, Any] = {"row": 1, "col": index} if one_row else {"row": index, "col": 1}
        for trace in [_gains(gains)] if panel == GAIN_PANEL else _traces(named, panel, in_legend):
            plot.add_trace(trace, **at)
        plot.add_vline(x=CHANCE.get(panel, 0.0), line={"color": RULE, "width": 1.5}, layer="below", **at)
        plot.update_xaxes(title={"text": _title(panel, panels), "standoff": 4}, **at)
    plot.update_layout(layout(width, inside + below, legend=legend_below(34 / inside)))
    plot.update_layout(margin={"b": int((below - 12) * 96 / 72)})
    plot.update_yaxes(named_rows(list(named), width))
    plot.update_yaxes(range=[-0.6, len(named) - 0.4])
    data = [{"probe": name, **row} for name, p in named.items() for row in p.to_frame().to_dict("records")]
    return Figure(plot, "What a linear probe reads", _caption(named, bool(gains)), data)


def _title(panel: str, panels: Sequence[str]) -> str:
    if panel != GAIN_PANEL:
        return METRIC_NAMES[panel]
    return f"{' or '.join(METRIC_NAMES[name] for name in panels if name != GAIN_PANEL)} above the word alone"


def _name(probe: Probe, index: int) -> str:
    return f"{index + 1}: {probe.places.feature.name} at {probe.site}"


def _traces(named: dict[str, Probe], panel: str, in_legend: set[str]) -> list[dict[str, Any]]:
    """The traces of one panel. Their names are added to `in_legend`, so that the legend has each of them once."""
    traces = []
    for prefix, (words, symbol, color) in ARMS.items():
        key = f"{prefix}{panel}"
        rows = [(name, p.scores[key]) for name, p in named.items() if key in p.scores]
        rows = [(name, score) for name, score in rows if np.isfinite(float(score.value))]
        if not rows:
            continue
        trace = interval_points(
            words, [s.value for _, s in rows], [n for n, _ in rows],
            [s.low for _, s in rows], [s.high for _, s in rows],
            symbol=symbol, color=color, legendgroup=words, showlegend=words not in in_legend,
            hover=[f"{plain(n)}: {words}, {METRIC_NAMES[panel]} {score(s)}" for n, s in rows],
        )  # fmt: skip
        in_legend.add(words)
        traces.append(trace)
    return traces


def _gains(gains: Mapping[str, Interval]) -> dict[str, Any]:
    intervals = list(gains.values())
    return interval_points(
        "gain", [i.value for i in intervals], list(gains), [i.low for i in intervals], [i.high for i in intervals],
        color=BLUE, showlegend=False,
        hover=[f"{plain(n)}: {score(i, '+')} over the word alone" for n, i in gains.items()],
    )  # fmt: skip


def _caption(named: dict[str, Probe], gains: bool) -> str:
    features = ", ".join(dict.fromkeys(probe.places.feature.name for probe in named.values()))
    levels = {probe.level for probe in named.values()}
    level = next(iter(levels)) if len(levels) == 1 else None
    interval = f"{percent(level, 0)} bootstrap intervals" if level else "bootstrap intervals"
    return (
        f"Linear probes for {features}, each at one site. They are scored on sources (premises or templates) that they "
        f"were not trained on, with {interval} over sources. The grey line is chance.{GAIN_WORDS * gains} “Random "
        "values per word” is the same probe trained on a random value for each word, so it shows what a probe can "
        "memorise. If a score drops when paths are cut, part of what the probe read came over these paths. A high "
        "score does not show that the model uses the feature."
    )
