r"""Writes a circuit as a TikZ picture for LaTeX, with the coordinates, glyphs and words of the plotly drawing.

The document needs `\usepackage{tikz}` and no TikZ library, and includes the picture with `\input`.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from hc_interp.figures.circuit.graph import SHAPE, CircuitGraph, CircuitNode, NodeKind
from hc_interp.figures.circuit.key import (
    EDGE,
    FILL,
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
    LETTERS,
    SIZES,
    Sizes,
    column_edges,
    column_names,
    end_half_width,
    ends_at,
    port_letters,
)
from hc_interp.figures.style import FONT_POINTS, INK, MUTED, PAPER, RULE, Width

ESCAPES = str.maketrans(
    {"\\": r"\textbackslash{}", "%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "$": r"\$"}
    | {"<": "$<$", ">": "$>$", "|": "$|$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)
RISE = 0.3  # distance from the baseline of the text to the middle of its letters, in ems
DASHES = {1: "", -1: ", dash pattern=on 3bp off 2bp"}


def tikz(graph: CircuitGraph, entries: Sequence[KeyEntry], width: Width, labels: bool) -> str:
    """The TikZ source. Lengths are PostScript points (`bp`, 72 to the inch), as in the PDF."""
    size = SIZES[width]
    lines = [
        r"% Needs \usepackage{tikz}. A circuit drawn by hc_interp.",
        *(rf"\definecolor{{{name}}}{{HTML}}{{{code}}}" for name, code in _palette().items()),
        rf"\begin{{tikzpicture}}[x=1bp, y=1bp, inner sep=0bp, font=\fontsize{{{FONT_POINTS:g}}}{{{FONT_POINTS + 1:g}}}"
        r"\selectfont\sffamily]",
        rf"\useasboundingbox (0,0) rectangle ({graph.width:.1f},{graph.height:.1f});",
        *_bands(graph, size),
        *_edges(graph, size),
        *(line for node in graph.nodes for line in _node(node, size)),
        *_key(entries),
        *_words(graph, width),
    ]
    if labels:
        font = rf"font=\fontsize{{{LETTERS:g}}}{{{LETTERS + 1:g}}}\selectfont\sffamily"
        look = f"{font}, fill={_name(PAPER)}, inner sep=0.3bp, anchor=base"
        letters = port_letters(graph, size)
        lines += [
            rf"\node[{look}] at ({x:.1f},{y - RISE * LETTERS:.1f}) {{{text.translate(ESCAPES)}}};"
            for text, x, y in letters
        ]
    return "\n".join([*lines, r"\end{tikzpicture}", ""])


def _code(colour: str) -> str:
    """The colour as six hexadecimal digits, which LaTeX's xcolor expects."""
    digits = colour.lstrip("#").upper()
    return digits if len(digits) == 6 else "".join(2 * digit for digit in digits)


def _name(colour: str) -> str:
    return f"hc{_code(colour)}"


def _palette() -> dict[str, str]:
    colours: Iterable[str] = (*FILL.values(), *TEXT.values(), *EDGE.values(), INK, MUTED, PAPER, RULE)
    return {_name(colour): _code(colour) for colour in dict.fromkeys(colours)}


def _at(point: np.ndarray | tuple[float, float]) -> str:
    return f"({point[0]:.1f},{point[1]:.1f})"


def _bands(graph: CircuitGraph, size: Sizes) -> list[str]:
    ends = size.gutter - 4, graph.width - size.edge
    lines = [((ends[0], y), (ends[1], y)) for _, y in layer_names(graph)]
    low, high = min((node.y for node in graph.nodes), default=0.0), graph.height - size.edge
    lines += [((x, low - 2 * size.radius), (x, high)) for x in column_edges(graph)]
    return [rf"\draw[{_name(RULE)}, line width=0.5bp] {_at(start)} -- {_at(end)};" for start, end in lines]


