"""What a mask is trained to keep: the full model's answers (KL), or the right ones (cross entropy over groups)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

OBJECTIVES = ("kl", "task")


def kl_divergence(full: Float[Tensor, "batch class"], masked: Float[Tensor, "batch class"]) -> Float[Tensor, " batch"]:
    """KL(full || masked) of the class distributions of two sets of logits, in nats."""
    wide = torch.promote_types(full.dtype, torch.float32)
    log_p, log_q = full.log_softmax(-1, dtype=wide), masked.log_softmax(-1, dtype=wide)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def group_cross_entropy(
    logits: Float[Tensor, "batch class"], gold: Bool[Tensor, "batch class"]
) -> Float[Tensor, " batch"]:
    """Minus the log probability of the gold group's classes together, in nats."""
    logits, low = logits.to(torch.promote_types(logits.dtype, torch.float32)), float("-inf")
    return logits.logsumexp(-1) - logits.masked_fill(~gold, low).logsumexp(-1)
