"""`alternatives`: two groups of components of which good subnetworks keep one or the other."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student

from hc_interp.components import Component
from hc_interp.records.result import Result
from hc_interp.search.sampling.pairs import pairs_beyond_size
from hc_interp.statistics.chains import chain_jackknife

SMALLEST = 2  # components of a group: single components that stand in for each other are pairs
WEIGHT = 0.5  # of the largest weight of its side, that a component of a group has at least

Group = Int[np.ndarray, " _"]
Masks = Bool[np.ndarray, "chain draw component"]
Flat = Bool[np.ndarray, "mask component"]
COLUMNS = ["contrast", "value", "error", "p"]
CONTRASTS = (
    "within the first group, beyond the others",
    "within the second group, beyond the others",
    "between the groups, beyond the first and the others",
    "between the groups, beyond the second and the others",
)


@dataclass(frozen=True, eq=False)
class Alternatives(Result):
    """Two groups of components: those of one come together, and those of different groups stand in for each other.

    `contrasts` has a row for each of four questions: whether the pairs within a group are together more often than
    those among all other components, and pairs of both groups less often than those of a group and the others. The
    others are the comparison because a single block of components that are in a mask together or not at all also
    makes the rest come together: the size is fixed. `value` is a difference of means of correlations, each less what
    random masks of this size with the same frequencies would show; `error` is a jackknife over chains; `p` is
    one-sided. `p` of the whole is the largest of the four.

    `chosen` says whether the groups were found in the sample itself, on half of its chains: the numbers are then of the
    other half. Two groups show alternatives for the answers in domain. Whether one is shallow and the other generalizes
    is not asked, and neither account of a heuristic core follows from it.
    """

    first: tuple[Component, ...]
    second: tuple[Component, ...]
    contrasts: pd.DataFrame
    p: float
    chains: int
    chosen: bool

    @property
    def found(self) -> bool:
        """Whether p is at most 0.05."""
        return bool(self.p <= 0.05)

    def to_frame(self) -> pd.DataFrame:
        """A row for each question: contrast, value, error, p."""
        return self.contrasts.copy()

    def __repr__(self) -> str:
        if not (self.first and self.second):
            return "Alternatives(none: no two groups of components were found)"
        groups = " or ".join("{" + " ".join(map(str, group)) + "}" for group in (self.first, self.second))
        return f"Alternatives({groups}; p = {self.p:.2g}, {'found' if self.found else 'not shown'})"


def contrast_table(masks: Masks, first: Group, second: Group) -> pd.DataFrame:
    """The questions of `Alternatives` about two groups, on these chains. Without other components p is 1."""
    frequency = masks.mean((0, 1))
    varies = np.flatnonzero((frequency > 0) & (frequency < 1))
    others = np.setdiff1d(varies, np.concatenate([first, second]))
    rest = others if len(others) >= SMALLEST else None
    whole, error = chain_jackknife(masks, lambda flat: _contrasts(flat, first, second, rest))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = student.sf(whole * np.array([1, 1, -1, -1]) / error, len(masks) - 1)
    p = np.where(np.isnan(p), 1.0, p)
    return pd.DataFrame(dict(zip(COLUMNS, (CONTRASTS, whole, error, p), strict=True)))


def _contrasts(masks: Flat, first: Group, second: Group, rest: Group | None) -> Float[np.ndarray, " 4"]:
    if rest is None:
        return np.full(len(CONTRASTS), np.nan)
    every = np.concatenate([first, second, rest])
    apart = np.full((masks.shape[1],) * 2, np.nan)
    apart[np.ix_(every, every)] = correlations_beyond_size(masks, every)
    within = [apart[np.ix_(group, group)][np.triu_indices(len(group), 1)].mean() for group in (first, second, rest)]
    between, *to_rest = (apart[np.ix_(a, b)].mean() for a, b in ((first, second), (first, rest), (second, rest)))
    return np.array([within[0] - within[2], within[1] - within[2], between - to_rest[0], between - to_rest[1]])


def correlations_beyond_size(masks: Flat, items: Group) -> Float[np.ndarray, "item item"]:
    """What pairs show beyond size, over the spreads of both components; 0 for a component that does not vary."""
    spread = masks[:, items].std(0)
    scale = np.outer(spread, spread)
    apart = pairs_beyond_size(masks)[np.ix_(items, items)]
    return np.divide(apart, scale, out=np.zeros_like(apart), where=scale > 0)


def grouped(masks: Masks) -> tuple[Group, Group]:
    """The two groups that these chains show most, empty where a side has too few components.

    The matrix of what pairs show beyond size, over the spreads of both components, is positive within groups and
    negative between them: the eigenvector of its largest eigenvalue has one sign in one group and the other in the
    other one.
    """
    flat = masks.reshape(-1, masks.shape[-1])
    spread = flat.std(0)
    varies = np.flatnonzero(spread > 0)
    if len(varies) < 2 * SMALLEST:
        return np.empty(0, int), np.empty(0, int)
    apart = correlations_beyond_size(flat, varies)
    weight = np.linalg.eigh(apart)[1][:, -1]
    sides = []
    for side in (weight, -weight):
        chosen = varies[side >= WEIGHT * side.max()] if side.max() > 0 else varies[:0]
        sides.append(chosen if len(chosen) >= SMALLEST else chosen[:0])
    return sides[0], sides[1]
