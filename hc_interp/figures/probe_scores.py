"""What probes can read, before and after paths are cut."""

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

ROW, BETWEEN = 20.0, 40.0  # points a probe; between two panels
CHANCE = {"auc": 0.5, "r2": 0.0}
GAIN = "gain"  # the panel of the probe less the word alone
GAIN_WORDS = (
    " The last panel is the score less that of the word alone, from paired resamples: at 0, or where the interval "
    "holds 0, the probe was not shown to read more than which word stands there."
)
# The probe itself, and what it is compared with: name, symbol, colour.
ARMS = {
    "": ("probe", "circle", BLUE),
    "control_": ("random values per word", "circle-open", MUTED),
    "word_": ("the word alone", "diamond-open", ORANGE),
    "untrained_": ("untrained weights", "square-open", GREEN),
}


@figure("probes", of=Probe, section="what-travels")
def probe_scores(probes: Mapping[str, Probe] | Sequence[Probe], *, width: Width = "double") -> Figure:
    """AUC (or R²) of each probe, and how much of it the word alone does not give; name them in a mapping.

    A score says what a linear map can read at a site, not what the model reads there. Raises `HCError` for no probe.
    """
    from plotly.subplots import make_subplots

    named = dict(probes) if isinstance(probes, Mapping) else {_name(p, i): p for i, p in enumerate(probes)}
    if not named:
        raise HCError("No probe was given. Expected at least one, as a list or as {name: fit_probe(...)}.")
    gains = {name: found for name, probe in named.items() if (found := gain(probe)) is not None}
    metrics = list(dict.fromkeys(map(metric, named.values()))) + [GAIN] * bool(gains)
    one_row = width == "double"
    below = 68.0 if one_row else 92.0
    panels = (1, len(metrics)) if one_row else (len(metrics), 1)
    inside = panels[0] * ROW * len(named) + (panels[0] - 1) * BETWEEN
    plot = make_subplots(
        rows=panels[0],
        cols=panels[1],
        shared_yaxes=one_row,
        horizontal_spacing=0.06,
        vertical_spacing=BETWEEN / inside * (panels[0] > 1),
    )
    shown: set[str] = set()
    for place, panel in enumerate(metrics):
        at: dict[str, Any] = {"row": 1, "col": place + 1} if one_row else {"row": place + 1, "col": 1}
        for trace in [_gains(gains)] if panel == GAIN else _traces(named, panel, shown):
            plot.add_trace(trace, **at)
        plot.add_vline(x=CHANCE.get(panel, 0.0), line={"color": RULE, "width": 1.5}, layer="below", **at)
        plot.update_xaxes(title={"text": _title(panel, metrics), "standoff": 4}, **at)
    plot.update_layout(layout(width, inside + below, legend=legend_below(34 / inside)))
    plot.update_layout(margin={"b": int((below - 12) * 96 / 72)})
    plot.update_yaxes(named_rows(list(named), width))
    plot.update_yaxes(range=[-0.6, len(named) - 0.4])
    data = [{"probe": name, **row} for name, p in named.items() for row in p.to_frame().to_dict("records")]
    return Figure(plot, "What a linear probe reads", _caption(named, bool(gains)), data)


def _title(panel: str, panels: Sequence[str]) -> str:
    if panel != GAIN:
        return METRIC_NAMES[panel]
    return f"{' or '.join(METRIC_NAMES[name] for name in panels if name != GAIN)} less that of the word alone"


def _name(probe: Probe, place: int) -> str:
    return f"{place + 1}: {probe.places.feature.name} at {probe.site}"


def _traces(named: dict[str, Probe], panel: str, shown: set[str]) -> list[dict[str, Any]]:
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
            symbol=symbol, color=color, legendgroup=words, showlegend=words not in shown,
            hover=[f"{plain(n)}: {words}, {METRIC_NAMES[panel]} {score(s)}" for n, s in rows],
        )  # fmt: skip
        shown.add(words)
        traces.append(trace)
    return traces


def _gains(gains: Mapping[str, Interval]) -> dict[str, Any]:
    found = list(gains.values())
    return interval_points(
        "gain", [i.value for i in found], list(gains), [i.low for i in found], [i.high for i in found],
        color=BLUE, showlegend=False,
        hover=[f"{plain(n)}: {score(i, '+')} over the word alone" for n, i in gains.items()],
    )  # fmt: skip


def _caption(named: dict[str, Probe], gains: bool) -> str:
    features = ", ".join(dict.fromkeys(probe.places.feature.name for probe in named.values()))
    levels = {probe.level for probe in named.values()}
    level = next(iter(levels)) if len(levels) == 1 else None
    interval = f"{percent(level, 0)} bootstrap intervals" if level else "bootstrap intervals"
    return (
        f"A linear probe for {features} at each site, scored on sources that it has not seen, with {interval} over "
        f"sources. The line marks chance.{GAIN_WORDS * gains} “Random values per word” is the same probe on made-up "
        "values: what it could memorise. A drop after paths are cut says that part of what the probe read came over "
        "them; a high score alone does not say that the model uses it."
    )
