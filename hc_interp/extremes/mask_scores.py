"""`MaskScorer`: the log odds of the heuristic's answer on rows of texts under many masks, here or by workers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.components import Component
from hc_interp.evaluation.score_data import Classes, score_rows
from hc_interp.evaluation.scores import Scores
from hc_interp.evaluation.systems import EncodedBatch, EncodedBlocks, batch_scores, joined_scores
from hc_interp.extremes.result import FULL
from hc_interp.extremes.rows import Blocks
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import Stage
from hc_interp.records.digest import digest
from hc_interp.records.pieces import Runner
from hc_interp.records.small_pieces import Measured, MeasuredStore, SmallPieces, answer_at_once
from hc_interp.search.sampling.by_workers import Bits, packed, unpacked
from hc_interp.search.sampling.evaluator import Masks

MASKS_AT_ONCE = 32  # masks that share a pass
SCORES = "scores"  # the folder of the pieces, beside what else a search keeps

ScoreKey = tuple[Bits, int]  # the masks, and the number of the batch of texts


@dataclass(frozen=True, eq=False)
class MaskScorer:
    """Scores of masks of `items` on blocks of rows."""

    model: HookedModel
    items: tuple[Component, ...]
    source: Source
    classes: Classes
    before: Sequence[Intervention]
    batch_size: int

    def encode(self, blocks: Blocks) -> EncodedBlocks:
        return EncodedBlocks.of(self.model, blocks, self.batch_size)

    def of_batch(self, item: EncodedBatch, masks: Masks) -> Float[Tensor, "text mask"]:
        """The scores on one batch. They do not depend on other batches."""
        systems = self.systems(masks)
        return batch_scores(self.model, item, systems, self.source, self.classes, self.before)

    def systems(self, masks: Masks) -> dict[str, frozenset[Component]]:
        """The components that each mask removes."""
        return {str(i): frozenset(self.items[j] for j in np.flatnonzero(~mask)) for i, mask in enumerate(masks)}

    def scores(
        self, encoded: EncodedBlocks, masks: Masks, pieces: SmallPieces | None = None
    ) -> dict[str, list[Float[np.ndarray, "mask row"]]]:
        """The scores under each mask, by block. `pieces` are those of `encoded` (None: they are measured here)."""
        parts = [np.empty((0, sum(len(item) for item in encoded.batches)))]
        for start in range(0, len(masks), MASKS_AT_ONCE):
            some = masks[start : start + MASKS_AT_ONCE]
            if pieces is None:
                found = [self.of_batch(item, some) for item in encoded.batches]
            else:
                keys: list[ScoreKey] = [(packed(some), number) for number in range(len(encoded.batches))]
                found = pieces.make(keys)
            parts.append(joined_scores(found, encoded.batches, self.systems(some)))
        return encoded.split(np.concatenate(parts))

    def report(
        self,
        blocks: Blocks,
        heuristics: dict[str, tuple[tuple[str, ...], tuple[str, ...]]],
        ends: Mapping[str, Bool[np.ndarray, " component"]],
        level: float,
        seed: int,
    ) -> Scores:
        """The full model's scores and those of the ends, on all rows of the blocks."""
        named = {f"case {case}": block for case, block in blocks.items()}
        masks = np.stack([np.ones(len(self.items), dtype=bool), *ends.values()])
        matrices = self.scores(self.encode(named), masks)
        return Scores((FULL, *ends), heuristics, score_rows(named, matrices), level, seed)


@dataclass(frozen=True, eq=False)
class MaskScoreWork:
    """The scores of masks on encoded texts, in pieces of one batch. It is also its own bench."""

    scorer: MaskScorer
    encoded: EncodedBlocks

    def bench(self, keys: Sequence[ScoreKey]) -> Self:
        return self

    def size(self, key: ScoreKey) -> int:
        return 1

    def make(self, key: ScoreKey, progress: Stage) -> Measured:
        bits, number = key
        masks = unpacked(bits, len(self.scorer.items))
        return Measured(self.scorer.of_batch(self.encoded.batches[number], masks))


@contextmanager
def scoring(scorer: MaskScorer, encoded: EncodedBlocks, runner: Runner) -> Iterator[SmallPieces | None]:
    """The pieces of `MaskScorer.scores` for workers that begin at once; None: this process measures."""
    if not answer_at_once(runner):
        yield None
        return
    assert runner.folder is not None
    texts = [item.batch for item in encoded.batches]
    shaped_by = scorer.model, scorer.source, scorer.classes, list(scorer.before), texts, runner.shaping
    store = MeasuredStore(runner.folder / SCORES, digest(*shaped_by))
    within = replace(runner, folder=store.folder)
    with SmallPieces(MaskScoreWork(scorer, encoded), store, within) as pieces:
        yield pieces
