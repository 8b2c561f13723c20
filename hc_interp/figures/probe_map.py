"""`probe_map`: what a linear probe reads at every head and layer."""

from collections.abc import Iterable
from typing import Any

from hc_interp.components import Head
from hc_interp.errors import HCError
from hc_interp.figures.chart import SEQUENTIAL, cells, colorbar
from hc_interp.figures.figure import Figure
from hc_interp.figures.head_grid import CORNER, axes, dots, grid, written
from hc_interp.figures.numbers import score
from hc_interp.figures.probe_scores import CHANCE
from hc_interp.figures.registry import core_of, figure
from hc_interp.figures.style import Width, layout, pixels
from hc_interp.heads.core import HeuristicCore
from hc_interp.probing.differences import MAIN_METRIC, METRIC_NAMES
from hc_interp.probing.probe import Probe
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.statistics.tests import Interval

ROW_HEIGHT = 21.0  # height of a layer's row, in points
TITLE, BELOW = 18.0, 34.0  # heights above and below the cells of a panel, in points
DOT = 0.36  # distance of a dot from the middle of a cell with a number, in cells
WITH_TEXT = 13  # a cell has room for its number if a layer has at most so many heads


@figure("probe-map", of=ProbeMap, section="where-read", arguments=core_of)
def probe_map(
    found: ProbeMap, *, core: Iterable[Head | str] | HeuristicCore | None = None, width: Width = "double"
) -> Figure:
    """Draw a cell for each head, dark if the probe scores high: a panel for each kind of site, and one for layers.

    The heads of `core` (heads, or a result that has `.heads`) get dots. The colour scale begins at chance. A number is
    bold if its whole interval is above the score of the word alone (a prediction from the word's identity). The figure
    shows where the feature can be read, not where the model reads it. Raises `HCError` for a map without sites.
    """
    from plotly.subplots import make_subplots

    metric = MAIN_METRIC[found.places.feature.kind]
    probes = {probe.site: probe for probe in found.probes}
    kinds = list(dict.fromkeys(site.kind for site in probes if site.head is not None))
    streams = list(dict.fromkeys(site.kind for site in probes if site.head is None))
    if not kinds and not streams:
        raise HCError("The map has no site. Expected at least one: hc.probe_map(model, data, feature).")
    word = float(next(iter(probes.values())).scores[f"word_{metric}"].value)
    floor = CHANCE[metric]
    top = max(max(float(probe.scores[metric].value) for probe in probes.values()), floor + 1e-3)
    by_kind = {kind: _of_heads(probes, kind) for kind in kinds}
    n_heads = max((len(axes(part)[1]) for part in by_kind.values()), default=0)
    layers = sorted({site.layer if site.layer is not None else -1 for site in probes})
    one_row = width == "double" and len(kinds) < 2
    rows = max(len(kinds), 1) + int(bool(streams) and bool(kinds) and not one_row)
    with_stream = bool(streams) and bool(kinds) and one_row
    height = rows * (ROW_HEIGHT * len(layers) + TITLE + BELOW)
    shape: dict[str, Any] = {"rows": rows, "cols": 1 + with_stream, "vertical_spacing": (TITLE + BELOW) / height}
    if with_stream:
        widths = [n_heads, max(1.6 * len(streams), 1.6)]
        shape |= {"column_widths": widths, "horizontal_spacing": 0.08}
    titles = [f"{kind} of each head" for kind in kinds] + ["whole layers"] * bool(streams)
    plot = make_subplots(subplot_titles=titles, **shape)
    text = n_heads <= WITH_TEXT and width == "double"
    for row, part in enumerate(by_kind.values(), 1):
        at: dict[str, Any] = {"row": row, "col": 1}
        values = {head: float(probe.scores[metric].value) for head, probe in part.items()}
        hover = {head: _hover(str(head), probe, metric) for head, probe in part.items()}
        plot.add_trace(grid(values, hover, low=floor, high=top, coloraxis="coloraxis"), **at)
        if text:
            numbers = [_number(probe.scores[metric], word) for probe in part.values()]
            shade = [(value - floor) / (top - floor) for value in values.values()]
            plot.add_trace(written([h.head for h in values], [h.layer for h in values], numbers, shade), **at)
        plot.add_trace(dots(core, values, corner=DOT if text else CORNER), **at)
        plot.update_xaxes(tickvals=axes(values)[1], title={"text": "head", "standoff": 3}, **at)
    if streams:
        at: dict[str, Any] = {"row": 1, "col": 2} if with_stream else {"row": rows, "col": 1}
        for trace in _streams(probes, streams, metric, word, (floor, top)):
            plot.add_trace(trace, **at)
        plot.update_xaxes(type="category", tickangle=0, **at)
    plot.update_layout(layout(width, height, showlegend=False))
    plot.update_layout(margin={"t": pixels(TITLE + 4), "b": pixels(BELOW)})
    names = ["embed" if layer < 0 else f"L{layer}" for layer in layers]
    plot.update_yaxes(tickvals=layers, ticktext=names, showline=False, ticks="", showgrid=False)
    plot.update_yaxes(range=[layers[0] - 0.5, layers[-1] + 0.5])
    if with_stream and layers[0] < 0:  # the panel of heads has no row for the embeddings
        plot.update_yaxes(range=[-0.5, layers[-1] + 0.5], domain=[1 / len(layers), 1], row=1, col=1)
    plot.update_xaxes(showline=False, ticks="", showgrid=False)
    plot.update_annotations(font={"size": pixels(8)}, yshift=2)
    plot.update_layout(
        coloraxis={"cmin": floor, "cmax": top, "colorscale": SEQUENTIAL}
        | {"colorbar": colorbar(METRIC_NAMES[metric], tickformat=".2f")}
    )
    caption = _caption(found, metric, word, text, core is not None)
    return Figure(plot, f"Where {found.places.feature.name} can be read", caption, found.to_frame().to_dict("records"))


