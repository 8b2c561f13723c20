"""What the observed core is compared with: other labellings of the same layers, and sets of heads of the same size.

Only the layers before the last receiver matter; of each of them the core holds `k` heads, and a labelling is any `k`
of that layer's heads outside the receivers, the core's own among them. Drawing from non-core heads alone would not be
exchangeable with the core. Nor would leaving out generalizing heads that only send (relays): they were chosen for what
they do, and the core's heads could not be, so the null would lose its largest values. Nothing here sees a model.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hc_interp.components import Head

Heads = tuple[Head, ...]

NEAREST = 3  # a size control replaces a core head by one of this many heads of its layer
ATTEMPTS = 20  # draws per size control before a repeated set is accepted as the last


@dataclass(frozen=True)
class LayerPool:
    """One layer's core heads and all heads that could have been labelled core there."""

    core: Heads
    pool: Heads

    @property
    def others(self) -> Heads:
        """The pool without the core."""
        return tuple(head for head in self.pool if head not in self.core)


def layer_pools(core: Heads, receivers: Heads, n_heads: int) -> tuple[LayerPool, ...]:
    """The layers before the last receiver that hold core heads, in order."""
    last = max((head.layer for head in receivers), default=0)
    found = []
    for layer in range(last):
        own = tuple(sorted(head for head in core if head.layer == layer))
        if own:
            pool = tuple(Head(layer, i) for i in range(n_heads) if Head(layer, i) not in receivers)
            found.append(LayerPool(own, pool))
    return tuple(found)


def count_labellings(layers: Sequence[LayerPool]) -> int:
    """The product over layers of "pool choose k"."""
    return math.prod(math.comb(len(layer.pool), len(layer.core)) for layer in layers)


def labellings(layers: Sequence[LayerPool], n_permutations: int, seed: int) -> tuple[list[Heads], bool]:
    """Every labelling if there are fewer than `n_permutations` (the observed one once among them), else that many
    random ones; and which of the two it is.
    """
    if count_labellings(layers) < n_permutations:
        choices = [itertools.combinations(layer.pool, len(layer.core)) for layer in layers]
        return [tuple(itertools.chain(*parts)) for parts in itertools.product(*choices)], True
    rng = np.random.default_rng(seed)
    return [tuple(head for layer in layers for head in _draw(layer, rng)) for _ in range(n_permutations)], False


def size_controls(layers: Sequence[LayerPool], size: Mapping[Head, float], n: int, seed: int) -> list[Heads]:
    """At most `n` different sets that match the core head by head: same layer, |dz| near, never core or receiver.

    Core heads are replaced in random order, each by one of the `NEAREST` unused heads of its layer whose size is
    nearest. Empty if a layer has fewer other heads than core heads: then no set of the core's size exists. Where the
    core holds a layer's largest heads the nearest are smaller still, so look at the sizes that came out.
    """
    if any(len(layer.others) < len(layer.core) for layer in layers):
        return []
    rng = np.random.default_rng(seed)
    nearest = [
        {core: sorted(layer.others, key=lambda head: abs(size[head] - size[core])) for core in layer.core}
        for layer in layers
    ]
    found: dict[Heads, None] = {}
    for _ in range(ATTEMPTS * n):
        found[tuple(head for order in nearest for head in _match(order, rng))] = None
        if len(found) == n:
            break
    return list(found)


def matched_receivers(receivers: Heads, core: Heads, size: Mapping[Head, float], n_heads: int) -> Heads:
    """For each receiver one head that is neither core nor receiver, of its layer or the nearest earlier one that has
    any, downstream of the core, nearest in |dz|; fewer, or none, where there are none left.
    """
    first = min((head.layer for head in core), default=0)
    found: list[Head] = []
    for receiver in receivers:
        for layer in range(receiver.layer, first, -1):
            taken = {*receivers, *core, *found}
            free = [Head(layer, i) for i in range(n_heads) if Head(layer, i) not in taken]
            if free:
                found.append(min(free, key=lambda head: abs(size[head] - size[receiver])))
                break
    return tuple(sorted(found))


def _draw(layer: LayerPool, rng: np.random.Generator) -> Heads:
    chosen = rng.choice(len(layer.pool), size=len(layer.core), replace=False)
    return tuple(layer.pool[i] for i in sorted(chosen))


def _match(nearest: Mapping[Head, Sequence[Head]], rng: np.random.Generator) -> Heads:
    """For each core head of a layer one of those of the heads in its order that are nearest and still free."""
    cores, taken = list(nearest), []
    for place in rng.permutation(len(cores)):
        near = list(itertools.islice((head for head in nearest[cores[place]] if head not in taken), NEAREST))
        taken.append(near[rng.integers(len(near))])
    return tuple(sorted(taken))
