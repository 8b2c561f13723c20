"""`CircuitGraph`: a circuit as plain data. Which paths are drawn is decided here, by one stated rule."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from hc_interp.components import EMBED, MLP, OUTPUT, End, Head, component, components, heads_of
from hc_interp.errors import HCError
from hc_interp.patching.effects import PathEffects

Kind = Literal["core", "generalizing", "sender", "receiver", "both", "head", "mlp", "end"]
SHAPE: dict[Kind, str] = {
    "core": "circle", "generalizing": "square", "sender": "circle", "receiver": "square", "both": "circle",
    "head": "circle", "mlp": "diamond", "end": "box",
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """A component on the page; `x`, `y` are in points from the lower left corner. `layer` is None for the two ends."""

    name: str
    kind: Kind
    layer: int | None
    x: float = 0.0
    y: float = 0.0

    @property
    def short(self) -> str:
        """What stands inside the node; the layer stands at the row."""
        item = component(self.name)
        return str(item.head) if isinstance(item, Head) else f"M{item.layer}" if isinstance(item, MLP) else self.name


@dataclass(frozen=True)
class Edge:
    """A path that passed the rule. `low` and `high` bound `node_share`; `bend` is its curve's bulge in points, and
    `port` where it ends, from the receiver's middle (None: at its outline)."""

    sender: str
    receiver: str
    through: str
    effect: float
    node_share: float
    low: float
    high: float
    q: float
    bend: float = 0.0
    port: tuple[float, float] | None = None

    @property
    def sign(self) -> int:
        return 1 if self.node_share > 0 else -1


@dataclass(frozen=True)
class CircuitGraph:
    """Nodes and edges of a circuit, laid out on a page of `width` x `height` points.

    `paths` were measured; `undefined` of them have no node share, because the receiver's own node effect could not be
    told from 0. A path qualifies where its q is below `alpha` and its whole `level` interval of |node_share| lies above
    `margin`; of the `qualified` ones, `edges` are the strongest by |node_share|, or all. A path that is not drawn was
    not shown to be absent.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    margin: float
    alpha: float
    level: float
    route: str
    paths: int
    undefined: int
    qualified: int
    width: float = 0.0
    height: float = 0.0

    @property
    def node(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def notice(self) -> str:
        """What an empty picture says in words; empty where there are edges."""
        if self.edges:
            return ""
        why = f" For {self.undefined}, the receiver's own effect is not distinguishable from 0." * bool(self.undefined)
        return (
            f"No path is drawn: none of {self.paths} has q < {self.alpha:g} and its whole interval of "
            f"|node share| above {self.margin:.3g}.{why}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data: every field, and each edge's sign."""
        edges = [{**asdict(edge), "sign": edge.sign} for edge in self.edges]
        return {**asdict(self), "edges": edges}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)


def circuit_graph(
    effects: PathEffects,
    core: Any = None,
    generalizing: Any = None,
    *,
    margin: float = 0.01,
    alpha: float = 0.05,
    most: int | None = None,
) -> CircuitGraph:
    """The graph, not yet laid out: all core and generalizing heads, and every other end of a drawn or measured path.

    `core` and `generalizing` are heads, or results that have `.heads`; with neither, heads are told apart as senders
    and receivers. `most` limits the edges to so many of the strongest. Other heads appear only at the end of a drawn
    edge; MLPs, `embed` and `output` wherever they were measured. Raises `HCError` for a rule outside its range and for
    rows that join several senders or receivers.
    """
    if not (0 <= margin < 1 and 0 < alpha < 1):
        raise HCError(f"margin={margin!r}, alpha={alpha!r}: expected 0 <= margin < 1 and 0 < alpha < 1.")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise HCError(f"most={most!r} was given. Expected how many edges to draw, a whole number from 1.")
    frame: Any = effects.to_frame()
    if joined := [name for name in (*frame["sender"], *frame["receiver"]) if "+" in name]:
        raise HCError(
            f"A circuit has one node per component, but a row of these path effects joins {joined[0]}. Measure single "
            "paths: path_effects(..., senders=core.heads, receivers=gen.heads, through='each'), without joint=True."
        )
    frame = frame[frame["downstream"].astype(bool)]
    kept = frame[_qualifies(frame, margin, alpha)]
    qualified = len(kept)
    if most is not None:
        kept = kept.loc[kept["node_share"].abs().nlargest(most).index].sort_index()
    edges = tuple(_edge(row) for row in kept.to_dict("records"))
    return CircuitGraph(
        nodes=_nodes(frame, edges, _roles(frame, core, generalizing)),
        edges=edges,
        margin=margin,
        alpha=alpha,
        level=effects.level,
        route=effects.route,
        paths=len(frame),
        undefined=int(frame["node_share"].isna().sum()),
        qualified=qualified,
    )