def _of_heads(probes: dict[Any, Probe], kind: str) -> dict[Head, Probe]:
    return {
        Head(site.layer, site.head): probe
        for site, probe in probes.items()
        if site.kind == kind and site.head is not None and site.layer is not None
    }


def _hover(name: str, probe: Probe, metric: str) -> str:
    text = f"{name}: {METRIC_NAMES[metric]} {score(probe.scores[metric])}"
    return f"{text}, selectivity {score(probe.scores['selectivity'])}" if "selectivity" in probe.scores else text


def _streams(
    probes: dict[Any, Probe], kinds: list[str], metric: str, word: float, scale: tuple[float, float]
) -> list[dict[str, Any]]:
    """The traces of the sites without heads: cells and their numbers. Each kind has a column; `embed` is layer -1."""
    part = [probe for site, probe in probes.items() if site.head is None]
    shown = [kind for kind in kinds if kind != "embed"] or kinds
    x = [shown[0] if probe.site.kind == "embed" else probe.site.kind for probe in part]
    y = [-1 if probe.site.layer is None else probe.site.layer for probe in part]
    values = [float(probe.scores[metric].value) for probe in part]
    layers = sorted(set(y))
    z, hover = ([[empty] * len(shown) for _ in layers] for empty in (float("nan"), ""))
    for kind, layer, value, probe in zip(x, y, values, part, strict=True):
        z[layers.index(layer)][shown.index(kind)] = value
        hover[layers.index(layer)][shown.index(kind)] = _hover(str(probe.site), probe, metric)
    numbers = [_number(probe.scores[metric], word) for probe in part]
    shade = [(value - scale[0]) / (scale[1] - scale[0]) for value in values]
    return [
        cells(x=shown, y=layers, z=z, hovertext=hover, coloraxis="coloraxis"),
        written(x, y, numbers, shade),
    ]


def _number(interval: Interval, word: float) -> str:
    """The score without its leading 0, bold if its whole interval is above the score of the word alone."""
    text = f"{interval.value:.2f}".replace("0.", ".", 1)
    return f"<b>{text}</b>" if interval.low > word else text


def _caption(found: ProbeMap, metric: str, word: float, with_text: bool, with_dots: bool) -> str:
    best = max(found.probes, key=lambda probe: probe.scores[metric].value)
    places = found.places
    alone = "the identity of the word" if places.feature.level == "token" else "the second text's last word"
    bold = " A bold number has its whole interval above that." * with_text
    return (
        f"{METRIC_NAMES[metric]} of a linear probe for {places.feature.name} at each site, scored on sources (premises "
        f"or templates) that it was not trained on ({len(places):,} positions in {len(set(places.id)):,} examples). "
        f"The colour scale begins at chance. A prediction from {alone} alone reaches {word:.2f}.{bold} The highest "
        f"score is that of {best.site}: {score(best.scores[metric])}. {'Dots mark the core. ' if with_dots else ''}A "
        "head has fewer dimensions than a layer, so their scores are not comparable. The figure shows where the "
        "feature can be read, not where the model reads it."
    )
