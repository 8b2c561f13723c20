"""`PairState`: one batch of pairs with its clean and corrupt values and scores, which all its paths share."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hc_interp.components import OUTPUT, Component
from hc_interp.interventions.path_steps import PathBatch
from hc_interp.metrics import PATH_METRICS, Metric, MetricRows
from hc_interp.patching.rows import Members, only_components


@dataclass
class PairState:
    """Clean and corrupt values of one batch of pairs, and the scores of its runs.

    `paths` holds the values, `clean_score` is the metric of the clean run. `total` is
    `metric(corrupt) - metric(clean)`, NaN unless the corrupt values come from the pairs' corrupt sides. `by_pair`: the
    node effects of these corrupt values are defined.
    """

    paths: PathBatch
    rows: MetricRows
    metric: Metric
    clean_score: Float[Tensor, " batch"]
    total: Float[Tensor, " batch"]
    by_pair: bool
    _extents: dict[Members, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: PathBatch, rows: MetricRows, metric: Metric, by_pair: bool) -> "PairState":
        """`rows` are what both sides are scored by. `by_pair`: the corrupt values are those of the corrupt sides."""
        clean = metric(paths.clean_logits, rows)
        total = torch.full_like(clean, float("nan"))
        if paths.corrupt_logits is not None:
            total = metric(paths.corrupt_logits, rows) - clean
        return cls(paths, rows, metric, clean, total, by_pair)

    @property
    def size(self) -> int:
        """Bytes of the clean and corrupt values; a tensor that both hold counts once."""
        tensors = {id(value): value for values in (self.paths.clean, self.paths.corrupt) for value in values.values()}
        return sum(value.numel() * value.element_size() for value in tensors.values())

    def score(self, logits: Float[Tensor, "*path batch class"]) -> Float[Tensor, "*path batch"]:
        """The metric of runs of this batch, one or several along the first axes.

        A user's metric is called with one run at a time, whose rows are the rows of the batch.
        """
        if logits.ndim == 2:
            return self.metric(logits, self.rows)
        if self.metric in PATH_METRICS.values():
            flat = self.metric(logits.flatten(0, -2), self.rows.repeated(logits.shape[:-2].numel()))
            return flat.view(logits.shape[:-1])
        return torch.stack([self.metric(run, self.rows) for run in logits.flatten(0, -3)]).view(logits.shape[:-1])

    def full_change(self, item: Component) -> Tensor:
        """`dz_full`: the receiver's corrupt value minus its clean value, at all positions."""
        return self.paths.corrupt_values((item,))[item] - self.paths.clean_value(item)

    def dot(self, left: Tensor, right: Tensor, where: Tensor | None = None) -> Float[Tensor, " batch"]:
        """The inner product of two values `[batch, pos, d]` over the positions that are not padding.

        `where` `[batch, pos]`: over these positions alone.
        """
        return (left * right * (self._not_padding if where is None else where[:, :, None])).sum((1, 2))

    def extent(self, receivers: Members) -> Float[Tensor, " batch"]:
        """The sum of `|dz_full|^2` over the receivers, of a receiver at a role over its positions."""
        if receivers not in self._extents:
            where = self.paths.where(receivers)
            total = torch.zeros_like(self.clean_score)
            for item in only_components(receivers):
                change = self.full_change(item)
                total = total + self.dot(change, change, where.get(item))
            self._extents[receivers] = total
        return self._extents[receivers]

    def known_node_effect(self, receivers: Members) -> Float[Tensor, " batch"] | None:
        """The node effect where it needs no run, else None.

        It is 0 without receivers, NaN where it is not defined (`by_pair`), and the total effect for `output`.
        """
        if not receivers:
            return torch.zeros_like(self.clean_score)
        if not self.by_pair:
            return torch.full_like(self.clean_score, float("nan"))
        return self.total if OUTPUT in receivers else None

    @cached_property
    def _not_padding(self) -> Int[Tensor, "batch pos 1"]:
        return self.paths.batch.attention_mask[:, :, None]
