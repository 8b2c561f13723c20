"""`PairState`: one batch of pairs with its clean and corrupt values and scores: what all paths on it start from."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hc_interp.components import OUTPUT
from hc_interp.data.align import PairBatch
from hc_interp.interventions.path_steps import PathBatch
from hc_interp.metrics import PATH_METRICS, ClassGroups, Metric
from hc_interp.patching.rows import Members


@dataclass
class PairState:
    """Clean and corrupt values of one batch of pairs, under `interventions`, and how its runs are scored.

    `total` `[batch]` is `metric(corrupt) - metric(clean)`, NaN unless the corrupt values are the pairs' other sides.
    """

    paths: PathBatch
    gold: Int[Tensor, " batch"]
    groups: ClassGroups
    metric: Metric
    clean_score: Float[Tensor, " batch"]
    total: Float[Tensor, " batch"]
    by_pair: bool

    @classmethod
    def of(cls, paths: PathBatch, part: PairBatch, metric: Metric, groups: ClassGroups, by_pair: bool) -> "PairState":
        """`by_pair`: the corrupt values are the pairs' other sides."""
        clean = metric(paths.clean_logits, part.gold, groups)
        total = torch.full_like(clean, float("nan"))
        if paths.corrupt_logits is not None:
            total = metric(paths.corrupt_logits, part.gold, groups) - clean
        return cls(paths, part.gold, groups, metric, clean, total, by_pair)

    @property
    def size(self) -> int:
        """Bytes of the values that are kept."""
        kept = {id(value): value for values in (self.paths.clean, self.paths.corrupt) for value in values.values()}
        return sum(value.numel() * value.element_size() for value in kept.values())

    def score(self, logits: Float[Tensor, "*path batch class"]) -> Float[Tensor, "*path batch"]:
        """The metric of runs of this batch. A user's function sees one run at a time: the rows of the clean batch."""
        if logits.ndim == 2:
            return self.metric(logits, self.gold, self.groups)
        if self.metric in PATH_METRICS.values():
            flat = self.metric(logits.flatten(0, -2), self.gold.repeat(logits.shape[:-2].numel()), self.groups)
            return flat.view(logits.shape[:-1])
        return torch.stack([self.metric(run, self.gold, self.groups) for run in logits.flatten(0, -3)]).view(
            logits.shape[:-1]
        )

    def full_change(self, item: Any) -> Tensor:
        """The receiver's whole change to its corrupt value."""
        return self.paths.corrupt_values((item,))[item] - self.paths.clean_value(item)

    def dot(self, left: Tensor, right: Tensor) -> Float[Tensor, " batch"]:
        """Inner product over the positions that are not padding."""
        return (left * right * self._seen).sum((1, 2))

    def extent(self, receivers: Members) -> Float[Tensor, " batch"]:
        """`|dz_full|^2` of all receivers."""
        zero = torch.zeros_like(self.clean_score)
        return sum((self.dot(d, d) for d in map(self.full_change, (r for r in receivers if r != OUTPUT))), zero)

    def known_node_effect(self, receivers: Members) -> Float[Tensor, " batch"] | None:
        """The node effect where no run is needed for it: 0 for none, NaN without pairs, the total for `output`."""
        if not receivers:
            return torch.zeros_like(self.clean_score)
        if not self.by_pair:
            return torch.full_like(self.clean_score, float("nan"))
        return self.total if OUTPUT in receivers else None

    @cached_property
    def _seen(self) -> Tensor:
        return self.paths.batch.attention_mask[:, :, None]
