"""The heuristic core: the components that subnetworks of a search share, and how many they would share by chance."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from hc_interp.components import MLP, Component, Head, component
from hc_interp.errors import ComponentError, HCError, warn
from hc_interp.records.result import Result
from hc_interp.search.result import MaskSearch
from hc_interp.search.sampling.sample import SubnetworkSample
from hc_interp.subnetwork import Subnetwork

ONE_MASK = 0.75  # a larger mean Jaccard of heads means that the subnetworks are variants of one mask
SHARE_ROUNDING = 1e-9  # so that a share of 7/25 needs 7 of 25 subnetworks and not 8 in binary floating point


class Frequency(dict[Component, float]):
    """Shares by component. A key may be a name, as in `frequency["L1H1"]`. An unknown key raises `ComponentError`."""

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
    """The components that are kept in at least `share` of the subnetworks.

    `frequency` is the share of subnetworks, 0 to 1, that keep each component, in execution order. Names are accepted
    too: `frequency["L1H1"]`, `"L1H1" in core`. `subnetworks` is their number. `jaccard` is the mean, over pairs of
    subnetworks, of (number of heads that both keep) / (number of heads that at least one keeps); NaN without a pair.

    Two numbers are for comparison: the exact expectations for random subnetworks with the same numbers of heads and of
    MLPs. `jaccard_by_chance` is that of `jaccard` (hypergeometric), `size_by_chance` that of the core's size.

    A core larger than by chance shows that the searches agree. It does not show what its components compute. Some heads
    are in it only because they are important for any answer.
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
        """The heads of the core, in execution order."""
        return tuple(item for item in self.components if isinstance(item, Head))

    @property
    def mlps(self) -> tuple[MLP, ...]:
        """The MLPs of the core, in execution order."""
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


def heuristic_core(
    subnetworks: Iterable[Subnetwork] | MaskSearch | SubnetworkSample, share: float = 1.0
) -> HeuristicCore:
    """The components that at least `share` of the subnetworks keep (1.0: all subnetworks).

    Of a `SubnetworkSample` these are `sample.subnetworks`; 1.0 is then its shared core.

    Source: Bhaskar, Friedman & Chen 2024 (arXiv 2403.03942), section 4. A single subnetwork is its own core, which
    shows nothing; the result notes it. It also notes, with an `HCWarning`, a mean Jaccard of heads above 0.75: the core
    is then hardly more than a single mask, found again and again; and, of a `MaskSearch`, a mask that is far worse than
    the others (`MaskSearch.far`), which takes components out of the core that the others share. Raises `HCError`
    without subnetworks, for anything that is not a subnetwork, for a sample that has not mixed, and for a share outside
    (0, 1]; `ComponentError` for subnetworks of different universes.
    """
    items = _checked(subnetworks)
    if not 0 < share <= 1:
        raise HCError(
            f"share={share!r} was given. Expected a share of the subnetworks above 0 and up to 1; 1.0 asks for "
            "components that all of them keep."
        )
    universe = items[0].universe
    counts = Counter(item for subnetwork in items for item in subnetwork.kept)
    kept_heads = [len(subnetwork.heads) for subnetwork in items]
    kept_mlps = [len(subnetwork.mlps) for subnetwork in items]
    n_heads = sum(isinstance(item, Head) for item in universe)
    least = needed(share, len(items))
    by_chance = core_size_by_chance(kept_heads, n_heads, least)
    by_chance += core_size_by_chance(kept_mlps, len(universe) - n_heads, least)
    agreement = _mean([jaccard(a.heads, b.heads) for a, b in combinations(items, 2)])
    chance = _mean([jaccard_by_chance(a, b, n_heads) for a, b in combinations(kept_heads, 2)])
    notes = ("one subnetwork is its own core",) if len(items) == 1 else ()
    if agreement > ONE_MASK:
        swapped = not isinstance(subnetworks, MaskSearch) or subnetworks.settings.get("exchanges") != 0
        notes = (_one_mask(len(items), agreement, chance, swapped),)
        warn(f"{notes[0][0].upper()}{notes[0][1:]}.")
    if isinstance(subnetworks, MaskSearch) and subnetworks.far:
        notes = (*notes, subnetworks.far_in_words())
        subnetworks.warn_of_far()
    return HeuristicCore(
        universe=universe,
        frequency={item: counts[item] / len(items) for item in universe},
        share=float(share),
        subnetworks=len(items),
        jaccard=agreement,
        jaccard_by_chance=chance,
        size_by_chance=by_chance,
        notes=notes,
    )


