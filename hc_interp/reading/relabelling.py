"""The sets of heads that the core is compared with: relabelled cores (the null) and size controls.

The receivers are the generalizing heads. A labelling calls some heads "core": in each layer before the last receiver
as many heads as the core has there, chosen among all heads of that layer that are not receivers. The core's own heads
can be chosen too, since under the null hypothesis the label "core" is exchangeable among these heads. For the same
reason generalizing heads without a core head upstream (relays) can be chosen: they were selected for a large effect,
and without them the null would lose its largest values. No function here runs a model.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hc_interp.components import Head
from hc_interp.heads.sets import Heads

NEAREST = 3  # a size control replaces a core head by one of this many heads of its layer
ATTEMPTS = 20  # random draws per requested size control; fewer controls are returned where draws repeat


@dataclass(frozen=True)
class LayerPool:
    """The core heads of one layer (`core`) and all its heads that could be labelled core (`pool`)."""

    core: Heads
    pool: Heads

    @property
    def others(self) -> Heads:
        """The heads of the pool that are not core."""
        return tuple(head for head in self.pool if head not in self.core)


def layer_pools(core: Heads, receivers: Heads, n_heads: int) -> tuple[LayerPool, ...]:
    """The layers before the last receiver that have core heads, in order; `n_heads` is the heads of a layer."""
    last = max((head.layer for head in receivers), default=0)
    pools = []
    for layer in range(last):
        core_here = tuple(sorted(head for head in core if head.layer == layer))
        if core_here:
            pool = tuple(Head(layer, i) for i in range(n_heads) if Head(layer, i) not in receivers)
            pools.append(LayerPool(core_here, pool))
    return tuple(pools)


def count_labellings(layers: Sequence[LayerPool]) -> int:
    """How many labellings there are: the product over layers of "pool size choose number of core heads"."""
    return math.prod(math.comb(len(layer.pool), len(layer.core)) for layer in layers)


def labellings(layers: Sequence[LayerPool], n_permutations: int, seed: int) -> tuple[list[Heads], bool]:
    """The labellings of the null, and whether they are exhaustive.

    All labellings, the observed core among them, are returned if there are at most `n_permutations`; otherwise
    `n_permutations` random ones are, each once, and never the observed core: p counts that one already.
    """
    if count_labellings(layers) <= n_permutations:
        choices = [itertools.combinations(layer.pool, len(layer.core)) for layer in layers]
        return [tuple(itertools.chain(*parts)) for parts in itertools.product(*choices)], True
    rng = np.random.default_rng(seed)
    observed = tuple(head for layer in layers for head in layer.core)
    drawn: dict[Heads, None] = {}
    while len(drawn) < n_permutations:
        labelling = tuple(head for layer in layers for head in _draw(layer, rng))
        if labelling != observed:
            drawn[labelling] = None
    return list(drawn), False


def size_controls(layers: Sequence[LayerPool], size: Mapping[Head, float], n: int, seed: int) -> list[Heads]:
    """At most `n` different sets of heads, neither core nor receivers, that match the core in layer and size.

    `size` is each head's mean |dz|, the distance between its corrupt and its clean `z`. The core heads of a layer are
    replaced in random order; each is replaced by one of the `NEAREST` unused heads of its layer that are nearest in
    size. The list is empty if a layer has fewer other heads than core heads. Where the core has the largest heads of a
    layer, its controls are smaller than it: compare the sizes of the sets that are returned.
    """
    if any(len(layer.others) < len(layer.core) for layer in layers):
        return []
    rng = np.random.default_rng(seed)
    nearest = [
        {core: sorted(layer.others, key=lambda head: abs(size[head] - size[core])) for core in layer.core}
        for layer in layers
    ]
    controls: dict[Heads, None] = {}
    for _ in range(ATTEMPTS * n):
        controls[tuple(head for layer in nearest for head in _match(layer, rng))] = None
        if len(controls) == n:
            break
    return list(controls)


def important_set(core: Heads, candidates: Heads, importance: Mapping[Head, float]) -> Heads:
    """As many heads as the core has, of largest `importance` among the `candidates`, which hold the core's own."""
    ranked = sorted(candidates, key=lambda head: (-importance[head], head))
    return tuple(sorted(ranked[: len(core)]))


def other_heads(receivers: Heads, core: Heads, n_heads: int) -> Heads:
    """The heads of the receivers' layers that are neither core nor receivers."""
    layers = dict.fromkeys(head.layer for head in receivers)
    return tuple(
        Head(layer, i) for layer in layers for i in range(n_heads) if Head(layer, i) not in {*receivers, *core}
    )


def _draw(layer: LayerPool, rng: np.random.Generator) -> Heads:
    chosen = rng.choice(len(layer.pool), size=len(layer.core), replace=False)
    return tuple(layer.pool[i] for i in sorted(chosen))


def _match(nearest: Mapping[Head, Sequence[Head]], rng: np.random.Generator) -> Heads:
    """One head for each core head of a layer. `nearest` lists for each core head the other heads, nearest first."""
    cores, taken = list(nearest), []
    for index in rng.permutation(len(cores)):
        near = list(itertools.islice((head for head in nearest[cores[index]] if head not in taken), NEAREST))
        taken.append(near[rng.integers(len(near))])
    return tuple(sorted(taken))
