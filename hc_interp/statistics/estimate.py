"""`Estimate`: statistics of many systems on the same rows, each with the influence of every row on it.

Rows come in blocks (the examples of a case, the pairs of a case). Since all systems are measured on the same rows, the
influence of a row on a difference is the difference of its influences. So the intervals of differences and ratios are
paired. The first axis of an influence is the row, and its further axes are those of `value`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike

from hc_interp.statistics.units import auc_influences

Influences = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Estimate:
    """`value` of each system, [system] or one number, and by block of rows the influence of each row on it."""

    value: np.ndarray
    influence: Influences

    def __add__(self, other: "Estimate") -> "Estimate":
        blocks = dict.fromkeys([*self.influence, *other.influence])
        return Estimate(self.value + other.value, {block: _sum(block, self, other) for block in blocks})

    def __sub__(self, other: "Estimate") -> "Estimate":
        return self + other.times(-1.0)

    def times(self, factor: ArrayLike) -> "Estimate":
        """The estimate times a number that does not depend on the rows, or one such number for each system."""
        scale = np.asarray(factor, dtype=float)
        return Estimate(self.value * scale, {block: rows * scale for block, rows in self.influence.items()})

    def plus(self, number: float) -> "Estimate":
        """The estimate plus a number that does not depend on the rows."""
        return Estimate(self.value + number, self.influence)

    def over(self, other: "Estimate") -> "Estimate":
        """The ratio, linearised: the influence of a row is (its influence on the top - ratio * on the bottom) / bottom.

        It says nothing where the bottom may be 0: `where` makes those undefined.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.value / other.value
            return Estimate(ratio, (self - other.times(ratio)).times(1 / other.value).influence)

    def where(self, defined: Shaped[np.ndarray, "..."]) -> "Estimate":
        """The estimate with NaN in place of the values that are not `defined`."""
        return Estimate(np.where(defined, self.value, np.nan), self.influence)

    def __getitem__(self, systems: Any) -> "Estimate":
        """The estimate of one system, or of several."""
        return Estimate(self.value[systems], {block: rows[:, systems] for block, rows in self.influence.items()})

    def mean(self) -> "Estimate":
        """The mean over systems, which counts no variance between them."""
        return Estimate(self.value.mean(), {block: rows.mean(axis=1) for block, rows in self.influence.items()})


def _sum(block: str, *estimates: Estimate) -> np.ndarray:
    parts = [item.influence[block] for item in estimates if block in item.influence]
    return sum(parts[1:], parts[0])


def average(estimates: list[Estimate]) -> Estimate:
    """The mean of estimates of the same systems: the same weight for each."""
    total = estimates[0]
    for item in estimates[1:]:
        total = total + item
    return total.times(1 / len(estimates))


def stratified_mean(rows: Mapping[str, Float[np.ndarray, "system _"]]) -> Estimate:
    """The mean over all rows of the blocks. Blocks are fixed strata: influences are centred within each."""
    n = sum(values.shape[1] for values in rows.values())
    total = np.sum([values.sum(axis=1) for values in rows.values()], axis=0)
    return Estimate(
        total / n, {block: (values - values.mean(axis=1, keepdims=True)).T / n for block, values in rows.items()}
    )


def auc(
    higher: tuple[str, Float[np.ndarray, "system a"]], lower: tuple[str, Float[np.ndarray, "system b"]]
) -> Estimate:
    """The AUC of two named blocks in each system: the chance that a row of `higher` exceeds one of `lower`."""
    parts = [auc_influences(a, b) for a, b in zip(higher[1], lower[1], strict=True)]
    values, above, below = zip(*parts, strict=True)
    return Estimate(np.array(values), {higher[0]: np.stack(above, axis=1), lower[0]: np.stack(below, axis=1)})
