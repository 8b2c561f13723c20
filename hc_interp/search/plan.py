"""What a search draws: the rows that each seed trains on, the rows held out, and the seeds of random streams."""

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
HELD_OUT_SEED = 0  # the same examples are held out from every run, so that runs can be compared
STREAMS = ("data", "order", "start", "noise", "exchanges")  # the random streams of a run
WINDOW = 8  # batches whose rows are sorted by length together


def shaping(parts: Sequence[DataPart], with_labels: bool) -> list[DataPart]:
    """The data that a search depends on: everything, but labels and answers only if the objective uses them."""
    if with_labels:
        return list(parts)
    words = {"answer": None, "foil": None}
    return [replace(part, **{"label" if isinstance(part, Examples) else "labels": None, **words}) for part in parts]


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows of the data, ascending: all runs are scored on `held_out`, and `train[seed]` are the rows of one seed.

    `groups` are encoded one by one, and a row that two seeds drew is encoded twice. A row's padding depends on the rows
    beside it, and the last bits of the full model's logits depend on its padding. So a seed's logits do not depend on
    the rows that other seeds drew.
    """

    held_out: Int[np.ndarray, " held_out"]
    train: dict[int, Int[np.ndarray, " train"]]

    @property
    def groups(self) -> list[Int[np.ndarray, " _"]]:
        """The rows to encode: the held-out rows, then the rows of each seed."""
        return [self.held_out, *self.train.values()]

    @property
    def held_out_index(self) -> Int[Tensor, " n"]:
        """The index of each held-out row in the concatenated groups."""
        return torch.arange(len(self.held_out))

    def train_index(self, seed: int) -> Int[Tensor, " n"]:
        """The index of each of this seed's rows in the concatenated groups."""
        before = list(self.train).index(seed)
        start = sum(map(len, self.groups[: before + 1]))
        return torch.arange(start, start + len(self.train[seed]))


def draw_plan(parts: Sequence[DataPart], seeds: Sequence[int], n_train: int, batch_size: int) -> Plan:
    """Hold out whole sources, and draw each seed's rows from the others.

    About `HELD_OUT` examples are held out, or a quarter of the data if that is less. A seed draws `n_train` rows, but
    at most half of those not held out, and at least one batch. Raises `SearchError` if fewer than one batch are not
    held out.
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
    """The seed of one random stream of one run; the streams and the runs are independent of each other."""
    return int(np.random.SeedSequence([seed, *stream.encode()]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class RandomStreams:
    """The seeds of a run's random streams: of the run's seed for streams in `vary`, of the first run's for others."""

    seed: int
    first: int
    vary: tuple[str, ...] = STREAMS

    def of(self, stream: str) -> int:
        """The seed of the stream's generator."""
        return seed_of(self.run_seed(stream), stream)

    def run_seed(self, stream: str) -> int:
        """The seed of the run from which the stream is drawn: this run, or the first one."""
        return self.seed if stream in self.vary else self.first


def held_out_rows(
    sources: Sequence[str], n_requested: int, seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " held_out"]]:
    """The rows to train on, and about `n_requested` rows to hold out; no source has rows in both.

    A source is not held out if it would bring the number more than an eighth above `n_requested`. If every source is so
    large, the smallest one is held out.
    """
    names, codes = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    counts = np.bincount(codes)
    chosen: list[int] = []
    n_chosen = 0
    for source in shuffled.tolist():
        if n_chosen >= n_requested:
            break
        if n_chosen + counts[source] <= n_requested + n_requested // 8:
            chosen.append(source)
            n_chosen += int(counts[source])
    held_out = np.isin(codes, chosen or shuffled[np.argsort(counts[shuffled], kind="stable")[:1]])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def draw_rows(candidates: Int[np.ndarray, " n"], n_drawn: int, seed: int) -> Int[np.ndarray, " drawn"]:
    """`n_drawn` of the candidates without replacement, ascending."""
    return np.sort(np.random.default_rng(seed).choice(candidates, size=n_drawn, replace=False))


def epochs(
    rows: Int[Tensor, " n"], lengths: Int[Tensor, " row"], batch_size: int, rng: np.random.Generator
) -> Iterator[Int[Tensor, " batch"]]:
    """Batches of `rows` without end. Each epoch has a new order, and the rows of a batch have similar lengths.

    All batches are whole: the rows that would make a smaller batch are left out of an epoch, other rows in each epoch.
    """
    n_whole = len(rows) // batch_size * batch_size
    while True:
        shuffled = rows[torch.from_numpy(rng.permutation(len(rows)))][:n_whole]
        cuts = []
        for window in shuffled.split(batch_size * WINDOW):
            by_length = window[torch.argsort(lengths[window], stable=True)]
            cuts += by_length.split(batch_size)
        for i in rng.permutation(len(cuts)):
            yield cuts[int(i)]
