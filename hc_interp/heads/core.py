"""The heuristic core: the components that the subnetworks of a search share, and how much sharing chance would give."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from hc_interp.components import MLP, Component, Head, Subnetwork, component
from hc_interp.errors import ComponentError, HCError
from hc_interp.records.result import Result
from hc_interp.search.result import MaskSearch

ROUNDING = 1e-9  # a share of 7/25 must not ask for 8 of 25 subnetworks because of its last bit


class Frequency(dict[Component, float]):
    """Shares by component, which may be named: `frequency["L1H1"]`. Raises `ComponentError` for one that it lacks."""

    def __missing__(self, name: object) -> float:
        item = component(name)  # type: ignore[arg-type]
        if not dict.__contains__(self, item):
            raise ComponentError(
                f"{item} is not among the {len(self)} components that were searched. Name one of core.universe, like "
                f"{str(next(iter(self), 'L0H0'))!r}."
            )
        return dict.__getitem__(self, item)

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, component(name) if isinstance(name, str) else name)

    def get(self, name: Any, default: Any = None) -> Any:
        return dict.get(self, component(name) if isinstance(name, str) else name, default)


@dataclass(frozen=True, eq=False)
class HeuristicCore(Result):
    """Components kept in at least `share` of the subnetworks.

    `frequency` is each component's share of subnetworks that keep it, 0 to 1, in execution order; `frequency["L1H1"]`
    and `"L1H1" in core` take names too. `jaccard` is the mean
    over pairs of subnetworks of (heads that both keep) / (heads that either keeps); NaN where there is no pair. Beside
    it stands what random subnetworks with as many heads and MLPs each would give, exactly: `jaccard_by_chance` (a
    hypergeometric expectation) and `size_by_chance`, the expected number of components in such a core.

    A core above chance shows that the searches agree. It does not show what its components compute, and part of it is
    there because some heads matter for everything.
    """

    universe: tuple[Component, ...]
    frequency: Mapping[Component, float]
    share: float
    subnetworks: int
    jaccard: float
    jaccard_by_chance: float
    size_by_chance: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "frequency", Frequency(self.frequency))

    @property
    def components(self) -> tuple[Component, ...]:
        """The core, in execution order."""
        least = needed(self.share, self.subnetworks)
        return tuple(item for item in self.universe if round(self.frequency[item] * self.subnetworks) >= least)

    @property
    def heads(self) -> tuple[Head, ...]:
        return tuple(item for item in self.components if isinstance(item, Head))

    @property
    def mlps(self) -> tuple[MLP, ...]:
        return tuple(item for item in self.components if isinstance(item, MLP))

    def __len__(self) -> int:
        return len(self.components)

    def __contains__(self, item: object) -> bool:
        return (component(item) if isinstance(item, str) else item) in self.components

    def to_frame(self) -> pd.DataFrame:
        """A row per component: component, kind, layer, head (missing for an MLP), frequency, in_core."""
        inside = set(self.components)
        rows = [
            {
                "component": str(item),
                "kind": "head" if isinstance(item, Head) else "mlp",
                "layer": item.layer,
                "head": item.head if isinstance(item, Head) else pd.NA,
                "frequency": self.frequency[item],
                "in_core": item in inside,
            }
            for item in self.universe
        ]
        return pd.DataFrame(rows).astype({"head": "Int64"})

    def __repr__(self) -> str:
        noted = "".join(f"; {note}" for note in self.notes)
        return (
            f"HeuristicCore({len(self.heads)} heads and {len(self.mlps)} MLPs in {self.share:.0%} of "
            f"{self.subnetworks} subnetworks, {self.size_by_chance:.2g} components by chance; Jaccard of heads "
            f"{self.jaccard:.2f}, {self.jaccard_by_chance:.2f} by chance{noted})"
        )


def heuristic_core(subnetworks: Iterable[Subnetwork] | MaskSearch, share: float = 1.0) -> HeuristicCore:
    """The components that at least `share` of the subnetworks, or of those of a search, keep (1.0: all of them).

    Source: Bhaskar, Friedman & Chen 2024 (arXiv 2403.03942), section 4. One subnetwork is its own core, which says
    nothing; the result notes it. Raises `HCError` for no subnetwork, something that is none, or a share outside (0, 1],
    `ComponentError` for subnetworks of different universes.
    """
    found = _checked(subnetworks)
    if not 0 < share <= 1:
        raise HCError(
            f"share={share!r} was given. Expected a share of the subnetworks above 0 and up to 1; 1.0 asks for "
            "components that all of them keep."
        )
    universe = found[0].universe
    counts = Counter(item for subnetwork in found for item in subnetwork.kept)
    kept_heads = [len(subnetwork.heads) for subnetwork in found]
    kept_mlps = [len(subnetwork.mlps) for subnetwork in found]
    n_heads = sum(isinstance(item, Head) for item in universe)
    least = needed(share, len(found))
    by_chance = core_size_by_chance(kept_heads, n_heads, least)
    by_chance += core_size_by_chance(kept_mlps, len(universe) - n_heads, least)
    notes = ("one subnetwork is its own core",) if len(found) == 1 else ()
    return HeuristicCore(
        universe=universe,
        frequency={item: counts[item] / len(found) for item in universe},
        share=float(share),
        subnetworks=len(found),
        jaccard=_mean([jaccard(a.heads, b.heads) for a, b in combinations(found, 2)]),
        jaccard_by_chance=_mean([jaccard_by_chance(a, b, n_heads) for a, b in combinations(kept_heads, 2)]),
        size_by_chance=by_chance,
        notes=notes,
    )


def needed(share: float, n_subnetworks: int) -> int:
    """How many of the subnetworks must keep a component of the core."""
    return max(1, math.ceil(share * n_subnetworks - ROUNDING))


def jaccard(a: Iterable[Component], b: Iterable[Component]) -> float:
    """Components of both over components of either; NaN where neither has any."""
    left, right = set(a), set(b)
    return len(left & right) / len(left | right) if left | right else math.nan


def jaccard_by_chance(n_a: int, n_b: int, n_all: int) -> float:
    """The exact expected Jaccard index of two random subsets of `n_a` and `n_b` out of `n_all` items."""
    if n_a + n_b == 0:
        return math.nan
    both = np.arange(min(n_a, n_b) + 1)
    return float((hypergeom.pmf(both, n_all, n_a, n_b) * both / (n_a + n_b - both)).sum())


def core_size_by_chance(kept: Sequence[int], n_all: int, least: int) -> float:
    """The exact expected number of items that at least `least` random subsets of these sizes contain.

    One item is in subset i with probability `kept[i] / n_all`, independently over subsets: a Poisson-binomial tail.
    """
    if n_all == 0:
        return 0.0
    inside = np.array([1.0])  # inside[k]: the probability that k of the subsets so far contain the item
    for size in kept:
        inside = np.convolve(inside, [1 - size / n_all, size / n_all])
    return float(n_all * inside[least:].sum())


def _checked(subnetworks: Iterable[Subnetwork] | MaskSearch) -> list[Subnetwork]:
    subnetworks = subnetworks.subnetworks if isinstance(subnetworks, MaskSearch) else subnetworks
    found: list[Subnetwork] = [subnetworks] if isinstance(subnetworks, Subnetwork) else list(subnetworks)
    for item in found:
        if not isinstance(item, Subnetwork):
            raise HCError(
                f"{item!r} is not a Subnetwork. Pass the subnetworks of a search, heuristic_core(found.subnetworks), "
                "or hc.Subnetwork(kept, universe) objects."
            )
    if not found:
        raise HCError(
            "No subnetworks were given; a core needs at least one, better several seeds. Pass found.subnetworks of "
            "hc.search_masks(model, data, seeds=range(12))."
        )
    for item in found[1:]:
        if set(item.universe) != set(found[0].universe):
            raise ComponentError(
                f"The subnetworks come from different universes ({len(found[0].universe)} and {len(item.universe)} "
                "components, or other ones). Pass subnetworks of one model and one choice of components."
            )
    return found


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
