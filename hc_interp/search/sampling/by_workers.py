"""The losses of masks, measured by the workers of an executor.

A piece is all masks on the rows of one pass (`PASS_ROWS`). What shares a pass is then the same as in a call without an
executor, and so are the losses, to the byte. Pieces are small, so jobs that wait in a queue (submitit) are not asked:
there the losses are measured in the calling process.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.parts import DataPart
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import Stage
from hc_interp.records.digest import digest
from hc_interp.records.pieces import Runner
from hc_interp.records.small_pieces import Measured, MeasuredStore, SmallPieces, answer_at_once
from hc_interp.records.value_cache import ValueCache
from hc_interp.search.objective import Objective
from hc_interp.search.plan import Plan, RandomStreams
from hc_interp.search.runs import SearchWork, by_workers
from hc_interp.search.sampling.evaluator import Masks, RowLossesOf
from hc_interp.search.sampling.starts import BATCH_SIZE, trained_here
from hc_interp.search.swaps import MASKED_ROWS, PASS_ROWS, order_back, row_losses
from hc_interp.search.training_run import EVAL_SIZE

LEAST = MASKED_ROWS  # rows times masks; what needs no more than one pass is measured in the calling process
LOSSES = "losses"  # the folder of a sample's pieces, beside what else it keeps

Bits = tuple[int, bytes]  # the number of masks, and their bits
LossKey = tuple[Bits, tuple[int, ...]]  # the masks and the rows


@dataclass(frozen=True, eq=False)
class LossWork:
    """Everything that `Objective.of` needs. `parts` are the rows of the objective, in its order."""

    model: HookedModel
    parts: Sequence[DataPart]
    source: Source
    components: str
    objective: str
    before: tuple[Intervention, ...]
    with_gold: bool
    cache: ValueCache | None = None

    def bench(self, keys: Sequence[LossKey]) -> "LossBench":
        return LossBench(self.goal())

    def goal(self) -> Objective:
        return Objective.of(
            self.model, self.parts, self.source, self.components, self.objective, self.before, EVAL_SIZE,
            with_gold=self.with_gold, cache=self.cache,
        )  # fmt: skip

    def size(self, key: LossKey) -> int:
        return 1


@dataclass(eq=False)
class LossBench:
    """The objective, whose encoded rows all pieces share."""

    goal: Objective

    def make(self, key: LossKey, progress: Stage) -> Measured:
        masks = unpacked(key[0], len(self.goal.universe))
        return Measured(row_losses(self.goal, torch.from_numpy(masks), torch.tensor(key[1])))


def packed(masks: Masks) -> Bits:
    """Masks in few bytes, and how many they are."""
    return len(masks), np.packbits(masks).tobytes()


def unpacked(bits: Bits, n_components: int) -> Masks:
    count, content = bits
    flat = np.unpackbits(np.frombuffer(content, np.uint8), count=count * n_components)
    return flat.reshape(count, n_components).astype(bool)


@contextmanager
def measuring(work: LossWork, goal: Objective, runner: Runner) -> Iterator[RowLossesOf | None]:
    """What measures losses while the context lasts: workers that begin at once, or (None) this process.

    `goal` is that of `work`, in this process.
    """
    if not answer_at_once(runner):
        yield None
        return
    assert runner.folder is not None
    within = replace(runner, folder=runner.folder / LOSSES)
    shaped_by = work.model, work.parts, work.source, work.components, work.objective, list(work.before), work.with_gold
    store = MeasuredStore(runner.folder / LOSSES, digest(shaped_by, runner.shaping))
    with SmallPieces(replace(work, cache=within.cache), store, within) as pieces:

        def measure(masks: Tensor, rows: Tensor) -> Tensor:
            if len(masks) * len(rows) <= LEAST:
                return row_losses(goal, masks, rows)
            parts, bits = goal.by_length(rows, PASS_ROWS), packed(masks.numpy())
            made = pieces.make([(bits, tuple(part.tolist())) for part in parts])
            return torch.cat(made, dim=1)[:, order_back(rows, parts)]

        yield measure


def start_training(
    work: LossWork, parts: Sequence[DataPart], goal: Objective, plan: Plan, settings: dict[str, Any], runner: Runner
) -> Callable[[Sequence[RandomStreams]], list[Float[Tensor, " component"]]]:
    """What trains the starts, a piece each: this process, or the runner's workers. `parts` are those of `plan`."""

    def train(streams: Sequence[RandomStreams]) -> list[Tensor]:
        share, seed, steps = settings["sparsity"], settings["seed"], settings["steps"]
        if runner.executor is None:
            return trained_here(goal, plan, share, seed, streams, steps)
        own = {item.seed: item for item in streams}
        of_a_search = settings | {"batch_size": BATCH_SIZE, "exchanges": 0}
        search = SearchWork(work.model, parts, work.source, work.before, plan, own, of_a_search)
        return by_workers(search, share, list(own), runner)

    return train
