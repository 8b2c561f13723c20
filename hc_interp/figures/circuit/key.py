"""The parts of a circuit drawing besides the graph: the key below it, the layers' names, and the notice above it.

Both the plotly and the TikZ drawing take their glyphs and words from this file, so that they agree.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hc_interp.figures.circuit.graph import CircuitGraph
from hc_interp.figures.circuit.layout import SIZES
from hc_interp.figures.numbers import percent
from hc_interp.figures.style import BLUE, GREEN, INK, ORANGE, PAPER, RULE, VERMILLION, Width, points, text_width

LINE = 12.0  # distance between two lines of text, in points
HALF_HEAD = 3.6  # half the width of an arrow head, at most: heads at neighbouring ports do not touch
GLYPH, DOT = 20.0, 12.0  # widths of a line and of a node in the key, in points

# Fill and text colour of each kind. Dark blue, orange and green also differ in lightness, and the shapes differ too.
FILL = {"core": BLUE, "generalizing": ORANGE, "mlp": GREEN, "head": PAPER, "end": RULE}
FILL |= {"sender": FILL["core"], "receiver": FILL["generalizing"], "both": FILL["head"]}
TEXT = {"core": "#fff", "generalizing": "#000", "mlp": "#fff", "head": INK, "end": INK}
TEXT |= {"sender": TEXT["core"], "receiver": TEXT["generalizing"], "both": TEXT["head"]}
KIND_WORDS = {"core": "heuristic head", "generalizing": "generalizing head", "sender": "sender", "receiver": "receiver"}
KIND_WORDS |= {"both": "sender and receiver", "mlp": "MLP", "head": "other head"}
EDGE = {1: INK, -1: VERMILLION}
SCALE = (0.02, 0.1, 0.5)  # node shares whose line widths the key shows


@dataclass(frozen=True)
class KeyEntry:
    """One glyph of the key, its words and its position in points.

    `glyph` is a kind of node (text), the sign of an edge (1 or -1), or a node share (float).
    """

    glyph: str | int | float
    words: str
    x: float
    y: float

    @property
    def wide(self) -> float:
        return glyph_width(self.glyph)

    @property
    def text_x(self) -> float:
        return self.x + self.wide + 3


def glyph_width(glyph: str | int | float) -> float:
    return DOT if isinstance(glyph, str) else GLYPH


def line_width(node_share: float) -> float:
    """The width of an edge in points, the same in every picture.

    It grows with the square root, so that a share of 1 % is visible beside one of 100 %.
    """
    return min(max(4.5 * abs(node_share) ** 0.5, 0.5), 5.0)


def key_entries(graph: CircuitGraph, width: Width) -> tuple[tuple[KeyEntry, ...], float]:
    """The entries of the key, set in lines like the words of a paragraph, and the height of the key in points."""
    page, edge = points(width), SIZES[width].edge
    kinds = {node.kind for node in graph.nodes}
    glyphs: list[tuple[str | int | float, str]] = [(kind, words) for kind, words in KIND_WORDS.items() if kind in kinds]
    signs = {edge.sign for edge in graph.edges}
    glyphs += [(sign, words) for sign, words in ((1, "node share > 0"), (-1, "node share < 0")) if sign in signs]
    if graph.edges:
        glyphs += [(share, f"{'|node share| = ' * (share == SCALE[0])}{percent(share, 0)}") for share in SCALE]
    lines: list[list[tuple[str | int | float, str, float]]] = [[]]
    x = edge
    for glyph, words in glyphs:
        wide = glyph_width(glyph) + 3 + text_width(words) + 9
        # The entries for the line widths stay on one line.
        rest = 0 if glyph != SCALE[0] else sum(GLYPH + 12 + text_width(percent(share, 0)) for share in SCALE[1:])
        if lines[-1] and x + wide + rest > page - edge:
            lines.append([])
            x = edge
        lines[-1].append((glyph, words, x))
        x += wide
    height = edge + len(lines) * (LINE + 2) + 4
    baseline = height - 4 - LINE / 2
    entries = [KeyEntry(g, w, x, baseline - row * (LINE + 2)) for row, line in enumerate(lines) for g, w, x in line]
    return tuple(entries), height


def notice_lines(graph: CircuitGraph, width: Width) -> list[str]:
    """The notice of a picture without edges, in lines that fit the page's width."""
    room = points(width) - 2 * SIZES[width].edge - 6
    lines: list[str] = []
    for word in graph.notice().split():
        if lines and text_width(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def notice_height(graph: CircuitGraph, width: Width) -> float:
    lines = notice_lines(graph, width)
    return len(lines) * LINE + 6 if lines else 0.0


def layer_names(graph: CircuitGraph) -> list[tuple[str, float]]:
    """Each layer's name, and the height of its heads on the page (the mean height if they take several rows)."""
    heights: dict[int, set[float]] = {}
    for node in graph.nodes:
        if node.layer is not None and node.kind != "mlp":
            heights.setdefault(node.layer, set()).add(node.y)
    return [(f"L{layer}", sum(ys) / len(ys)) for layer, ys in heights.items()]


def arrow_head(
    control: Float[np.ndarray, "2"], tip: Float[np.ndarray, "2"], wide: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """The three corners of an arrow head at `tip`, and the point near the middle of its base where the line ends."""
    along = (tip - control) / (np.hypot(*(tip - control)) or 1.0)
    across = np.array([-along[1], along[0]])
    long, half = 3.5 + wide, min(1.4 + 0.7 * wide, HALF_HEAD)
    base = tip - long * along
    return [tip, base + half * across, base - half * across], base + 0.3 * along