def _qualifies(frame: pd.DataFrame, margin: float, alpha: float) -> np.ndarray:
    """The edge rule; a comparison with NaN is false, so an undefined share is never drawn."""
    beyond = (frame["node_share_low"] > margin) | (frame["node_share_high"] < -margin)
    return ((frame["q"] < alpha) & beyond).to_numpy(dtype=bool)


def _edge(row: dict[Any, Any]) -> Edge:
    numbers = (row[name] for name in ("effect", "node_share", "node_share_low", "node_share_high", "q"))
    effect, node_share, low, high, q = map(float, numbers)
    return Edge(row["sender"], row["receiver"], row["through"], effect, node_share, low, high, q)


def _roles(frame: pd.DataFrame, core: Any, generalizing: Any) -> dict[Any, Kind]:
    """What each head is known as: as the caller says or else, neutrally, by which side of a path it was measured on."""
    found: dict[Any, Kind] = {}
    if core is None and generalizing is None:
        sides = [set(map(component, frame[side])) for side in ("sender", "receiver")]
        both: dict[Any, Kind] = dict.fromkeys(sides[0] & sides[1], "both")
        found = {**dict.fromkeys(sides[0], "sender"), **dict.fromkeys(sides[1], "receiver"), **both}
    else:
        given = [components(heads_of(part) or ()) for part in (core, generalizing)]
        found = {**dict.fromkeys(given[0], "core"), **dict.fromkeys(given[1], "generalizing")}
    return {item: kind for item, kind in found.items() if isinstance(item, Head)}


def _nodes(frame: pd.DataFrame, edges: tuple[Edge, ...], roles: dict[Any, Kind]) -> tuple[Node, ...]:
    measured = [component(name) for name in dict.fromkeys([*frame["sender"], *frame["receiver"]])]
    drawn = {name for edge in edges for name in (edge.sender, edge.receiver)}
    others = [item for item in measured if str(item) in drawn or not isinstance(item, Head)]
    kinds: dict[Any, Kind] = {item: _kind(item) for item in others}
    kinds.update(roles)
    return tuple(_node(item, kinds[item]) for item in sorted(kinds, key=_order))


def _kind(item: Any) -> Kind:
    return "head" if isinstance(item, Head) else "mlp" if isinstance(item, MLP) else "end"


def _node(item: Any, kind: Kind) -> Node:
    return Node(str(item), kind, None if isinstance(item, End) else item.layer)


def _order(item: Any) -> tuple[float, int, int]:
    """From the bottom of the page to its top."""
    if isinstance(item, End):
        return ({EMBED: -1.0, OUTPUT: float("inf")}[item], 0, 0)
    return (item.layer, 1, 0) if isinstance(item, MLP) else (item.layer, 0, item.head)


def moved(
    graph: CircuitGraph, places: dict[str, tuple[float, float]], edges: tuple[Edge, ...], **size: float
) -> CircuitGraph:
    """The same graph with its nodes placed and its edges drawn as given."""
    nodes = tuple(replace(node, x=places[node.name][0], y=places[node.name][1]) for node in graph.nodes)
    return replace(graph, nodes=nodes, edges=edges, **size)
