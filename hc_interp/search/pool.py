"""`Pool`: the encoded examples that a search draws from, with the full model's logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.encode import batches
from hc_interp.data.labels import regrouped
from hc_interp.data.parts import DataPart, label_groups
from hc_interp.errors import SearchError
from hc_interp.metrics import MetricRows, correct, group_mask
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.records.value_cache import ValueCache, values_name


@dataclass(frozen=True, eq=False)
class Pool:
    """Encoded rows on the model's device.

    `lengths` are numbers of tokens. `reference` are the full model's logits, under the interventions of the search.
    `gold` marks the classes of each row's label group. `batch.answer` has the tokens of its answer where the model is a
    language model without label words. Both are None if the objective needs no labels.
    """

    batch: Batch
    lengths: Int[Tensor, " row"]
    reference: Float[Tensor, "row class"]
    gold: Bool[Tensor, "row class"] | None

    @property
    def scored(self) -> bool:
        """Whether the rows have labels or answers."""
        return self.gold is not None or self.batch.answer is not None

    def right(self, logits: Float[Tensor, "batch class"], rows: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Which of these rows are answered right: by their labels or answers, else as the full model answers."""
        if self.gold is not None:
            return self.gold[rows].gather(1, logits.argmax(-1, keepdim=True))[:, 0]
        if self.batch.answer is not None:
            taken = self.batch.rows(rows)
            return correct(logits, MetricRows(rows.to(logits.device), answer=taken.answer, foil=taken.foil)).bool()
        return logits.argmax(-1) == self.reference[rows].argmax(-1)

    def take(self, rows: Int[Tensor, " n"]) -> Batch:
        """The batch of these rows, padded to the longest of them."""
        return self.batch.rows(rows).trim()


@torch.no_grad()
def build_pool(
    model: HookedModel,
    parts: Sequence[DataPart],
    *,
    with_gold: bool,
    interventions: Sequence[Intervention],
    size: int,
    cache: ValueCache | None = None,
) -> Pool:
    """Encode all rows and run the full model once on each; `cache` keeps its logits for other processes.

    Raises `SearchError` if a logit is not finite.

    `model` has logits `[batch, class]` (`at_one_word`). Those of a whole vocabulary take 4 bytes a word and row.
    """
    parts = [regrouped(model.labels, part) for part in parts] if with_gold else parts
    pieces = batches(model, parts, batch_size=size, with_labels=with_gold)
    order = torch.argsort(torch.cat([piece.index for piece in pieces]))
    reference = torch.cat([_logits(model, piece.batch, interventions, cache) for piece in pieces])[order]
    if n_bad := int((~torch.isfinite(reference)).any(-1).sum()):
        raise SearchError(
            f"The full model gives logits that are not finite on {n_bad} of {len(reference)} examples. Expected finite "
            "ones, since masks are trained against them: check the weights, the dtype and the interventions."
        )
    pad_id = getattr(model.module.config, "pad_token_id", None) or 0
    joined = replace(Batch.join([piece.batch for piece in pieces], pad_id), labels=None).rows(order)
    lengths = joined.attention_mask.sum(1).cpu()
    by_label = with_gold and model.labels is not None
    return Pool(joined, lengths, reference, _gold(model, parts) if by_label else None)


def _logits(
    model: HookedModel, batch: Batch, interventions: Sequence[Intervention], cache: ValueCache | None
) -> Float[Tensor, "batch class"]:
    def run() -> Tensor:
        return model.logits(batch, interventions)

    if cache is None:
        return run()
    name = values_name("logits", model, model.backend_name, str(model.device), list(interventions), batch)
    return cache.kept(name, lambda: {name: {"logits": run()}})["logits"].to(model.device)


def _gold(model: HookedModel, parts: Sequence[DataPart]) -> Bool[Tensor, "row class"]:
    """The classes of each row's label group; every part is read by its own groups."""
    by_part = [label_groups(model.labels, part) for part in parts]
    masks = [group_mask(groups, sum(map(len, groups)))[labels] for groups, labels in by_part]
    return torch.cat(masks).to(model.device)
