"""What stands around a circuit: the key at its foot, the layers' names, the notice over an empty one.

Both the plotly and the TikZ drawing read their glyphs and words from here, so the two say the same.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hc_interp.figures.circuit.graph import CircuitGraph
from hc_interp.figures.circuit.layout import SIZES
from hc_interp.figures.style import BLUE, GREEN, INK, ORANGE, PAPER, RULE, VERMILLION, Width, points, text_width

LINE = 12.0  # between two lines of text, in points
GLYPH, DOT = 20.0, 12.0  # widths kept for a line and for a node of the key

# Fill and text of each kind. Dark blue, orange and green also differ in lightness, and no two kinds share a shape.
FILL = {"core": BLUE, "generalizing": ORANGE, "mlp": GREEN, "head": PAPER, "end": RULE}
FILL |= {"sender": FILL["core"], "receiver": FILL["generalizing"], "both": FILL["head"]}
TEXT = {"core": "#fff", "generalizing": "#000", "mlp": "#fff", "head": INK, "end": INK}
TEXT |= {"sender": TEXT["core"], "receiver": TEXT["generalizing"], "both": TEXT["head"]}
NAMES = {"core": "heuristic head", "generalizing": "generalizing head", "sender": "sender", "receiver": "receiver"}
NAMES |= {"both": "sender and receiver", "mlp": "MLP", "head": "other head"}
EDGE = {1: INK, -1: VERMILLION}
SCALE = (0.02, 0.1, 0.5)  # node shares whose line widths the key shows


@dataclass(frozen=True)
class Entry:
    """One glyph of the key and its words; `glyph` is a kind of node, a sign of edge, or a node share."""

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
    """Points. By the square root, so that 1 % can be seen beside 100 %, and the same in every picture."""
    return min(max(4.5 * abs(node_share) ** 0.5, 0.5), 5.0)


def key_entries(graph: CircuitGraph, width: Width) -> tuple[tuple[Entry, ...], float]:
    """The key's entries, set like words of a paragraph, and the height that they take."""
    page, edge = points(width), SIZES[width].edge
    kinds = {node.kind for node in graph.nodes}
    wanted: list[tuple[str | int | float, str]] = [(kind, name) for kind, name in NAMES.items() if kind in kinds]
    signs = {edge.sign for edge in graph.edges}
    wanted += [(sign, words) for sign, words in ((1, "node share > 0"), (-1, "node share < 0")) if sign in signs]
    if graph.edges:
        wanted += [(share, f"{'|node share| = ' * (share == SCALE[0])}{share:.0%}") for share in SCALE]
    lines: list[list[tuple[str | int | float, str, float]]] = [[]]
    x = edge
    for glyph, words in wanted:
        wide = glyph_width(glyph) + 3 + text_width(words) + 9
        # the scale of widths stays on one line
        rest = 0 if glyph != SCALE[0] else sum(GLYPH + 12 + text_width(f"{share:.0%}") for share in SCALE[1:])
        if lines[-1] and x + wide + rest > page - edge:
            lines.append([])
            x = edge
        lines[-1].append((glyph, words, x))
        x += wide
    height = edge + len(lines) * (LINE + 2) + 4
    baseline = height - 4 - LINE / 2
    found = [Entry(g, w, x, baseline - row * (LINE + 2)) for row, line in enumerate(lines) for g, w, x in line]
    return tuple(found), height


def notice_lines(graph: CircuitGraph, width: Width) -> list[str]:
    """The notice of an empty picture, broken to the page's width."""
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
    """Each layer's name and the height at which its heads stand (the mean, where they take several rows)."""
    heights: dict[int, set[float]] = {}
    for node in graph.nodes:
        if node.layer is not None and node.kind != "mlp":
            heights.setdefault(node.layer, set()).add(node.y)
    return [(f"L{layer}", sum(found) / len(found)) for layer, found in heights.items()]


def arrow_head(
    control: Float[np.ndarray, "2"], tip: Float[np.ndarray, "2"], wide: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """The three corners of an arrow head at `tip`, and the middle of its base, where the line ends."""
    along = (tip - control) / (np.hypot(*(tip - control)) or 1.0)
    across = np.array([-along[1], along[0]])
    long, half = 3.5 + wide, 1.4 + 0.7 * wide
    base = tip - long * along
    return [tip, base + half * across, base - half * across], base + 0.3 * along
