"""Logits of a model on the same encoded data under each of several lists of interventions."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.encode import EncodedBatch, in_order
from hc_interp.errors import HCError
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import Stage


@torch.no_grad()
def logits_under(
    model: HookedModel,
    encoded: Sequence[EncodedBatch],
    settings: Mapping[str, Sequence[Intervention]],
    split: str,
    progress: Stage,
) -> Iterator[tuple[str, Float[Tensor, "example class"]]]:
    """Each list of interventions (`settings`) by name with its logits, whose rows are in the order of the data.

    They come one at a time, so that those of a whole vocabulary need not be kept.

    `split` names the data in errors. Raises `HCError` for logits that are not finite.
    """
    for name, interventions in settings.items():
        parts = [model.logits(item.batch, interventions) for item in encoded]
        logits = in_order(parts, [item.index for item in encoded])
        if not bool(torch.isfinite(logits).all()):
            n_bad = int((~torch.isfinite(logits)).any(-1).sum())
            raise HCError(
                f"The logits of {name!r} on {split!r} are NaN or infinite for {n_bad} of {len(logits)} examples, so "
                "their largest has no meaning. Expected finite logits; check the model's weights and dtype, the means "
                "and the interventions."
            )
        progress.advance()
        yield name, logits
