"""`CircuitGraph`: a circuit as plain data. The rule that chooses the drawn paths is applied here."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from hc_interp.components import EMBED, MLP, OUTPUT, At, End, Head, component, components, heads_of, whole
from hc_interp.errors import HCError
from hc_interp.heads.core import HeuristicCore
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.patching.effects import PathEffects, role_of

NodeKind = Literal["core", "generalizing", "sender", "receiver", "both", "head", "mlp", "end"]
SHAPE: dict[NodeKind, str] = {
    "core": "circle", "generalizing": "square", "sender": "circle", "receiver": "square", "both": "circle",
    "head": "circle", "mlp": "diamond", "end": "box",
}  # fmt: skip


@dataclass(frozen=True)
class CircuitNode:
    """A component of the circuit, at a role or at all positions. `layer` is None for `embed` and `output`.

    `x` and `y` are the position of its centre on the page, in points from the lower left corner.
    """

    name: str
    kind: NodeKind
    layer: int | None
    x: float = 0.0
    y: float = 0.0

    @property
    def short(self) -> str:
        """The text inside the node. The layer of a head is written beside its row, so a head shows its number only."""
        item = whole(component(self.name))
        return str(item.head) if isinstance(item, Head) else f"M{item.layer}" if isinstance(item, MLP) else str(item)

    @property
    def role(self) -> str:
        """The role at which it stands; "" for all positions."""
        return role_of(self.name)


@dataclass(frozen=True)
class CircuitColumn:
    """The column of a role: the middle of its nodes and its width on the page, in points."""

    role: str
    x: float
    wide: float


@dataclass(frozen=True)
class CircuitEdge:
    """A drawn path. `low` and `high` are the ends of the interval of `node_share`.

    `bend` is the distance in points between the middle of its curve and the straight line (positive: to the right).
    `port` is the point where the curve ends, relative to the receiver's centre (None: at the receiver's outline).
    """

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

    `paths` is the number of measured paths. `undefined` of them have no node share: they are estimates, the corrupt
    values do not come from pairs, or the receiver's own node effect is not distinguishable from 0. `qualified` is the
    number of paths whose q value is below `alpha` and whose whole interval of |node_share| (at `level`) is above
    `margin`. `edges` are all of these, or the ones of largest |node_share|. A path that is not drawn was not shown to
    be absent. `columns` are those of the roles at which nodes stand, from left to right.
    """

    nodes: tuple[CircuitNode, ...]
    edges: tuple[CircuitEdge, ...]
    margin: float
    alpha: float
    level: float
    route: str
    paths: int
    undefined: int
    qualified: int
    width: float = 0.0
    height: float = 0.0
    columns: tuple[CircuitColumn, ...] = ()

    @property
    def node(self) -> dict[str, CircuitNode]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    def notice(self) -> str:
        """The text of a picture without edges; "" if there are edges."""
        if self.edges:
            return ""
        undefined = (
            f" For {self.undefined} of them no node share is defined: the receiver's own effect is not distinguishable "
            "from 0, or was not measured."
        )
        return (
            f"No path is drawn: none of {self.paths} measured paths has a q value below {self.alpha:g} and its whole "
            f"interval of |node share| above {self.margin:.3g}.{undefined * bool(self.undefined)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain data: every field, and the sign of each edge."""
        edges = [{**asdict(edge), "sign": edge.sign} for edge in self.edges]
        return {**asdict(self), "edges": edges}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)