def _one_mask(n: int, agreement: float, chance: float, swapped: bool) -> str:
    mend = "without swaps (exchanges=0), or at a higher sparsity" if swapped else "at a higher sparsity"
    return (
        f"these {n} subnetworks are nearly one mask, so their core shows one mask and not what different subnetworks "
        f"share: the mean Jaccard of their heads is {agreement:.2f} (by chance at this sparsity {chance:.2f}; expected "
        f"at most {ONE_MASK:g}). Search {mend}"
    )


def needed(share: float, n_subnetworks: int) -> int:
    """The least number of subnetworks that must keep a component of the core."""
    return max(1, math.ceil(share * n_subnetworks - SHARE_ROUNDING))


def jaccard(a: Iterable[Component], b: Iterable[Component]) -> float:
    """The Jaccard index: size of the intersection over size of the union; NaN where both are empty."""
    set_a, set_b = set(a), set(b)
    return len(set_a & set_b) / len(set_a | set_b) if set_a | set_b else math.nan


def jaccard_by_chance(n_a: int, n_b: int, n_all: int) -> float:
    """The exact expected Jaccard index of two random subsets of `n_a` and `n_b` out of `n_all` items."""
    if n_a + n_b == 0:
        return math.nan
    both = np.arange(min(n_a, n_b) + 1)
    return float((hypergeom.pmf(both, n_all, n_a, n_b) * both / (n_a + n_b - both)).sum())


def core_size_by_chance(kept: Sequence[int], n_all: int, least: int) -> float:
    """The exact expected number of items that at least `least` random subsets of these sizes contain.

    An item is in subset i with probability `kept[i] / n_all`, independently over subsets, so the number of subsets that
    contain it is Poisson-binomial.
    """
    if n_all == 0:
        return 0.0
    inside = np.array([1.0])  # inside[k]: the probability that k of the subsets so far contain the item
    for size in kept:
        inside = np.convolve(inside, [1 - size / n_all, size / n_all])
    return float(n_all * inside[least:].sum())


def _checked(subnetworks: Iterable[Subnetwork] | MaskSearch | SubnetworkSample) -> list[Subnetwork]:
    if isinstance(subnetworks, SubnetworkSample) and not subnetworks.mixed:
        raise HCError(
            "The sample of subnetworks has not mixed, so its core is no result: what all draws keep may be what these "
            "chains did not get around to removing. Expected more sweeps= (with resume= the sample goes on)."
        )
    if isinstance(subnetworks, MaskSearch | SubnetworkSample):
        subnetworks = subnetworks.subnetworks
    items: list[Subnetwork] = [subnetworks] if isinstance(subnetworks, Subnetwork) else list(subnetworks)
    for item in items:
        if not isinstance(item, Subnetwork):
            raise HCError(
                f"{item!r} is not a Subnetwork. Pass the subnetworks of a search, heuristic_core(found.subnetworks), "
                "or hc.Subnetwork(kept, universe) objects."
            )
    if not items:
        raise HCError(
            "No subnetworks were given; a core needs at least one, better several seeds. Pass found.subnetworks of "
            "hc.search_masks(model, data, seeds=range(12))."
        )
    for item in items[1:]:
        if set(item.universe) != set(items[0].universe):
            raise ComponentError(
                f"The subnetworks come from different universes ({len(items[0].universe)} and {len(item.universe)} "
                "components, or other ones). Pass subnetworks of one model and one choice of components."
            )
    return items


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
