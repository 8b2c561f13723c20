"""`path_probes`: what a probe reads at a head's inputs, before and after paths into this head are cut."""

from hc_interp.figures.chart import interval_points, legend_below
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, score
from hc_interp.figures.probe_scores import CHANCE
from hc_interp.figures.registry import figure
from hc_interp.figures.style import BLUE, INK, MUTED, ORANGE, RULE, VERMILLION, Width, layout
from hc_interp.probing.differences import METRIC_NAMES
from hc_interp.probing.path_result import PathProbes

ROW_HEIGHT, BELOW = 30.0, 74.0  # height of a row, and of the axis title and legend below the rows, in points
# Condition: words, symbol, colour, distance above the row's middle (in rows).
ARMS = {
    "clean": ("clean", "circle", BLUE, 0.24),
    "random": ("as many other heads' paths cut", "circle-open", INK, 0.08),
    "cut": ("the senders' paths cut", "diamond", VERMILLION, -0.08),
    "word": ("the word alone", "line-ns-open", ORANGE, -0.24),
}


@figure("probe-paths", of=PathProbes, section="path-inputs")
def path_probes(found: PathProbes, *, metric: str | None = None, width: Width = "double") -> Figure:
    """Draw a row for each input of the receivers: the probe's score in clean runs, and with paths cut.

    The cut paths are those from the senders, or those from as many other heads; the grey line is the range over random
    draws of these. `metric` is "auc", "accuracy" or "r2" (default: the last of `found.metrics`). A drop shows that the
    feature arrived over the paths, not that the head uses it.
    """
    import plotly.graph_objects as go

    metric = metric or found.metrics[-1]
    names = [f"{site.kind} of L{site.layer}H{site.head}" for site in found.sites]
    scores = [found.scores(site, metric) for site in found.sites]
    rows = list(range(len(names)))[::-1]
    plot = go.Figure()
    if len(found.random) > 1:
        ends = [found.random_range(site, metric) for site in found.sites]
        x = [value for low, high in ends for value in (low, high, None)]
        y = [value for row in rows for value in (row + 0.08, row + 0.08, None)]
        line = {"color": MUTED, "width": 4}
        plot.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, opacity=0.35, hoverinfo="skip", showlegend=False))
    for arm, (words, symbol, color, shift) in ARMS.items():
        if arm not in scores[0]:
            continue
        values = [item[arm] for item in scores]
        plot.add_trace(
            interval_points(
                words, [v.value for v in values], [row + shift for row in rows],
                [v.low for v in values], [v.high for v in values], symbol=symbol, color=color,
                hover=[f"{n}, {words}: {METRIC_NAMES[metric]} {score(v)}" for n, v in zip(names, values, strict=True)],
            )
        )  # fmt: skip
    chance = CHANCE.get(metric)
    if chance is not None:
        plot.add_vline(x=chance, line={"color": RULE, "width": 1.5}, layer="below")
    inside = ROW_HEIGHT * len(names)
    below = BELOW + 26 * (width == "single")
    plot.update_layout(layout(width, inside + below, legend=legend_below(38 / inside)))
    plot.update_layout(margin={"b": int((below - 12) * 96 / 72)})
    plot.update_xaxes(title={"text": METRIC_NAMES[metric], "standoff": 4})
    plot.update_yaxes(tickvals=rows, ticktext=names, showgrid=False, ticks="", range=[-0.6, len(names) - 0.4])
    return Figure(plot, "What reaches a head's inputs", _caption(found, metric), found.to_frame().to_dict("records"))


def _caption(found: PathProbes, metric: str) -> str:
    feature, level = found.clean.places.feature.name, found.clean.level
    counts = sorted({len(heads) for _, heads in found.senders})
    n_senders = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    differences = []
    for site in found.sites:
        scores = found.scores(site, metric)
        if "difference" in scores:
            differences.append(f"{site}: {score(scores['difference'], '+')}")
    draws = f" For other heads the point is the mean of {len(found.random)} random draws, the grey line their range."
    between = f" Score with random cuts minus score with the senders' cut: {'; '.join(differences)}."
    return (
        f"{METRIC_NAMES[metric]} of a linear probe for {feature} at a head's inputs, with {percent(level, 0)} "
        f"bootstrap intervals over sources (premises or templates): in clean runs, with the paths from the {n_senders} "
        f"upstream senders cut (route {found.route}), and with the paths from as many other upstream heads cut."
        f"{(draws + between) * bool(differences)} The figure shows what can be read from the inputs, not that the head "
        "uses it."
    )
