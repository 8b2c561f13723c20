"""What a linear probe reads at every head and layer."""

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
from hc_interp.probing.differences import MAIN_METRIC, METRIC_NAMES
from hc_interp.probing.probe import Probe
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.statistics.tests import Interval

ROW = 21.0  # points a layer
TITLE, BELOW = 18.0, 34.0  # above and below the cells of a panel
DOT = 0.36  # from the middle of a cell, where its number is
WITH_TEXT = 13  # heads of a layer, up to which a cell has room for its number


@figure("probe-map", of=ProbeMap, section="where-read", arguments=core_of)
def probe_map(found: ProbeMap, *, core: Any = None, width: Width = "double") -> Figure:
    """A cell per head, dark where the probe scores high, a panel per kind of site, and a column for whole streams.

    `core` (heads, or a result that has them) gets dots. The scale begins at chance; numbers are bold where the interval
    lies above what the word alone predicts. It says what can be read, not what the model reads.
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
    height = rows * (ROW * len(layers) + TITLE + BELOW)
    shape: dict[str, Any] = {"rows": rows, "cols": 1 + with_stream, "vertical_spacing": (TITLE + BELOW) / height}
    if with_stream:
        widths = [n_heads, max(1.6 * len(streams), 1.6)]
        shape |= {"column_widths": widths, "horizontal_spacing": 0.08}
    titles = [f"{kind} of each head" for kind in kinds] + ["whole layers"] * bool(streams)
    plot = make_subplots(subplot_titles=titles, **shape)
    text = n_heads <= WITH_TEXT and width == "double"
    for place, part in enumerate(by_kind.values()):
        at: dict[str, Any] = {"row": place + 1, "col": 1}
        values = {head: float(probe.scores[metric].value) for head, probe in part.items()}
        hover = {head: _hover(str(head), probe, metric) for head, probe in part.items()}
        plot.add_trace(grid(values, hover, low=floor, high=top, coloraxis="coloraxis"), **at)
        if text:
            said = [_number(probe.scores[metric], word) for probe in part.values()]
            shade = [(value - floor) / (top - floor) for value in values.values()]
            plot.add_trace(written([h.head for h in values], [h.layer for h in values], said, shade), **at)
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
    if with_stream and layers[0] < 0:  # heads have no row for the embeddings
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
    said = f"{name}: {METRIC_NAMES[metric]} {score(probe.scores[metric])}"
    return f"{said}, selectivity {score(probe.scores['selectivity'])}" if "selectivity" in probe.scores else said


def _streams(
    probes: dict[Any, Probe], kinds: list[str], metric: str, word: float, scale: tuple[float, float]
) -> list[dict[str, Any]]:
    """A column per kind of site without heads; `embed` stands below layer 0. The cells, and what is written in them."""
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
    said = [_number(probe.scores[metric], word) for probe in part]
    shade = [(value - scale[0]) / (scale[1] - scale[0]) for value in values]
    return [
        cells(x=shown, y=layers, z=z, hovertext=hover, coloraxis="coloraxis"),
        written(x, y, said, shade),
    ]


def _number(found: Interval, word: float) -> str:
    """The score without its leading 0, bold where its interval lies above what the word alone predicts."""
    said = f"{found.value:.2f}".replace("0.", ".", 1)
    return f"<b>{said}</b>" if found.low > word else said


def _caption(found: ProbeMap, metric: str, word: float, with_text: bool, with_dots: bool) -> str:
    best = max(found.probes, key=lambda probe: probe.scores[metric].value)
    places = found.places
    alone = "the word alone" if places.feature.level == "token" else "the second text's last word"
    scale = f"The scale begins at chance; {alone} predicts {word:.2f}{', bold is above that' if with_text else ''}"
    return (
        f"{METRIC_NAMES[metric]} of a linear probe for {places.feature.name} at each site, on sources that it has not "
        f"seen ({len(places):,} places in {len(set(places.id)):,} examples). {scale}; the darkest is {best.site}, "
        f"{score(best.scores[metric])}. {'Dots mark the core. ' if with_dots else ''}Widths differ: a head has fewer "
        "dimensions than a layer. It shows where the feature can be read, not where the model reads it."
    )
