"""Draws a laid-out circuit with plotly. One unit of the figure's axes is one point on paper."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hc_interp.figures.circuit.graph import SHAPE, CircuitGraph, NodeKind
from hc_interp.figures.circuit.key import (
    EDGE,
    FILL,
    KIND_WORDS,
    LINE,
    TEXT,
    KeyEntry,
    arrow_head,
    layer_names,
    line_width,
    notice_lines,
)
from hc_interp.figures.circuit.layout import (
    END_HALF_HEIGHT,
    FOOT,
    LETTERS,
    SIZES,
    Sizes,
    along_edge,
    column_edges,
    column_names,
    end_half_width,
    ends_at,
    port_letters,
)
from hc_interp.figures.numbers import share_of
from hc_interp.figures.plain_text import plain
from hc_interp.figures.style import INK, MUTED, PAPER, RULE, Width, layout, pixels, text_width


def draw(graph: CircuitGraph, entries: Sequence[KeyEntry], width: Width, labels: bool) -> Any:
    """The plotly figure of a graph that has a layout (from `lay_out`), at the graph's own size on paper."""
    import plotly.graph_objects as go

    size = SIZES[width]
    axis = {"visible": False, "fixedrange": True, "constrain": "domain"}
    shapes = [*_bands(graph, size), *_edges(graph, size), *_end_boxes(graph), *_key_lines(entries)]
    shapes += _patches(graph, size) if labels else []
    plot = go.Figure(
        layout=layout(
            width,
            graph.height,
            xaxis={**axis, "range": [0, graph.width]},
            yaxis={**axis, "range": [0, graph.height]},
            margin={"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0},
            showlegend=False,
            hovermode="closest",
            shapes=shapes,
            annotations=_words(graph, entries, width) + (_edge_labels(graph, size) if labels else []),
        )
    )
    for trace in (*_nodes(graph, size), *_key_nodes(entries), _edge_hover(graph, size)):
        plot.add_trace(go.Scatter(**trace))
    return plot


def _bands(graph: CircuitGraph, size: Sizes) -> list[dict[str, Any]]:
    """A thin line at each layer's height, which leads the eye from the layer's name to its heads, and between roles."""
    line = {"color": RULE, "width": pixels(0.5)}
    look = {"type": "line", "line": line, "layer": "below"}
    across = [{"x0": size.gutter - 4, "x1": graph.width - size.edge, "y0": y, "y1": y} for _, y in layer_names(graph)]
    low, high = min((node.y for node in graph.nodes), default=0.0), graph.height - size.edge
    between = [{"x0": x, "x1": x, "y0": low - 2 * size.radius, "y1": high} for x in column_edges(graph)]
    return [{**look, **ends} for ends in (*across, *between)]


def _edges(graph: CircuitGraph, size: Sizes) -> list[dict[str, Any]]:
    node, shapes = graph.node, []
    for edge in sorted(graph.edges, key=lambda edge: abs(edge.node_share)):
        start, control, tip = ends_at(edge, node, size)
        wide, colour = line_width(edge.node_share), EDGE[edge.sign]
        head, base = arrow_head(control, tip, wide)
        path = f"M {_xy(start)} Q {_xy(control)} {_xy(base)}"
        line = {"color": colour, "width": pixels(wide), "dash": "solid" if edge.sign > 0 else "4px,2.5px"}
        arrow = "M " + " L ".join(_xy(corner) for corner in head) + " Z"
        common = {"type": "path", "layer": "below", "opacity": 0.85}
        shapes.append({**common, "path": path, "line": line})
        shapes.append({**common, "path": arrow, "fillcolor": colour, "line": {"width": 0}})
    return shapes


def _xy(point: np.ndarray) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _end_boxes(graph: CircuitGraph) -> list[dict[str, Any]]:
    boxes = []
    for node in graph.nodes:
        if node.kind == "end":
            half = end_half_width(node.short)
            box = {"x0": node.x - half, "x1": node.x + half, "y0": node.y - END_HALF_HEIGHT}
            line = {"color": MUTED, "width": pixels(0.6)}
            look = {"type": "rect", "fillcolor": FILL["end"], "line": line, "layer": "below"}
            boxes.append({**box, "y1": node.y + END_HALF_HEIGHT, **look})
    return boxes


def _nodes(graph: CircuitGraph, size: Sizes) -> list[dict[str, Any]]:
    traces = []
    for kind in SHAPE:
        nodes = [node for node in graph.nodes if node.kind == kind]
        if not nodes:
            continue
        words = KIND_WORDS.get(kind, "end of the stream")
        trace = {
            "x": [node.x for node in nodes], "y": [node.y for node in nodes], "mode": "markers+text",
            "text": [node.short for node in nodes], "textposition": "middle center",
            "textfont": {"color": TEXT[kind]}, "marker": _marker(kind, _diameter(kind, size)),
            "hovertext": [f"{node.name}: {words}" for node in nodes], "hoverinfo": "text", "name": words,
        }  # fmt: skip
        traces.append({**trace, "cliponaxis": False})
    return traces


def _diameter(kind: NodeKind, size: Sizes) -> float:
    shapes = {"diamond": 2 * size.mlp, "square": 1.85 * size.radius, "box": 1.0}
    return shapes.get(SHAPE[kind], 2 * size.radius)


def _marker(kind: NodeKind, diameter: float) -> dict[str, Any]:
    if kind == "end":  # the box of an end is a shape of the layout; its point only carries the text and the hover
        return {"size": 1, "color": FILL[kind]}
    # plotly's diamond of size s is 1.3 s wide
    size = pixels(diameter) / (1.3 if kind == "mlp" else 1.0)
    bare = FILL[kind] == PAPER
    line = {"color": MUTED if bare else PAPER, "width": pixels(0.8 if bare else 0.4)}
    return {"symbol": SHAPE[kind], "size": size, "color": FILL[kind], "opacity": 1, "line": line}


def _edge_hover(graph: CircuitGraph, size: Sizes) -> dict[str, Any]:
    """Invisible points along the curves, whose hover text shows the numbers."""
    node, x, y, text = graph.node, [], [], []
    for edge in graph.edges:
        for t in (0.35, 0.65):
            point = along_edge(edge, node, size, t)
            x.append(round(float(point[0]), 1))
            y.append(round(float(point[1]), 1))
            text.append(
                f"{edge.sender} → {edge.receiver} through {edge.through}<br>node share "
                f"{share_of(edge.node_share, edge.low, edge.high)}<br>effect {edge.effect:+.3g}, q {edge.q:.2g}"
            )
    marker = {"size": 9, "color": INK, "opacity": 0}
    return {"x": x, "y": y, "mode": "markers", "marker": marker, "hovertext": text, "hoverinfo": "text", "name": "path"}


def _edge_labels(graph: CircuitGraph, size: Sizes) -> list[dict[str, Any]]:
    font = {"color": INK, "size": pixels(LETTERS)}
    return [{**_word(text, x, y, "center"), "font": font} for text, x, y in port_letters(graph, size)]


def _patches(graph: CircuitGraph, size: Sizes) -> list[dict[str, Any]]:
    """A patch in the colour of the paper under each letter, so that no line runs through the letter."""
    look = {"type": "rect", "fillcolor": PAPER, "line": {"width": 0}, "layer": "below"}
    high = (FOOT - 1) / 2
    return [
        {**look, "x0": x - wide, "x1": x + wide, "y0": y - high, "y1": y + high}
        for text, x, y in port_letters(graph, size)
        for wide in [text_width(text, LETTERS) / 2]
    ]


def _word(text: str, x: float, y: float, anchor: str) -> dict[str, Any]:
    return {"text": plain(text), "x": x, "y": y, "xanchor": anchor, "yanchor": "middle", "showarrow": False}


def _words(graph: CircuitGraph, entries: Sequence[KeyEntry], width: Width) -> list[dict[str, Any]]:
    edge = SIZES[width].edge
    words = [{**_word(name, edge, y, "left"), "font": {"color": MUTED}} for name, y in layer_names(graph)]
    for role, x, y, letters in column_names(graph):
        words.append({**_word(role, x, y, "center"), "font": {"color": MUTED, "size": pixels(letters)}})
    words += [_word(entry.words, entry.text_x, entry.y, "left") for entry in entries]
    for index, line in enumerate(notice_lines(graph, width)):
        words.append(_word(line, edge, graph.height - edge - LINE * (index + 0.5), "left"))
    return words


def _key_nodes(entries: Sequence[KeyEntry]) -> list[dict[str, Any]]:
    nodes = [entry for entry in entries if isinstance(entry.glyph, str)]
    common = {"mode": "markers", "hoverinfo": "skip"}
    sizes = {"mlp": 12.0}
    return [
        {"x": [entry.x + entry.wide / 2], "y": [entry.y], **common} | {"marker": _marker(kind, sizes.get(kind, 9.0))}
        for entry in nodes
        for kind in SHAPE
        if kind == entry.glyph
    ]


def _key_lines(entries: Sequence[KeyEntry]) -> list[dict[str, Any]]:
    lines = []
    for entry in entries:
        if isinstance(entry.glyph, str):
            continue
        sign = entry.glyph if isinstance(entry.glyph, int) else 1
        wide = 1.2 if isinstance(entry.glyph, int) else line_width(entry.glyph)
        look = {"color": EDGE[sign], "width": pixels(wide), "dash": "solid" if sign > 0 else "4px,2.5px"}
        ends = {"x0": entry.x, "x1": entry.x + entry.wide, "y0": entry.y, "y1": entry.y}
        lines.append({"type": "line", **ends, "line": look})
    return lines
