"""Where the nodes of a circuit stand and how its edges bend: layers upward, nothing overlapping, always the same.

All lengths are points on paper, the lower left corner is (0, 0). Heads of a layer are ordered by the mean place of
what they are joined to (Sugiyama, Tagawa & Toda 1981), so that few edges cross. An edge is a quadratic curve; of a few
bulges it takes the smallest that runs through no other node.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from hc_interp.figures.circuit.graph import SHAPE, CircuitGraph, Edge, Node, moved
from hc_interp.figures.style import Width, points, text_width

SWEEPS = 8
STEP, BULGES = 3.5, 26  # bulges tried on each side, in points
APART = 7.0  # between the bulges of edges that join the same two nodes
SAMPLES = 65  # of a curve, when looking for what it runs through
LETTERS = 7.0  # size of the q, k and v at a receiver's foot
FOOT = 7.5  # height kept for them
TALL = 560.0  # of all rows: few layers stand further apart, for edges that can be told apart


@dataclass(frozen=True)
class Sizes:
    """Lengths of one preset, in points."""

    radius: float
    row: float  # between two layers
    mlp: float  # half the diagonal of an MLP's diamond
    gutter: float  # on the left, for the layers' names
    edge: float = 5.0  # on the right, top and bottom


SIZES: dict[str, Sizes] = {"single": Sizes(6.6, 34, 11.5, 22.5), "double": Sizes(8.2, 42, 13.0, 26)}
TO_MLP, FROM_MLP = 0.42, 0.7  # shares of a row: an MLP stands in a column of its own, nearer to its layer's heads
END_HALF_HEIGHT = 7.0


def end_half_width(name: str) -> float:
    return text_width(name) / 2 + 4


def lay_out(graph: CircuitGraph, width: Width, foot: float, head: float = 0.0, *, letters: bool = True) -> CircuitGraph:
    """Place nodes and bend edges on a page of this width, above `foot` and below `head` points left free.

    Edges end at a port of their receiver for their input, side by side at its foot, `letters` between the two.
    """
    size, page = SIZES[width], points(width)
    has_mlps = any(node.kind == "mlp" for node in graph.nodes)
    left = size.gutter
    right = page - size.edge - (2 * size.mlp + 4 if has_mlps else 0)
    rows = _rows(graph.nodes, int((right - left) // (2 * size.radius + 2)))
    heights, top = _heights(rows, size, foot)
    across = _across(graph, rows, left, right)
    places = {node.name: (across[node.name], y) for row, y in zip(rows, heights, strict=True) for node in row}
    for node in graph.nodes:
        if node.kind == "mlp":
            places[node.name] = (page - size.edge - size.mlp, places[node.name][1])
    edges = _bends(graph, places, _ports(graph, size, letters), size, page)
    return moved(graph, places, edges, width=page, height=top + head)


def _rows(nodes: Sequence[Node], capacity: int) -> list[list[Node]]:
    """From the bottom: embed, each layer's heads and then its MLP, output. A full layer takes several rows."""
    rows: list[list[Node]] = []
    for key in dict.fromkeys((node.layer, node.kind == "mlp", node.name * (node.kind == "end")) for node in nodes):
        row = [n for n in nodes if (n.layer, n.kind == "mlp", n.name * (n.kind == "end")) == key]
        n_rows = -(-len(row) // capacity)
        length = -(-len(row) // n_rows)
        rows += [row[start : start + length] for start in range(0, len(row), length)]
    return rows


def _heights(rows: list[list[Node]], size: Sizes, foot: float) -> tuple[list[float], float]:
    y, heights = foot + size.mlp + 2, []
    step = min(1.6 * size.row, max(size.row, TALL / max(1, len(rows) - 1)))
    for place, row in enumerate(rows):
        if place:
            below = rows[place - 1][0]
            into, out = row[0].kind == "mlp", below.kind == "mlp"
            same_layer = row[0].layer == below.layer and not into
            part = TO_MLP + FROM_MLP if into and out else TO_MLP if into else FROM_MLP if out else 1
            y += 2 * size.radius + FOOT + 1.5 if same_layer else step * part
        heights.append(y)
    return heights, (heights[-1] if heights else y) + size.mlp + size.edge


def _across(graph: CircuitGraph, rows: list[list[Node]], left: float, right: float) -> dict[str, float]:
    """x of every node: barycentre sweeps down and up, each row evenly spaced over the page."""
    joined: dict[str, list[tuple[str, float]]] = {node.name: [] for node in graph.nodes}
    for edge in graph.edges:
        joined[edge.sender].append((edge.receiver, abs(edge.node_share)))
        joined[edge.receiver].append((edge.sender, abs(edge.node_share)))
    x: dict[str, float] = {}
    for row in rows:
        x.update(_spread([node.name for node in row], left, right))
    for sweep in range(SWEEPS):
        for row in rows[:: 1 if sweep % 2 else -1]:
            wish = {node.name: _mean([(x[n], w) for n, w in joined[node.name]], x[node.name]) for node in row}
            names = [node.name for node in row]
            order = sorted(names, key=lambda name: (round(wish[name], 6), names.index(name)))
            x.update(_spread(order, left, right))
    return x


def _mean(found: list[tuple[float, float]], default: float) -> float:
    weight = sum(w for _, w in found)
    return sum(x * w for x, w in found) / weight if weight else default


def _spread(names: list[str], left: float, right: float) -> dict[str, float]:
    """The middles of equal cells."""
    cell = (right - left) / len(names)
    return {name: round(left + (place + 0.5) * cell, 3) for place, name in enumerate(names)}


def curve(
    start: tuple[float, float], end: tuple[float, float], bend: float, t: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t 2"]:
    """Points of an edge's curve at parameters `t`; `bend` is how far its middle lies right of the straight line."""
    t = np.asarray(t)[:, None]
    first, last = np.array(start), np.array(end)
    control = control_point(start, end, bend)
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * control + t**2 * last


def control_point(start: tuple[float, float], end: tuple[float, float], bend: float) -> Float[np.ndarray, "2"]:
    along = np.array(end) - np.array(start)
    length = float(np.hypot(*along)) or 1.0
    right = np.array([along[1], -along[0]]) / length
    return (np.array(start) + np.array(end)) / 2 + 2 * bend * right


def _ports(graph: CircuitGraph, size: Sizes, letters: bool) -> dict[tuple[str, str], tuple[float, float]]:
    """Where the edges into each input of a head end, from its middle: q left of k left of v, as far as they occur."""
    inputs: dict[str, list[str]] = {}
    heads = {node.name for node in graph.nodes if node.kind not in ("mlp", "end")}
    for edge in sorted(graph.edges, key=lambda edge: ["qkv".find(letter) for letter in edge.through]):
        if edge.receiver in heads and edge.through not in inputs.setdefault(edge.receiver, []):
            inputs[edge.receiver].append(edge.through)
    down = -size.radius - (FOOT if letters else 1.0)
    found = {}
    for name, used in inputs.items():
        apart = max(text_width(through, LETTERS) for through in used) + 1.3
        for place, through in enumerate(used):
            found[name, through] = ((place - (len(used) - 1) / 2) * apart, down)
    return found


def _bends(
    graph: CircuitGraph,
    places: dict[str, tuple[float, float]],
    ports: dict[tuple[str, str], tuple[float, float]],
    size: Sizes,
    page: float,
) -> tuple[Edge, ...]:
    names, centres, reach = _obstacles(graph, places, ports, size)
    t = np.linspace(0.04, 0.96, SAMPLES)
    trials = sorted((sign * step * STEP for step in range(BULGES + 1) for sign in (1, -1)), key=lambda b: (abs(b), -b))
    taken: dict[tuple[str, str], list[float]] = {}
    drawn = np.empty((0, 2))
    bent = []
    for edge in graph.edges:
        port = ports.get((edge.receiver, edge.through))
        start, end = places[edge.sender], _landing(places[edge.receiver], port)
        other = [name not in (edge.sender, edge.receiver) for name in names]
        used = taken.setdefault((edge.sender, edge.receiver), [])
        free = [bend for bend in dict.fromkeys(trials) if all(abs(bend - earlier) >= APART for earlier in used)]
        paths = [curve(start, end, bend, t) for bend in free]
        limits = size.gutter, page - size.edge
        costs = [
            _cost(path, centres[other], reach[other], limits) + abs(bend) / 150
            for path, bend in zip(paths, free, strict=True)
        ]
        place = _cheapest(paths, costs, drawn)
        used.append(free[place])
        bent.append(replace(edge, bend=free[place], port=port))
        drawn = np.concatenate([drawn, paths[place][4:-4:2]])
    return tuple(bent)


def _obstacles(
    graph: CircuitGraph,
    places: dict[str, tuple[float, float]],
    ports: dict[tuple[str, str], tuple[float, float]],
    size: Sizes,
) -> tuple[list[str], Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """What a curve should not run through (whose, middle, radius): nodes, and the letters at their feet."""
    found = [(node.name, *places[node.name], _reach(node, size) + 1.5) for node in graph.nodes]
    for (name, _), (across, down) in ports.items():
        x, y = places[name]
        found.append((name, x + across, y + (down - size.radius) / 2, FOOT / 2))
    return (
        [name for name, *_ in found],
        np.array([[x, y] for _, x, y, _ in found]).reshape(-1, 2),
        np.array([radius for *_, radius in found]),
    )


def _reach(node: Node, size: Sizes) -> float:
    return size.mlp * 0.8 if node.kind == "mlp" else size.radius


def _landing(middle: tuple[float, float], port: tuple[float, float] | None) -> tuple[float, float]:
    return (middle[0] + port[0], middle[1] + port[1]) if port else middle


def span_of(edge: Edge, node: dict[str, Node]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of an edge's curve: the middle of its sender, and its port at the receiver, or the receiver's middle."""
    start, end = node[edge.sender], node[edge.receiver]
    return (start.x, start.y), _landing((end.x, end.y), edge.port)


def _cost(
    path: Float[np.ndarray, "t 2"],
    others: Float[np.ndarray, "n 2"],
    reach: Float[np.ndarray, " n"],
    limits: tuple[float, float],
) -> float:
    """How many nodes and letters the curve runs through, and whether it leaves the page."""
    outside = ((path[:, 0] < limits[0]) | (path[:, 0] > limits[1])).any()
    back = (np.diff(path[:, 1]) < 0).any()  # an edge never turns downward, so none passes its receiver or the page
    hits = (_distances(path, others) < reach).any(axis=0).sum()
    return float(hits + 100 * (outside or back))


def _cheapest(paths: list[np.ndarray], costs: list[float], drawn: Float[np.ndarray, "m 2"]) -> int:
    """The curve of least cost, where lying on earlier curves costs, too: looked at only while it can decide."""
    best, least = 0, np.inf
    for place in np.argsort(costs, kind="stable"):
        if costs[place] >= least:
            break
        along = float((_distances(paths[place][::2], drawn) < 1.5).any(axis=1).mean())
        cost = costs[place] + (along if along > 0.15 else 0.0)
        if cost < least:
            best, least = int(place), cost
    return best


def _distances(path: Float[np.ndarray, "t 2"], others: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "t n"]:
    return np.hypot(path[:, None, 0] - others[None, :, 0], path[:, None, 1] - others[None, :, 1])


def ends_at(
    edge: Edge, node: dict[str, Node], size: Sizes, gap: float = 1.0
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Start, control point and tip of the visible curve: cut where it leaves one node and reaches the other."""
    start, end = node[edge.sender], node[edge.receiver]
    a, b = span_of(edge, node)
    t = np.linspace(0, 1, 201)
    path = curve(a, b, edge.bend, t)
    out = _outside(path, start, size, gap)
    reach = _outside(path, end, size, gap) if edge.port is None else np.ones(len(t), dtype=bool)
    first = t[np.argmax(out)] if out.any() else 0.0
    last = t[len(t) - 1 - np.argmax(reach[::-1])] if reach.any() else 1.0
    tip = curve(a, b, edge.bend, np.array([first, last]))
    # A part of a quadratic curve is one too: its control point is the blossom at both parameters.
    p, c, q = np.array(a), control_point(a, b, edge.bend), np.array(b)
    part = (1 - first) * (1 - last) * p + (first * (1 - last) + last * (1 - first)) * c + first * last * q
    return tip[0], part, tip[1]


def _outside(path: Float[np.ndarray, "t 2"], node: Node, size: Sizes, gap: float) -> Any:
    radius = size.radius + gap
    offset = np.abs(path - np.array([node.x, node.y]))
    shape = SHAPE[node.kind]
    if shape == "box":
        return (offset[:, 0] > end_half_width(node.name)) | (offset[:, 1] > END_HALF_HEIGHT)
    if shape == "square":
        return (offset > radius * 0.95).any(axis=1)
    if shape == "diamond":
        return offset.sum(axis=1) > size.mlp + gap
    return np.hypot(offset[:, 0], offset[:, 1]) > radius


def along_edge(edge: Edge, node: dict[str, Node], size: Sizes, t: float) -> np.ndarray:
    """A point of the visible part of an edge's curve."""
    start, control, tip = ends_at(edge, node, size)
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * tip


def port_letters(graph: CircuitGraph, size: Sizes) -> list[tuple[str, float, float]]:
    """Each receiver's drawn inputs (q, k, v) and where their letters stand: between the receiver and the arrow tips."""
    node = graph.node
    ports = {(edge.receiver, edge.through): edge.port for edge in graph.edges if edge.port}
    down = size.radius + FOOT / 2
    return [(through, node[name].x + port[0], node[name].y - down) for (name, through), port in ports.items()]
