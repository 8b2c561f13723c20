"""Scores of the heuristic's answer beside an evaluation's accuracies: the rows that are scored, and their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.evaluation.result import VALIDATION
from hc_interp.evaluation.score_data import (
    Block,
    Classes,
    class_groups,
    examples_block,
    heuristic_classes,
    overlap_blocks,
    score_rows,
)
from hc_interp.evaluation.scores import IN_DOMAIN, Scores
from hc_interp.evaluation.subnetwork_logits import logits_under
from hc_interp.evaluation.systems import EncodedBlocks
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import Stage

Logits = Float[Tensor, "example class"]


@dataclass(frozen=True, eq=False)
class ScorePlan:
    """The rows of an evaluation that are scored: `splits` maps a split to its block, `pairs` are overlap pairs."""

    heuristics: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    classes: Classes
    splits: dict[str, str]
    blocks: dict[str, Block]
    pairs: EncodedBlocks

    @classmethod
    def of(
        cls,
        model: HookedModel,
        task: Task,
        splits: Mapping[str, Examples],
        pull_pairs: int,
        batch_size: int,
        seed: int,
    ) -> "ScorePlan | None":
        """None where nothing can be scored: without a heuristic that has right and wrong cases among the splits, and
        without validation examples of both labels."""
        evaluated = {
            name: tuple(tuple(case for case in cases if case in splits) for cases in kinds)
            for name, kinds in task.heuristics.items()
        }
        heuristics: Any = {name: kinds for name, kinds in evaluated.items() if all(kinds)}
        if not heuristics or VALIDATION not in splits:
            return None
        classes = heuristic_classes(model, task)
        cases = [case for kinds in heuristics.values() for side in kinds for case in side]
        names = {VALIDATION: IN_DOMAIN} | {case: f"case {case}" for case in cases}
        blocks = {block: examples_block(model, splits[split], classes) for split, block in names.items()}
        if blocks[IN_DOMAIN].gold.all() or not blocks[IN_DOMAIN].gold.any():
            return None
        pairs: dict[str, Block] = {}
        for right, wrong in heuristics.values() if pull_pairs else ():
            every = overlap_blocks(model, task, right, wrong, classes)
            pairs |= {name: block.sample(pull_pairs, seed) for name, block in every.items()}
        encoded = EncodedBlocks.of(model, pairs, batch_size)
        return cls(heuristics, classes, names, blocks | pairs, encoded)

    @property
    def passes(self) -> int:
        """How many more sets of data each system is run on."""
        return int(bool(self.pairs.batches))

    def s(self, logits: Logits) -> Float[Tensor, " example"]:
        """The score of each example from the logits of one system. float32, like most models' logits."""
        gold = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        return logit_diff(logits, MetricRows.labelled(gold, class_groups(self.classes, logits.shape[1]))).float()

    def scores(
        self,
        model: HookedModel,
        settings: Mapping[str, Sequence[Intervention]],
        s: Mapping[str, Float[np.ndarray, "system example"]],
        progress: Stage,
        *,
        level: float,
        seed: int,
    ) -> Scores:
        """All scores: `s` by split, and those of the pairs, for which each system is run."""
        matrices = {self.splits[split]: [values] for split, values in s.items()}
        if self.pairs.batches:
            answers = logits_under(model, self.pairs.batches, settings, "overlap pairs", progress)
            matrices |= self.pairs.split(torch.stack([self.s(logits) for _, logits in answers]).cpu().numpy())
        return Scores(tuple(settings), self.heuristics, score_rows(self.blocks, matrices), level, seed)
