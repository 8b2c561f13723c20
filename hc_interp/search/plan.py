"""What a search draws: the rows that each seed trains on, those kept aside, and where random streams start."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.examples import Examples
from hc_interp.data.parts import DataPart, sources_of
from hc_interp.errors import SearchError

HELD_OUT = 512  # examples that no run trains on
HELD_OUT_SEED = 0  # the same examples for every run, so that runs can be compared
STREAMS = ("data", "order", "start", "noise", "exchanges")  # what a run draws
WINDOW = 8  # batches whose rows are sorted by length together


def shaping(parts: Sequence[DataPart], with_labels: bool) -> list[DataPart]:
    """What of the data shapes a search: all of it, but labels only where the objective looks at them."""
    if with_labels:
        return list(parts)
    return [replace(part, **{"label" if isinstance(part, Examples) else "labels": None}) for part in parts]


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows of the data: `held_out` for scoring all runs, `train[seed]` for each seed's training; all ascending.

    `groups` are encoded one by one, a row that two seeds drew once for each: what a seed's rows are padded with, and so
    the last bits of what the full model says about them, must not depend on what other seeds drew.
    """

    held_out: Int[np.ndarray, " row"]
    train: dict[int, Int[np.ndarray, " row"]]

    @property
    def groups(self) -> list[Int[np.ndarray, " row"]]:
        """The rows to encode: those held out, then each seed's."""
        return [self.held_out, *self.train.values()]

    @property
    def held_out_places(self) -> Int[Tensor, " n"]:
        """Where the held-out rows stand among all groups' rows."""
        return torch.arange(len(self.held_out))

    def train_places(self, seed: int) -> Int[Tensor, " n"]:
        """Where this seed's rows stand among all groups' rows."""
        before = list(self.train).index(seed)
        start = sum(map(len, self.groups[: before + 1]))
        return torch.arange(start, start + len(self.train[seed]))


def draw_plan(parts: Sequence[DataPart], seeds: Sequence[int], n_train: int, batch_size: int) -> Plan:
    """Hold out about `HELD_OUT` examples (or a quarter) by source, and draw each seed's `n_train` from the rest.

    Raises `SearchError` when fewer than a batch are left to train on.
    """
    sources = sources_of(parts)
    candidates, held_out = held_out_rows(sources, max(1, min(HELD_OUT, len(sources) // 4)), HELD_OUT_SEED)
    if len(candidates) < batch_size:
        raise SearchError(
            f"{len(sources)} examples of {len(set(sources))} sources were given; {len(held_out)} are held out to score "
            f"the masks, which leaves {len(candidates)}, fewer than one batch of {batch_size}. Give more data, of more "
            "sources, or a smaller batch_size."
        )
    n_drawn = max(batch_size, min(n_train, len(candidates) // 2))
    return Plan(held_out, {seed: draw_rows(candidates, n_drawn, seed_of(seed, "data")) for seed in seeds})


def seed_of(seed: int, stream: str) -> int:
    """A seed for one of a run's random streams; streams do not depend on each other, nor runs on each other."""
    return int(np.random.SeedSequence([seed, *stream.encode()]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class Draws:
    """Where a run's random streams start: from its own seed, or from the first run's for what does not `vary`."""

    seed: int
    first: int
    vary: tuple[str, ...] = STREAMS

    def of(self, stream: str) -> int:
        return seed_of(self.seed_for(stream), stream)

    def seed_for(self, stream: str) -> int:
        return self.seed if stream in self.vary else self.first


def held_out_rows(sources: Sequence[str], n_wanted: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and about `n_wanted` rows to keep aside; no source is on both sides.

    A source that would take more than an eighth beyond `n_wanted` is passed over; if all are so large, one is kept
    aside, the smallest.
    """
    names, codes = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    counts = np.bincount(codes)
    chosen: list[int] = []
    n_chosen = 0
    for source in shuffled.tolist():
        if n_chosen >= n_wanted:
            break
        if n_chosen + counts[source] <= n_wanted + n_wanted // 8:
            chosen.append(source)
            n_chosen += int(counts[source])
    aside = np.isin(codes, chosen or shuffled[np.argsort(counts[shuffled], kind="stable")[:1]])
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def draw_rows(candidates: Int[np.ndarray, " n"], n_drawn: int, seed: int) -> Int[np.ndarray, " drawn"]:
    """`n_drawn` of the candidates without replacement, ascending."""
    return np.sort(np.random.default_rng(seed).choice(candidates, size=n_drawn, replace=False))


def epochs(
    rows: Int[Tensor, " n"], lengths: Int[Tensor, " row"], batch_size: int, rng: np.random.Generator
) -> Iterator[Int[Tensor, " batch"]]:
    """Batches of `rows` without end, each epoch in a new order; rows of similar length stand together.

    Only whole batches are given; the rows that an epoch leaves over are others in the next.
    """
    n_whole = len(rows) // batch_size * batch_size
    while True:
        shuffled = rows[torch.from_numpy(rng.permutation(len(rows)))][:n_whole]
        cuts = []
        for window in shuffled.split(batch_size * WINDOW):
            by_length = window[torch.argsort(lengths[window], stable=True)]
            cuts += by_length.split(batch_size)
        for place in rng.permutation(len(cuts)):
            yield cuts[int(place)]
