"""`TrueReading`: how a built world's generalizing heads, and the other heads of their layers, depend on the core."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hc_interp.components import Head


@dataclass(frozen=True)
class TrueReading:
    """The built numbers of one kind of pairs on route "all", before noise.

    `R_G` is the mean response of the generalizing heads to the core. `S` is the share of it that the other heads of
    their layers lack; it is NaN where `R_G` is 0. `hc.reads_from` defines both.
    """

    R_G: float
    S: float


@dataclass(frozen=True)
class BuiltHead:
    """What was built into one head.

    `response` is its response to the core, and `kinds` are the kinds of pairs on which its output changes. `extent` is
    the size of this change, as a sum over positions: layers are weighted by it.
    """

    response: float
    kinds: tuple[str, ...]
    extent: float

    def on(self, kind: str) -> float:
        """The response on pairs of this kind: a head that does not change has 0."""
        return self.response if kind in self.kinds else 0.0


def true_reading(
    kind: str, built: Mapping[Head, BuiltHead], core: Iterable[Head], generalizing: Sequence[Head], n_heads: int
) -> TrueReading:
    """R(G) and S of one kind of pairs.

    A mean over the heads of each layer, and over layers with the weight of the generalizing heads' extent. Other heads
    that do not change on these pairs are no comparison. Layers in which no core head is upstream and layers without
    other heads are left out.
    """
    core = set(core)
    first = min(head.layer for head in core)
    top_g = top_o = whole = 0.0
    for layer in sorted({head.layer for head in generalizing if head.layer > first}):
        heads = [Head(layer, i) for i in range(n_heads)]
        g = [head for head in heads if head in generalizing]
        others = [h for h in heads if h not in g and h not in core and h in built and kind in built[h].kinds]
        if not others:
            continue
        weight = sum(built[head].extent for head in g)
        top_g += weight * sum(built[head].on(kind) for head in g) / len(g)
        top_o += weight * sum(built[head].on(kind) for head in others) / len(others)
        whole += weight
    r_g, r_o = (top / whole if whole else math.nan for top in (top_g, top_o))
    return TrueReading(r_g, 1 - r_o / r_g if r_g else math.nan)