def circuit_graph(
    effects: PathEffects,
    core: Iterable[Head | str] | HeuristicCore | None = None,
    generalizing: Iterable[Head | str] | GeneralizingHeads | None = None,
    *,
    margin: float = 0.01,
    alpha: float = 0.05,
    most: int | None = None,
) -> CircuitGraph:
    """The graph of those paths of `effects` that qualify by `margin` and `alpha` (`CircuitGraph` says how).

    It has no layout: `x`, `y`, `width` and `height` are 0.

    `core` and `generalizing` are heads, or results that have `.heads`. All of these heads are nodes. With neither,
    all measured heads are nodes, named senders and receivers. Other heads are nodes only if a drawn path begins or ends
    at them; MLPs, `embed` and `output` are nodes if they were measured. Where paths were measured between roles, a node
    is a component at a role, and only those that a drawn path joins are nodes, besides `output`. `most` is the largest
    number of edges.

    Raises `HCError` for a rule outside its range and for rows that join several senders or receivers.
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
    rows = frame[_qualifies(frame, margin, alpha)]
    qualified = len(rows)
    if most is not None:
        rows = rows.loc[rows["node_share"].abs().nlargest(most).index].sort_index()
    edges = tuple(_edge(row) for row in rows.to_dict("records"))
    nodes = _nodes(frame, edges, _roles(frame, core, generalizing), drawn_only=effects.at_roles)
    roles = dict.fromkeys(role_of(name) for side in ("sender", "receiver") for name in frame[side])
    return CircuitGraph(
        nodes=nodes,
        edges=edges,
        margin=margin,
        alpha=alpha,
        level=effects.level,
        route=effects.route,
        paths=len(frame),
        undefined=int(frame["node_share"].isna().sum()),
        qualified=qualified,
        columns=tuple(CircuitColumn(role, 0.0, 0.0) for role in roles if role in {node.role for node in nodes} - {""}),
    )


def _qualifies(frame: pd.DataFrame, margin: float, alpha: float) -> np.ndarray:
    """Whether each path qualifies. A comparison with NaN is false, so a path of undefined share never does."""
    beyond = (frame["node_share_low"] > margin) | (frame["node_share_high"] < -margin)
    return ((frame["q"] < alpha) & beyond).to_numpy(dtype=bool)


def _edge(row: dict[Any, Any]) -> CircuitEdge:
    numbers = (row[name] for name in ("effect", "node_share", "node_share_low", "node_share_high", "q"))
    effect, node_share, low, high, q = map(float, numbers)
    return CircuitEdge(row["sender"], row["receiver"], row["through"], effect, node_share, low, high, q)


def _roles(frame: pd.DataFrame, core: Any, generalizing: Any) -> dict[Any, NodeKind]:
    """The kind of each head: core or generalizing as the caller names them, else sender or receiver as measured."""
    roles: dict[Any, NodeKind] = {}
    if core is None and generalizing is None:
        sides = [set(map(component, frame[side])) for side in ("sender", "receiver")]
        both: dict[Any, NodeKind] = dict.fromkeys(sides[0] & sides[1], "both")
        roles = {**dict.fromkeys(sides[0], "sender"), **dict.fromkeys(sides[1], "receiver"), **both}
    else:
        named = [components(heads_of(part) or ()) for part in (core, generalizing)]
        roles = {**dict.fromkeys(named[0], "core"), **dict.fromkeys(named[1], "generalizing")}
        measured = [component(name) for side in ("sender", "receiver") for name in frame[side]]
        roles |= {item: roles[item.whole] for item in measured if isinstance(item, At) and item.whole in roles}
    return {item: kind for item, kind in roles.items() if isinstance(whole(item), Head)}


def _nodes(
    frame: pd.DataFrame, edges: tuple[CircuitEdge, ...], roles: dict[Any, NodeKind], *, drawn_only: bool
) -> tuple[CircuitNode, ...]:
    measured = [component(name) for name in dict.fromkeys([*frame["sender"], *frame["receiver"]])]
    drawn = {name for edge in edges for name in (edge.sender, edge.receiver)}
    others = [item for item in measured if str(item) in drawn or not isinstance(whole(item), Head)]
    kinds: dict[Any, NodeKind] = {item: _kind(whole(item)) for item in others}
    kinds.update(roles)
    if drawn_only:
        kinds = {item: kind for item, kind in kinds.items() if str(item) in drawn or item == OUTPUT}
    return tuple(_node(item, kinds[item]) for item in sorted(kinds, key=_order))


def _kind(item: Any) -> NodeKind:
    return "head" if isinstance(item, Head) else "mlp" if isinstance(item, MLP) else "end"


def _node(item: Any, kind: NodeKind) -> CircuitNode:
    return CircuitNode(str(item), kind, None if isinstance(whole(item), End) else item.layer)


def _order(item: Any) -> tuple[float, int, int, str]:
    """Sort key: the order from the bottom of the page to its top."""
    item, role = whole(item), role_of(str(item))
    if isinstance(item, End):
        return ({EMBED: -1.0, OUTPUT: float("inf")}[item], 0, 0, role)
    return (item.layer, 1, 0, role) if isinstance(item, MLP) else (item.layer, 0, item.head, role)


def moved(
    graph: CircuitGraph,
    centres: dict[str, tuple[float, float]],
    edges: tuple[CircuitEdge, ...],
    columns: tuple[CircuitColumn, ...] = (),
    **size: float,
) -> CircuitGraph:
    """The same graph with its nodes at these centres, with these edges and columns, on a page of this `width` and
    `height`."""
    nodes = tuple(replace(node, x=centres[node.name][0], y=centres[node.name][1]) for node in graph.nodes)
    return replace(graph, nodes=nodes, edges=edges, columns=columns, **size)
