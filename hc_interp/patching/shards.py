"""Sweeps in pieces: shards of the rows for several processes, blocks of rows that are kept on disk and read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
from torch import Tensor

from hc_interp.errors import HCError
from hc_interp.patching.rows import Row
from hc_interp.records.result import Result
from hc_interp.records.store import Store

SENDERS_PER_BLOCK = 12  # finished work that an interruption can lose


def shard_places(shard: str | None, rows: Sequence[Row]) -> tuple[int, ...]:
    """Places of the rows that shard "i/N" measures, i from 1 to N; all rows without one.

    Senders are dealt out in turn, since all rows of a sender share its step 1; rows are, where senders are too few.
    Raises `HCError` for a shard that cannot be, or that would have no rows.
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
        place = {group: i for i, group in enumerate(senders)}
        return tuple(i for i, row in enumerate(rows) if place[row.senders] % parts == part - 1)
    if len(rows) < parts:
        raise HCError(f"shard={shard!r} divides {len(rows)} paths into {parts} parts. Use at most {len(rows)} shards.")
    return tuple(range(len(rows)))[part - 1 :: parts]


def blocks_of(rows: Sequence[Row], places: Sequence[int]) -> list[list[int]]:
    """The places in blocks of a few senders' rows."""
    by_senders: dict[Any, list[int]] = {}
    for place in places:
        by_senders.setdefault(rows[place].senders, []).append(place)
    groups = list(by_senders.values())
    starts = range(0, len(groups), SENDERS_PER_BLOCK)
    return [[place for group in groups[i : i + SENDERS_PER_BLOCK] for place in group] for i in starts]


@dataclass(frozen=True, eq=False)
class Block(Result):
    """What was measured of some rows on one batch of pairs."""

    places: tuple[int, ...]
    arrays: dict[str, Tensor]

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({name: value.mean(0).numpy() for name, value in self.arrays.items()}, index=self.places)


@dataclass(frozen=True)
class Kept(Store):
    """A file for each finished block of a sweep."""

    work: ClassVar[str] = "sweep"
    shaped_by: ClassVar[str] = "model, pairs, paths or settings"
    piece: ClassVar[str] = "block"
    kind: ClassVar[type[Result]] = Block

    def read(self, batch: int, places: Sequence[int]) -> dict[str, Tensor] | None:
        """The arrays `[pair, row]` of a finished block, None if it is not there.

        Raises `ResultError` for a block of another sweep or of other shards, and for a file that is none.
        """
        name = _name(batch, places)
        block = self.get(name, Block)
        if block is None:
            return None
        if block.places != tuple(places):
            raise self.foreign(self.path(name))
        return block.arrays

    def write(self, batch: int, places: Sequence[int], arrays: dict[str, Tensor]) -> None:
        self.put(_name(batch, places), Block(tuple(places), arrays))


def _name(batch: int, places: Sequence[int]) -> str:
    return f"block-{batch:04d}-{min(places):06d}"
