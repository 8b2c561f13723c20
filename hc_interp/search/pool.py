"""`Pool`: the encoded examples that a search draws from, each with what the full model says about it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from hc_interp.data.batch import Batch
from hc_interp.data.encode import batches
from hc_interp.data.examples import Examples
from hc_interp.data.labels import check_labels, resolve_groups
from hc_interp.data.parts import Part
from hc_interp.errors import SearchError
from hc_interp.metrics import group_mask
from hc_interp.models.hooked import HookedModel, Intervention


@dataclass(frozen=True, eq=False)
class Pool:
    """Encoded rows on the model's device.

    `reference` `[row, class]` are the full model's logits (under the interventions that the search stands on), `gold`
    `[row, class]` marks the classes of each row's label group (None: labels were not looked at).
    """

    batch: Batch
    lengths: Int[Tensor, " row"]
    reference: Float[Tensor, "row class"]
    gold: Bool[Tensor, "row class"] | None

    def take(self, rows: Int[Tensor, " n"]) -> Batch:
        """The batch of these rows, padded to the longest of them."""
        batch = self.batch.rows(rows)
        longest = int(self.lengths[rows].max())
        cut = [
            None if t is None else t[:, :longest] for t in (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        ]
        return Batch(*cut, ids=batch.ids)  # type: ignore[arg-type]


@torch.no_grad()
def build_pool(
    model: HookedModel, parts: Sequence[Part], *, with_gold: bool, interventions: Sequence[Intervention], size: int
) -> Pool:
    """Encode all rows once and run the full model on each once. Raises `SearchError` if its logits are not finite."""
    resolve_groups(model.labels)  # raises for a language model that is not read at label words
    pieces = batches(model, parts, batch_size=size, with_labels=with_gold)
    order = torch.argsort(torch.cat([piece.index for piece in pieces]))
    reference = torch.cat([model.logits(piece.batch, interventions) for piece in pieces])[order]
    if n_bad := int((~torch.isfinite(reference)).any(-1).sum()):
        raise SearchError(
            f"The full model gives logits that are not finite on {n_bad} of {len(reference)} examples. Expected finite "
            "ones, since masks are trained against them: check the weights, the dtype and the interventions."
        )
    pad_id = getattr(model.module.config, "pad_token_id", None) or 0
    joined = _joined([piece.batch for piece in pieces], pad_id).rows(order)
    lengths = joined.attention_mask.sum(1).cpu()
    return Pool(joined, lengths, reference, _gold(model, parts) if with_gold else None)


def _joined(parts: Sequence[Batch], pad_id: int) -> Batch:
    """The rows of all batches as one, as wide as the widest."""
    longest = max(part.input_ids.shape[1] for part in parts)

    def column(name: str, fill: int) -> Tensor:
        values = [getattr(part, name) for part in parts]
        blank = [torch.zeros_like(p.input_ids) if v is None else v for p, v in zip(parts, values, strict=True)]
        return torch.cat([pad(value, (0, longest - value.shape[1]), value=fill) for value in blank])

    typed = any(part.token_type_ids is not None for part in parts)
    named = all(part.ids is not None for part in parts)
    return Batch(
        column("input_ids", pad_id),
        column("attention_mask", 0),
        column("token_type_ids", 0) if typed else None,
        ids=tuple(name for part in parts for name in part.ids or ()) if named else None,
    )


def _gold(model: HookedModel, parts: Sequence[Part]) -> Bool[Tensor, "row class"]:
    """The classes of each row's label group; every part is read by its own groups."""
    found = []
    for part in parts:
        groups = resolve_groups(model.labels, part if isinstance(part, Examples) else None)
        labels = torch.as_tensor(part.label if isinstance(part, Examples) else part.labels).cpu()
        check_labels(labels.tolist(), groups, repr(part))
        found.append(group_mask(groups, sum(map(len, groups)))[labels])
    return torch.cat(found).to(model.device)
