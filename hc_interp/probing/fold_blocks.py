"""`FoldBlocks`: activations and targets of all regressions, scaled, in blocks of rows that fit a core's cache.

All rows of a block are of one fold, so that sums over any training part are sums of sums over folds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from einops import einsum
from jaxtyping import Bool, Float, Int

from hc_interp.errors import DataError

ENTRIES = 2**18  # numbers of one block, its predictions included
PREDICTIONS = 32  # columns of predictions that a block has room for


@dataclass(frozen=True, eq=False)
class FoldBlock:
    """Some rows of one fold: scaled activations `x` and targets `y`."""

    fold: int
    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "n target"]


@dataclass(frozen=True, eq=False)
class FoldBlocks:
    """Blocks of `(activation - mean) / scale`, whose columns have mean 0 and variance 1 over all rows.

    Blocks are in the precision of the activations. Sums over blocks, the properties below, are in float64. `sums`,
    `squares` and `products` are of activations.
    """

    blocks: tuple[FoldBlock, ...]
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n target"], folds: Int[np.ndarray, " n"]) -> Self:
        """Scale the activations `x` and cut them by fold. Raises `DataError` for activations that are not finite."""
        mean, scale = (part(x, axis=0, dtype=float).astype(x.dtype) for part in (np.mean, np.std))
        if not np.isfinite(scale).all():
            raise DataError(
                f"{int((~np.isfinite(scale)).sum())} of {len(scale)} columns of the activations hold NaN or infinite "
                "numbers. Expected finite ones; look at what the model or the interventions give at this site."
            )
        scale[scale == 0] = 1
        size = max(64, ENTRIES // (x.shape[1] + PREDICTIONS))
        blocks = []
        for fold in range(int(folds.max()) + 1):
            rows = np.flatnonzero(folds == fold)
            for part in np.split(rows, range(size, len(rows), size)):
                blocks.append(FoldBlock(fold, (x[part] - mean) / scale, y[part]))
        return cls(tuple(blocks), mean.astype(float), scale.astype(float))

    def __iter__(self) -> Iterator[FoldBlock]:
        return iter(self.blocks)

    @property
    def dtype(self) -> np.dtype:
        return self.blocks[0].x.dtype

    @cached_property
    def counts(self) -> Float[np.ndarray, " fold"]:
        return self._sums(lambda block: np.array(len(block.x)))

    @cached_property
    def sums(self) -> Float[np.ndarray, "fold d"]:
        return self._sums(lambda block: block.x.sum(axis=0, dtype=float))

    @cached_property
    def squares(self) -> Float[np.ndarray, "fold d"]:
        return self._sums(lambda block: np.square(block.x, dtype=float).sum(axis=0))

    @cached_property
    def target_sums(self) -> Float[np.ndarray, "fold target"]:
        return self._sums(lambda block: block.y.sum(axis=0, dtype=float))

    @cached_property
    def products(self) -> Float[np.ndarray, "fold d d"]:
        return self._sums(lambda block: (block.x.T @ block.x).astype(float))

    @cached_property
    def target_products(self) -> Float[np.ndarray, "fold d target"]:
        return self._sums(lambda block: (block.x.T @ block.y).astype(float))

    def _sums(self, of: Callable[[FoldBlock], np.ndarray]) -> Float[np.ndarray, "fold *columns"]:
        """The sum of a function of a block over the blocks of each fold."""
        sums = np.zeros((self.blocks[-1].fold + 1, *of(self.blocks[0]).shape))
        for block in self:
            sums[block.fold] += of(block)
        return sums

    def moments(
        self, fitted: Bool[np.ndarray, "problem fold"]
    ) -> tuple[Float[np.ndarray, "d problem"], Float[np.ndarray, "d problem"]]:
        """Mean and variance of each column over the folds that each problem is fitted to."""
        n = fitted @ self.counts
        mean, square = (
            einsum(fitted.astype(float), part, "problem fold, fold d -> d problem") / n
            for part in (self.sums, self.squares)
        )
        return mean, (square - mean**2).clip(0)