def _edges(graph: CircuitGraph, size: Sizes) -> list[str]:
    node, lines = graph.node, []
    for edge in sorted(graph.edges, key=lambda edge: abs(edge.node_share)):
        start, control, tip = ends_at(edge, node, size)
        wide, colour = line_width(edge.node_share), _name(EDGE[edge.sign])
        corners, base = arrow_head(control, tip, wide)
        # TikZ draws cubic curves: these two control points give the same quadratic curve.
        first, second = start + 2 / 3 * (control - start), base + 2 / 3 * (control - base)
        curve = f"{_at(start)} .. controls {_at(first)} and {_at(second)} .. {_at(base)}"
        lines.append(rf"\draw[{colour}, line width={wide:.2f}bp{DASHES[edge.sign]}] {curve};")
        lines.append(rf"\fill[{colour}] {' -- '.join(map(_at, corners))} -- cycle;")
    return lines


def _node(node: CircuitNode, size: Sizes) -> list[str]:
    half = end_half_width(node.short) if node.kind == "end" else {"mlp": size.mlp}.get(node.kind, size.radius)
    word = rf"\node[text={_name(TEXT[node.kind])}] at ({node.x:.1f},{node.y:.1f}) {{{node.short.translate(ESCAPES)}}};"
    return [_glyph(node.kind, node.x, node.y, half), word]


def _glyph(kind: NodeKind, x: float, y: float, half: float) -> str:
    line = f"draw={_name(MUTED)}, line width=0.6bp, " if kind == "end" or FILL[kind] == PAPER else ""
    look = rf"\path[{line}fill={_name(FILL[kind])}]"
    if SHAPE[kind] == "circle":
        return f"{look} ({x:.1f},{y:.1f}) circle [radius={half:.1f}bp];"
    if SHAPE[kind] == "diamond":
        corners = [(x - half, y), (x, y + half), (x + half, y), (x, y - half)]
        return f"{look} {' -- '.join(map(_at, corners))} -- cycle;"
    across, up = (half, END_HALF_HEIGHT) if kind == "end" else (0.925 * half, 0.925 * half)
    return f"{look} {_at((x - across, y - up))} rectangle {_at((x + across, y + up))};"


def _key(entries: Sequence[KeyEntry]) -> list[str]:
    lines = []
    for entry in entries:
        if isinstance(entry.glyph, str):
            half = 6.0 if entry.glyph == "mlp" else 4.5
            lines += [_glyph(kind, entry.x + entry.wide / 2, entry.y, half) for kind in SHAPE if kind == entry.glyph]
        else:
            sign = entry.glyph if isinstance(entry.glyph, int) else 1
            wide = 1.2 if isinstance(entry.glyph, int) else line_width(entry.glyph)
            look = f"{_name(EDGE[sign])}, line width={wide:.2f}bp{DASHES[sign]}"
            lines.append(rf"\draw[{look}] {_at((entry.x, entry.y))} -- {_at((entry.x + entry.wide, entry.y))};")
        lines.append(_word(entry.words, entry.text_x, entry.y))
    return lines


def _words(graph: CircuitGraph, width: Width) -> list[str]:
    edge = SIZES[width].edge
    words = [_word(name, edge, y, MUTED) for name, y in layer_names(graph)]
    for role, x, y, letters in column_names(graph):
        look = rf"font=\fontsize{{{letters:.1f}}}{{{letters + 1:.1f}}}\selectfont\sffamily, text={_name(MUTED)}"
        text = role.translate(ESCAPES)
        words.append(rf"\node[anchor=base, {look}] at ({x:.1f},{y - RISE * letters:.1f}) {{{text}}};")
    notice = enumerate(notice_lines(graph, width))
    return words + [_word(line, edge, graph.height - edge - LINE * (index + 0.5)) for index, line in notice]


def _word(text: str, x: float, y: float, colour: str = INK) -> str:
    y -= RISE * FONT_POINTS
    return rf"\node[anchor=base west, text={_name(colour)}] at ({x:.1f},{y:.1f}) {{{text.translate(ESCAPES)}}};"
