"""`SubnetworkSample`: all good subnetworks of one size, by a sample of them that says whether it has mixed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.components import Component, Head, components
from hc_interp.errors import SearchError
from hc_interp.records.result import Result
from hc_interp.search.sampling.alternatives import COLUMNS, SMALLEST, Alternatives, Group, contrast_table, grouped
from hc_interp.search.sampling.pairs import pair_table
from hc_interp.statistics.chains import Mixing, mixing
from hc_interp.subnetwork import Subnetwork

# A component has mixed with a split R-hat of at most this, and an effective sample of at least that.
RHAT, ESS = 1.05, 50
MOST = 0.9  # of the components that vary must have mixed
WORST_RHAT = 1.1  # that any of them may have
LEAST_CHAINS = 4  # of which two halves find and test groups
MULTIPLES = (0.5, 1.0, 2.0)  # of epsilon, whose bounds are sampled


@dataclass(frozen=True, eq=False)
class SubnetworkSample(Result):
    """Masks of exactly the same size whose loss on the rows of the sample is at most `best_loss + multiple * epsilon`.

    `masks` and `losses` hold a draw for each chain and sweep at each of `multiples`: 0.5, 1 and 2 times epsilon. All
    masks within a bound are equally probable, so that a frequency is a share of *all* good masks, once the chains have
    mixed (`mixed`). Where they have not, the numbers describe these chains and nothing else.

    `without` has, for each component, the lowest loss of a mask without it that was found, and the number of repairs
    that looked for one; `without_masks` are these masks. `fresh` has masks of multiple 1 measured again on examples
    that the sample never saw.

    A loss within the bound says that a mask answers nearly as the full model does on these data. It says nothing about
    other data: masks of this set may generalize very differently.
    """

    universe: tuple[Component, ...]
    sparsity: float
    epsilon: float
    best: Subnetwork
    best_loss: float
    multiples: tuple[float, ...]
    masks: Bool[Tensor, "multiple chain draw component"]
    losses: Float[Tensor, "multiple chain draw"]
    without: pd.DataFrame
    without_masks: Bool[Tensor, "component component"]
    fresh: pd.DataFrame
    steps: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def bound(self, multiple: float = 1.0) -> float:
        """The largest loss of a mask of this multiple of epsilon."""
        return self.best_loss + multiple * self.epsilon

    def mixing(self, multiple: float = 1.0) -> Mixing:
        """Frequencies, split R-hat, effective sample sizes and Monte-Carlo errors of all components."""
        return mixing(self.masks[self._at(multiple)].numpy())

    @property
    def mixed(self) -> bool:
        """`is_mixed` at epsilon itself; a sample that has not mixed is no result."""
        return self.is_mixed()

    def is_mixed(self, multiple: float = 1.0) -> bool:
        """Whether the chains agree: an R-hat of at most 1.1 for every component that varies, and for nine of ten an
        R-hat of at most 1.05 with an effective sample of at least 50.

        Chains can agree only on what they reached: that they agree does not show that no other good masks exist.
        """
        found = self.mixing(multiple)
        return bool(found.worst <= WORST_RHAT and found.share_mixed(RHAT, ESS) >= MOST)

    @property
    def lowest_loss(self) -> float:
        """The lowest loss found by anything: chains and repairs may go below `best_loss`, which set the bound."""
        return min(self.best_loss, float(self.losses.min()), float(self.without["loss"].to_numpy().min()))

    @property
    def subnetworks(self) -> tuple[Subnetwork, ...]:
        """At most 100 masks of multiple 1, evenly over chains and draws, and masks that lack what all of these keep.

        The latter are within the bound, too: of each component that could be spared, the best mask without it. So what
        all of these subnetworks keep is the shared core. For shares of the set use `draws`, which has nothing chosen.
        """
        drawn = self.draws(100)
        always = frozenset.intersection(*(item.kept for item in drawn)) - set(self.shared_core())
        lacking = (self.without_masks[self.universe.index(item)] for item in self.universe if item in always)
        return drawn + tuple(self._subnetwork(mask.tolist()) for mask in lacking)

    def draws(self, n: int, multiple: float = 1.0) -> tuple[Subnetwork, ...]:
        """At most `n` masks, evenly over chains and draws; one that was drawn twice stands twice."""
        masks = self.masks[self._at(multiple)].numpy()
        flat = masks.transpose(1, 0, 2).reshape(-1, masks.shape[-1])  # draw by draw, so that every chain is in it
        return tuple(self._subnetwork(flat[row].tolist()) for row in evenly(len(flat), n))

    def shared_core(self, multiple: float = 1.0) -> tuple[Component, ...]:
        """Components without which no mask within the bound was found: an upper bound of what all of them share."""
        lowest = self.without["loss"].to_numpy()
        return tuple(item for item, loss in zip(self.universe, lowest, strict=True) if loss > self.bound(multiple))

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads of the shared core, so that a sample can stand where the core of a search can.

        Raises `SearchError` for a sample that has not mixed: what its draws share is no result.
        """
        if not self.mixed:
            raise SearchError(
                "The sample of subnetworks has not mixed, so its core is no result: what all draws keep may be what "
                "these chains did not get around to removing. Expected more sweeps= (with resume= the sample goes on)."
            )
        return tuple(item for item in self.shared_core() if isinstance(item, Head))

    def typical_core(self, share: float = 0.95, multiple: float = 1.0) -> tuple[Component, ...]:
        """Components in at least this share of the masks."""
        frequency = self.mixing(multiple).mean
        return tuple(item for item, value in zip(self.universe, frequency, strict=True) if value >= share)

    def pairs(self, multiple: float = 1.0, alpha: float = 0.05, level: float = 0.95) -> pd.DataFrame:
        """Which components stand in for each other, and which come together.

        A row for each pair of components that vary: first, second, together (the share of masks with both), expected,
        difference with its interval (low, high), p, q (Benjamini-Hochberg) and relation, which is empty above `alpha`.
        Intervals are at `level`. `expected` is of random masks of this size with the same frequencies: a fixed size
        alone makes two components rarer together than the product of their frequencies. Errors are a jackknife over
        chains.

        It shows alternatives in the loss of these data. That two heads stand in for each other does not show that they
        compute the same.
        """
        return pair_table(self.masks[self._at(multiple)].numpy(), [str(item) for item in self.universe], alpha, level)

    def alternatives(
        self, groups: tuple[Iterable[Component | str], Iterable[Component | str]] | None = None, multiple: float = 1.0
    ) -> Alternatives:
        """Whether good subnetworks keep one group of components or the other.

        `groups` are two circuits named beforehand; without them two groups are found on half of the chains and tested
        on the other half. Raises `SearchError` for groups that share a component, that have fewer than two, for a
        component that does not vary over the sample, and for fewer than four chains without named groups.
        """
        masks = self.masks[self._at(multiple)].numpy()
        if groups is None:
            if len(masks) < LEAST_CHAINS:
                raise SearchError(
                    f"The sample has {len(masks)} chains. Expected at least {LEAST_CHAINS} where no groups are named: "
                    "half of them find groups, and the others test them. Name groups=, or sample with more chains."
                )
            first, second = grouped(masks[::2])
            if not len(first) or not len(second):
                return Alternatives((), (), pd.DataFrame(columns=COLUMNS), 1.0, 0, True)
            masks = masks[1::2]
        else:
            first, second = (self._group(group, masks) for group in groups)
            if both := set(first.tolist()) & set(second.tolist()):
                raise SearchError(
                    f"{self.universe[min(both)]} is in both groups. Expected groups without a common one."
                )
        named = [tuple(self.universe[i] for i in group) for group in (first, second)]
        contrasts = contrast_table(masks, first, second)
        largest = float(contrasts["p"].to_numpy().max())
        return Alternatives(named[0], named[1], contrasts, largest, len(masks), chosen=groups is None)

    def _group(self, group: Iterable[Component | str], masks: Bool[np.ndarray, "chain draw component"]) -> Group:
        items = components(group)
        if unknown := [item for item in items if item not in self.universe]:
            raise SearchError(f"{unknown[0]} is not among the {len(self.universe)} components of this sample.")
        places = np.array(sorted({self.universe.index(item) for item in items}), dtype=int)
        if len(places) < SMALLEST:
            raise SearchError(f"A group of {len(places)} was given. Expected at least {SMALLEST} components of each.")
        frequency = masks[..., places].mean((0, 1))
        if len(still := places[(frequency == 0) | (frequency == 1)]):
            raise SearchError(
                f"{self.universe[still[0]]} is in every mask or in none, so that nothing tells what it comes with. "
                "Expected components that vary over the sample."
            )
        return places

    def to_frame(self, multiple: float = 1.0) -> pd.DataFrame:
        """A row per component: component, kind, layer, head, frequency with its Monte-Carlo interval (low, high), rhat,
        ess, constant, lowest loss without it, repairs, in_core."""
        found = self.mixing(multiple)
        inside = set(self.shared_core(multiple))
        low, high = found.interval()
        return pd.DataFrame(
            {
                "component": [str(item) for item in self.universe],
                "kind": ["head" if isinstance(item, Head) else "mlp" for item in self.universe],
                "layer": [item.layer for item in self.universe],
                "head": pd.array([getattr(item, "head", pd.NA) for item in self.universe], dtype="Int64"),
                "frequency": found.mean,
                "low": low,
                "high": high,
                "rhat": found.rhat,
                "ess": found.ess,
                "constant": found.constant,
                "loss_without": self.without["loss"].to_numpy(),
                "repairs": self.without["repairs"].to_numpy(),
                "in_core": [item in inside for item in self.universe],
            }
        )

    def _at(self, multiple: float) -> int:
        if multiple not in self.multiples:
            raise SearchError(
                f"multiple={multiple!r} was given. Expected a multiple of epsilon that was sampled: "
                f"{', '.join(f'{item:g}' for item in self.multiples)}."
            )
        return self.multiples.index(multiple)

    def _subnetwork(self, mask: Sequence[bool]) -> Subnetwork:
        kept = frozenset(item for item, inside in zip(self.universe, mask, strict=True) if inside)
        return Subnetwork(kept, self.universe)

    def __repr__(self) -> str:
        found = self.mixing()
        n_draws = self.masks.shape[1] * self.masks.shape[2]
        rhat, ess = np.nanmax(found.rhat, initial=1.0), np.nanmin(found.ess, initial=n_draws)
        state = "mixed" if self.mixed else "NOT mixed, so no result: give more sweeps"
        if found.constant.all():
            state = "NO component varies, so no result: give a larger epsilon"
        lower = f" ({self.lowest_loss:.3g} was found later)" if self.lowest_loss < self.best_loss else ""
        return (
            f"SubnetworkSample({n_draws} masks of {len(self.best)} of {len(self.universe)} components within "
            f"{self.epsilon:.3g} of the best loss, {self.best_loss:.3g}{lower}; {state} (split R-hat up to {rhat:.2f}, "
            f"effective sample from {ess:.0f}, {int(found.constant.sum())} constant); {len(self.shared_core())} "
            "components in the shared core)"
        )


def evenly(n_rows: int, n: int) -> list[int]:
    """At most `n` rows, at even distances."""
    return np.unique(np.linspace(0, n_rows - 1, min(n, n_rows)).round().astype(int)).tolist()
