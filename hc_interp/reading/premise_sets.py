"""The sets of heads that generalizing heads are compared with, when they are removed or added to the core.

"within layers": as many heads of each layer as there are generalizing heads, drawn from all heads outside the core, the
generalizing heads among them: under the null hypothesis the label "generalizing" is exchangeable among these heads.
"disjoint": as many heads as there are generalizing ones, of any layer, that are neither core nor generalizing. No
function here runs a model.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np

from hc_interp.components import Head
from hc_interp.heads.sets import Heads

WITHIN, DISJOINT = "within layers", "disjoint"
ATTEMPTS = 50  # random draws per requested set; fewer sets are returned where draws repeat


def within_layer_sets(generalizing: Heads, core: Heads, all_heads: Heads, n: int, seed: int) -> tuple[Heads, ...]:
    """At most `n` different sets within layers, never the generalizing heads themselves; all sets if there are fewer.

    The heads of a set are in execution order.
    """
    layers = sorted({head.layer for head in generalizing})
    pools = {layer: [head for head in all_heads if head.layer == layer and head not in core] for layer in layers}
    counts = {layer: sum(head.layer == layer for head in generalizing) for layer in layers}
    total = math.prod(math.comb(len(pools[layer]), counts[layer]) for layer in layers) - 1
    itself = tuple(sorted(generalizing))
    if total <= n:
        choices = [itertools.combinations(pools[layer], counts[layer]) for layer in layers]
        sets = (tuple(sorted(itertools.chain(*parts))) for parts in itertools.product(*choices))
        return tuple(item for item in sets if item != itself)
    rng = np.random.default_rng(seed)
    return _distinct(lambda: tuple(h for layer in layers for h in _draw(pools[layer], counts[layer], rng)), itself, n)


def disjoint_sets(generalizing: Heads, core: Heads, all_heads: Heads, n: int, seed: int) -> tuple[Heads, ...]:
    """At most `n` different disjoint sets; all sets if there are fewer, none if there are too few other heads."""
    pool = [head for head in all_heads if head not in core and head not in generalizing]
    if len(pool) < len(generalizing):
        return ()
    if math.comb(len(pool), len(generalizing)) <= n:
        return tuple(itertools.combinations(sorted(pool), len(generalizing)))
    rng = np.random.default_rng(seed)
    return _distinct(lambda: _draw(pool, len(generalizing), rng), (), n)


def _distinct(draw: Callable[[], Heads], excluded: Heads, n: int) -> tuple[Heads, ...]:
    """`n` different draws, or fewer where `ATTEMPTS` draws for each do not suffice."""
    found: dict[Heads, None] = {}
    for _ in range(ATTEMPTS * n):
        if len(found) == n:
            break
        if (item := draw()) != excluded:
            found[item] = None
    return tuple(found)


def _draw(pool: list[Head], count: int, rng: np.random.Generator) -> Heads:
    return tuple(sorted(pool[i] for i in rng.choice(len(pool), size=count, replace=False)))
