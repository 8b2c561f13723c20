"""`lay_out`: places the nodes of a circuit on a page and bends its edges around other nodes.

All lengths are points on paper, and (0, 0) is the lower left corner. Layers go upward. The heads of a layer are ordered
by the mean position of the nodes that they are joined to (Sugiyama, Tagawa & Toda 1981), so that few edges cross. Each
edge is a quadratic curve. Several bends are tried, and the smallest one that runs through no other node is taken. The
same graph always gets the same layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from hc_interp.figures.circuit.graph import SHAPE, CircuitColumn, CircuitEdge, CircuitGraph, CircuitNode, moved
from hc_interp.figures.style import FONT_POINTS, Width, points, text_width

SWEEPS = 8  # rounds of reordering the heads of each layer
STEP, BENDS = 3.5, 26  # distance between two bends that are tried, and their number on each side
APART = 7.0  # smallest distance between the bends of edges that join the same two nodes
SAMPLES = 65  # points of a curve that are tested for running through a node
PORTS_APART = 7.8  # smallest distance between two ports of a head: more than the width of an arrow head
LETTERS = 7.0  # size of the letters q, k and v below a receiver
FOOT = 7.5  # height kept for these letters
TALL = 560.0  # height that rows are spread over, within limits: between distant rows, edges are easier to tell apart


@dataclass(frozen=True)
class Sizes:
    """Lengths in a drawing of one column width, in points."""

    radius: float
    row: float  # smallest distance between two layers
    mlp: float  # half the diagonal of an MLP's diamond
    gutter: float  # margin on the left, for the layers' names
    edge: float = 5.0  # margin on the right, at the top and at the bottom


SIZES: dict[str, Sizes] = {"single": Sizes(6.6, 34, 11.5, 22.5), "double": Sizes(8.2, 42, 13.0, 26)}
COLUMN_NAMES = 16.0  # height kept for the names of the roles, above the nodes
TO_MLP, FROM_MLP = 0.42, 0.7  # distances of an MLP to its layer's heads below and to the next layer, in rows
END_HALF_HEIGHT = 7.0


def end_half_width(name: str) -> float:
    return text_width(name) / 2 + 4


def lay_out(graph: CircuitGraph, width: Width, foot: float, head: float = 0.0, *, letters: bool = True) -> CircuitGraph:
    """The graph with positions and bends, on a page of this width with `foot` points free below and `head` above it.

    An edge into a head ends at a port below it. A head has one port for each of its drawn inputs, side by side; with
    `letters` there is room for the input's letter between the port and the head. MLPs are in a column at the right.
    Nodes at roles are in the columns of their roles, MLPs too, and the names of the roles stand above them.
    """
    size, page = SIZES[width], points(width)
    beside = not graph.columns and any(node.kind == "mlp" for node in graph.nodes)
    left = size.gutter
    right = page - size.edge - (2 * size.mlp + 4 if beside else 0)
    wide = (right - left) / max(1, len(graph.columns))
    columns = tuple(CircuitColumn(c.role, left + (i + 0.5) * wide, wide) for i, c in enumerate(graph.columns))
    rows = _rows(graph.nodes, max(1, int(wide // (2 * size.radius + 2))))
    heights, top = _heights(rows, size, foot)
    across = _across(graph, rows, {column.role: column for column in columns}, left, right)
    centres = {node.name: (across[node.name], y) for row, y in zip(rows, heights, strict=True) for node in row}
    for node in graph.nodes:
        if beside and node.kind == "mlp":
            centres[node.name] = (page - size.edge - size.mlp, centres[node.name][1])
    edges = _bends(graph, centres, _ports(graph, size, letters), size, page)
    return moved(graph, centres, edges, columns, width=page, height=top + head + COLUMN_NAMES * bool(columns))


def column_names(graph: CircuitGraph) -> list[tuple[str, float, float, float]]:
    """The name of each column's role, the middle of the name on the page, and the size of its letters."""
    nodes = max((node.y for node in graph.nodes), default=0.0)
    sizes = [min(FONT_POINTS, 0.94 * c.wide / text_width(c.role, 1.0)) for c in graph.columns]
    return [(c.role, c.x, nodes + COLUMN_NAMES + 2, fits) for c, fits in zip(graph.columns, sizes, strict=True)]


