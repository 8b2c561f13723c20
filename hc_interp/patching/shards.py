"""Sweeps in pieces: shards, which several processes measure, and blocks, which are kept on disk and read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
from torch import Tensor

from hc_interp.errors import HCError
from hc_interp.patching.rows import Members, Row
from hc_interp.records.result import Result
from hc_interp.records.store import Store

SENDERS_PER_BLOCK = 12  # an interruption loses at most the work on so many senders and one batch


def shard_rows(shard: str | None, rows: Sequence[Row]) -> tuple[int, ...]:
    """The indices of the rows that shard "i/N" measures, i from 1 to N; of all rows without a shard.

    Each N-th sender is in the same shard, because all rows of a sender share its step 1. With fewer senders than
    shards, each N-th row is. Raises `HCError` for a text that is no shard, and for more shards than rows.
    """
    if shard is None:
        return tuple(range(len(rows)))
    try:
        part, parts = map(int, str(shard).split("/"))
    except ValueError:
        part, parts = 0, 0
    if not 1 <= part <= parts:
        raise HCError(f"shard={shard!r} is not a part of a sweep; expected 'i/N' with i from 1 to N, like '1/4'.")
    senders = list(dict.fromkeys(row.senders for row in rows))
    if len(senders) >= parts:
        number = {group: i for i, group in enumerate(senders)}
        return tuple(i for i, row in enumerate(rows) if number[row.senders] % parts == part - 1)
    if len(rows) < parts:
        raise HCError(f"shard={shard!r} divides {len(rows)} paths into {parts} parts. Use at most {len(rows)} shards.")
    return tuple(range(len(rows)))[part - 1 :: parts]


def blocks_of(rows: Sequence[Row], indices: Sequence[int]) -> list[list[int]]:
    """The row indices in blocks; a block has all rows of `SENDERS_PER_BLOCK` senders."""
    by_senders: dict[Members, list[int]] = {}
    for index in indices:
        by_senders.setdefault(rows[index].senders, []).append(index)
    groups = list(by_senders.values())
    starts = range(0, len(groups), SENDERS_PER_BLOCK)
    return [[index for group in groups[i : i + SENDERS_PER_BLOCK] for index in group] for i in starts]


@dataclass(frozen=True, eq=False)
class Block(Result):
    """The measured values `[pair, row]` of some rows on one batch of pairs; `places` are the indices of the rows.

    `total` `[pair]` is the total effect of the batch. Blocks of earlier versions do not have it.
    """

    places: tuple[int, ...]
    arrays: dict[str, Tensor]
    total: Tensor | None = None

    def to_frame(self) -> pd.DataFrame:
        """A row per path with the mean of each value over the pairs."""
        return pd.DataFrame({name: value.mean(0).numpy() for name, value in self.arrays.items()}, index=self.places)


@dataclass(frozen=True)
class BlockStore(Store):
    """A folder with a file for each finished block of a sweep."""

    work: ClassVar[str] = "sweep"
    shaped_by: ClassVar[str] = "model, pairs, paths or settings"
    piece: ClassVar[str] = "block"
    kind: ClassVar[type[Result]] = Block

    def read(self, batch: int, indices: Sequence[int]) -> Block | None:
        """A finished block; None if it has no file.

        Raises `ResultError` for a block of another sweep or of other shards, and for a file that is no block.
        """
        name = block_name(batch, indices)
        block = self.get(name, Block)
        if block is None:
            return None
        if block.places != tuple(indices):
            raise self.foreign(self.path(name))
        return block


def block_name(batch: int, indices: Sequence[int]) -> str:
    """The name of a block's file."""
    return f"block-{batch:04d}-{min(indices):06d}"