def column_edges(graph: CircuitGraph) -> list[float]:
    """x of the lines between the columns."""
    return [column.x - column.wide / 2 for column in graph.columns[1:]]


def _rows(nodes: Sequence[CircuitNode], capacity: int) -> list[list[CircuitNode]]:
    """The nodes by row, from the bottom: embed, each layer's heads and then its MLP, output.

    A layer with more heads of one role than `capacity` takes several rows.
    """
    rows: list[list[CircuitNode]] = []
    for key in dict.fromkeys(map(_row_of, nodes)):
        row = [node for node in nodes if _row_of(node) == key]
        counts = {role: sum(node.role == role for node in row) for role in dict.fromkeys(node.role for node in row)}
        n_rows = max(-(-count // capacity) for count in counts.values())
        lengths = {role: -(-count // n_rows) for role, count in counts.items()}
        placed: list[list[CircuitNode]] = [[] for _ in range(n_rows)]
        for role, length in lengths.items():
            for index, node in enumerate(node for node in row if node.role == role):
                placed[index // length].append(node)
        rows += [nodes for nodes in placed if nodes]
    return rows


def _row_of(node: CircuitNode) -> tuple[Any, bool, str]:
    return node.layer, node.kind == "mlp", node.short * (node.kind == "end")


def _heights(rows: list[list[CircuitNode]], size: Sizes, foot: float) -> tuple[list[float], float]:
    """The height of each row, and the height of the page."""
    y, heights = foot + size.mlp + 2, []
    step = min(1.6 * size.row, max(size.row, TALL / max(1, len(rows) - 1)))
    for index, row in enumerate(rows):
        if index:
            below = rows[index - 1][0]
            into, out = row[0].kind == "mlp", below.kind == "mlp"
            same_layer = row[0].layer == below.layer and not into
            part = TO_MLP + FROM_MLP if into and out else TO_MLP if into else FROM_MLP if out else 1
            y += 2 * size.radius + FOOT + 1.5 if same_layer else step * part
        heights.append(y)
    return heights, (heights[-1] if heights else y) + size.mlp + size.edge


def _across(
    graph: CircuitGraph,
    rows: list[list[CircuitNode]],
    columns: dict[str, CircuitColumn],
    left: float,
    right: float,
) -> dict[str, float]:
    """x of every node. Rows are reordered by the mean x of their neighbours, downward and upward, and spaced evenly.

    Nodes at roles are spaced so inside the columns of their roles.
    """
    role = {node.name: node.role for node in graph.nodes}
    joined: dict[str, list[tuple[str, float]]] = {node.name: [] for node in graph.nodes}
    for edge in graph.edges:
        joined[edge.sender].append((edge.receiver, abs(edge.node_share)))
        joined[edge.receiver].append((edge.sender, abs(edge.node_share)))
    x: dict[str, float] = {}
    for row in rows:
        x.update(_spread([node.name for node in row], role, columns, left, right))
    for sweep in range(SWEEPS):
        for row in rows[:: 1 if sweep % 2 else -1]:
            target = {node.name: _mean([(x[n], w) for n, w in joined[node.name]], x[node.name]) for node in row}
            names = [node.name for node in row]
            order = sorted(names, key=lambda name: (round(target[name], 6), names.index(name)))
            x.update(_spread(order, role, columns, left, right))
    return x


def _mean(weighted: list[tuple[float, float]], default: float) -> float:
    """The mean of (x, weight) pairs; `default` if the weights sum to 0."""
    weight = sum(w for _, w in weighted)
    return sum(x * w for x, w in weighted) / weight if weight else default


def _spread(
    names: list[str], role: dict[str, str], columns: dict[str, CircuitColumn], left: float, right: float
) -> dict[str, float]:
    """x of each name: the middles of equal cells of its role's column, or between `left` and `right` without a role."""
    x = {}
    for own in dict.fromkeys(role[name] for name in names):
        members = [name for name in names if role[name] == own]
        column = columns.get(own)
        start, end = (left, right) if column is None else (column.x - column.wide / 2, column.x + column.wide / 2)
        cell = (end - start) / len(members)
        x |= {name: round(start + (index + 0.5) * cell, 3) for index, name in enumerate(members)}
    return x


def curve(
    start: tuple[float, float], end: tuple[float, float], bend: float, t: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t 2"]:
    """Points of an edge's curve at parameters `t`. `bend` is the distance of its middle right of the straight line."""
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
    """The points where the edges into each input of a head end, relative to the head's centre.

    Of the inputs that occur, q is left of k and k is left of v.
    """
    inputs: dict[str, list[str]] = {}
    heads = {node.name for node in graph.nodes if node.kind not in ("mlp", "end")}
    for edge in sorted(graph.edges, key=lambda edge: ["qkv".find(letter) for letter in edge.through]):
        if edge.receiver in heads and edge.through not in inputs.setdefault(edge.receiver, []):
            inputs[edge.receiver].append(edge.through)
    down = -size.radius - (FOOT if letters else 1.0)
    ports = {}
    for name, used in inputs.items():
        apart = max(PORTS_APART, *(text_width(through, LETTERS) + 1.3 for through in used))
        for index, through in enumerate(used):
            ports[name, through] = ((index - (len(used) - 1) / 2) * apart, down)
    return ports


def _bends(
    graph: CircuitGraph,
    centres: dict[str, tuple[float, float]],
    ports: dict[tuple[str, str], tuple[float, float]],
    size: Sizes,
    page: float,
) -> tuple[CircuitEdge, ...]:
    """The edges with their bends and ports. Each edge takes the bend of least cost, given the edges before it."""
    names, obstacles, reach = _obstacles(graph, centres, ports, size)
    t = np.linspace(0.04, 0.96, SAMPLES)
    trials = sorted((sign * step * STEP for step in range(BENDS + 1) for sign in (1, -1)), key=lambda b: (abs(b), -b))
    taken: dict[tuple[str, str], list[float]] = {}
    drawn = np.empty((0, 2))
    bent = []
    for edge in graph.edges:
        port = ports.get((edge.receiver, edge.through))
        start, end = centres[edge.sender], _landing(centres[edge.receiver], port)
        other = [name not in (edge.sender, edge.receiver) for name in names]
        used = taken.setdefault((edge.sender, edge.receiver), [])
        free = [bend for bend in dict.fromkeys(trials) if all(abs(bend - earlier) >= APART for earlier in used)]
        paths = [curve(start, end, bend, t) for bend in free]
        limits = size.gutter, page - size.edge
        costs = [
            _cost(path, obstacles[other], reach[other], limits) + abs(bend) / 150
            for path, bend in zip(paths, free, strict=True)
        ]
        best = _cheapest(paths, costs, drawn)
        used.append(free[best])
        bent.append(replace(edge, bend=free[best], port=port))
        drawn = np.concatenate([drawn, paths[best][4:-4:2]])
    return tuple(bent)


def _obstacles(
    graph: CircuitGraph,
    centres: dict[str, tuple[float, float]],
    ports: dict[tuple[str, str], tuple[float, float]],
    size: Sizes,
) -> tuple[list[str], Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """The circles that a curve should not run through: their node's name, centre and radius.

    They cover the nodes and the letters below them.
    """
    circles = [(node.name, *centres[node.name], _reach(node, size) + 1.5) for node in graph.nodes]
    for (name, _), (across, down) in ports.items():
        x, y = centres[name]
        circles.append((name, x + across, y + (down - size.radius) / 2, FOOT / 2))
    return (
        [name for name, *_ in circles],
        np.array([[x, y] for _, x, y, _ in circles]).reshape(-1, 2),
        np.array([radius for *_, radius in circles]),
    )


def _reach(node: CircuitNode, size: Sizes) -> float:
    return size.mlp * 0.8 if node.kind == "mlp" else size.radius


def _landing(middle: tuple[float, float], port: tuple[float, float] | None) -> tuple[float, float]:
    return (middle[0] + port[0], middle[1] + port[1]) if port else middle


def span_of(edge: CircuitEdge, node: dict[str, CircuitNode]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of an edge's curve: its sender's centre, and its port at the receiver or else the receiver's centre."""
    start, end = node[edge.sender], node[edge.receiver]
    return (start.x, start.y), _landing((end.x, end.y), edge.port)


def _cost(
    path: Float[np.ndarray, "t 2"],
    others: Float[np.ndarray, "n 2"],
    reach: Float[np.ndarray, " n"],
    limits: tuple[float, float],
) -> float:
    """The number of nodes and letters that the curve runs through, and 100 more if it leaves the page or turns down."""
    outside = ((path[:, 0] < limits[0]) | (path[:, 0] > limits[1])).any()
    back = (np.diff(path[:, 1]) < 0).any()  # such an edge would run past its receiver or the page
    hits = (_distances(path, others) < reach).any(axis=0).sum()
    return float(hits + 100 * (outside or back))


def _cheapest(paths: list[np.ndarray], costs: list[float], drawn: Float[np.ndarray, "m 2"]) -> int:
    """The index of the curve of least cost. The share of a curve that lies on earlier curves is added to its cost.

    That share is computed in the order of the other costs, and only as long as it can change the choice.
    """
    best, least = 0, np.inf
    for index in np.argsort(costs, kind="stable"):
        if costs[index] >= least:
            break
        along = float((_distances(paths[index][::2], drawn) < 1.5).any(axis=1).mean())
        cost = costs[index] + (along if along > 0.15 else 0.0)
        if cost < least:
            best, least = int(index), cost
    return best


def _distances(path: Float[np.ndarray, "t 2"], others: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "t n"]:
    return np.hypot(path[:, None, 0] - others[None, :, 0], path[:, None, 1] - others[None, :, 1])


def ends_at(
    edge: CircuitEdge, node: dict[str, CircuitNode], size: Sizes, gap: float = 1.0
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Start, control point and tip of the visible part of an edge's curve: it is cut at the outlines of its nodes."""
    start, end = node[edge.sender], node[edge.receiver]
    a, b = span_of(edge, node)
    t = np.linspace(0, 1, 201)
    path = curve(a, b, edge.bend, t)
    out = _outside(path, start, size, gap)
    reach = _outside(path, end, size, gap) if edge.port is None else np.ones(len(t), dtype=bool)
    first = t[np.argmax(out)] if out.any() else 0.0
    last = t[len(t) - 1 - np.argmax(reach[::-1])] if reach.any() else 1.0
    tip = curve(a, b, edge.bend, np.array([first, last]))
    # A part of a quadratic curve is a quadratic curve; its control point is the blossom at both parameters.
    p, c, q = np.array(a), control_point(a, b, edge.bend), np.array(b)
    part = (1 - first) * (1 - last) * p + (first * (1 - last) + last * (1 - first)) * c + first * last * q
    return tip[0], part, tip[1]


def _outside(path: Float[np.ndarray, "t 2"], node: CircuitNode, size: Sizes, gap: float) -> Any:
    radius = size.radius + gap
    offset = np.abs(path - np.array([node.x, node.y]))
    shape = SHAPE[node.kind]
    if shape == "box":
        return (offset[:, 0] > end_half_width(node.short)) | (offset[:, 1] > END_HALF_HEIGHT)
    if shape == "square":
        return (offset > radius * 0.95).any(axis=1)
    if shape == "diamond":
        return offset.sum(axis=1) > size.mlp + gap
    return np.hypot(offset[:, 0], offset[:, 1]) > radius


def along_edge(edge: CircuitEdge, node: dict[str, CircuitNode], size: Sizes, t: float) -> np.ndarray:
    """A point of the visible part of an edge's curve."""
    start, control, tip = ends_at(edge, node, size)
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * tip


def port_letters(graph: CircuitGraph, size: Sizes) -> list[tuple[str, float, float]]:
    """The letter of each receiver's drawn inputs (q, k, v) and its x and y, between the receiver and the arrow tips."""
    node = graph.node
    ports = {(edge.receiver, edge.through): edge.port for edge in graph.edges if edge.port}
    down = size.radius + FOOT / 2
    return [(through, node[name].x + port[0], node[name].y - down) for (name, through), port in ports.items()]
