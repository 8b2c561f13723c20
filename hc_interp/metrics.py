"""Scalars per example from logits: what path effects and accuracies are measured in."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.errors import HCError

# Class indices by label group; the groups partition the classes.
ClassGroups = Sequence[Sequence[int]]
Metric = Callable[[Tensor, Tensor, ClassGroups], Tensor]


def group_mask(groups: ClassGroups, n_classes: int, device: torch.device | str = "cpu") -> Bool[Tensor, "group class"]:
    """1 where a class belongs to a group."""
    mask = torch.zeros(len(groups), n_classes, device=device, dtype=torch.bool)
    for row, group in enumerate(groups):
        mask[row, list(group)] = True
    return mask


def _wide(logits: Float[Tensor, "batch class"]) -> Float[Tensor, "batch class"]:
    """Half precision as float32: effects are small differences, and accuracies are sums of many ones."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def logit_diff(
    logits: Float[Tensor, "batch class"], gold: Int[Tensor, " batch"], groups: ClassGroups
) -> Float[Tensor, " batch"]:
    """Log odds of the gold group: logsumexp of its logits minus logsumexp of all others."""
    logits = _wide(logits)
    own = group_mask(groups, logits.shape[-1], logits.device)[gold]
    low = torch.finfo(logits.dtype).min
    return logits.masked_fill(~own, low).logsumexp(-1) - logits.masked_fill(own, low).logsumexp(-1)


def prob_diff(
    logits: Float[Tensor, "batch class"], gold: Int[Tensor, " batch"], groups: ClassGroups
) -> Float[Tensor, " batch"]:
    """Probability of the gold group minus that of all others, -1 to 1."""
    logits = _wide(logits)
    own = group_mask(groups, logits.shape[-1], logits.device)[gold]
    return 2 * (logits.softmax(-1) * own).sum(-1) - 1


def correct(
    logits: Float[Tensor, "batch class"], gold: Int[Tensor, " batch"], groups: ClassGroups
) -> Float[Tensor, " batch"]:
    """1 where the largest logit is of a class of the gold group (HANS' rule), else 0."""
    own = group_mask(groups, logits.shape[-1], logits.device)[gold]
    return own.gather(1, logits.argmax(-1, keepdim=True))[:, 0].to(_wide(logits).dtype)


PATH_METRICS: dict[str, Metric] = {"logit_diff": logit_diff, "prob_diff": prob_diff}


def path_metric(metric: str | Metric) -> Metric:
    """A metric for paths by name, or the function `(logits, gold, groups) -> [batch]` itself."""
    if callable(metric):
        return _per_pair(metric)
    if metric not in PATH_METRICS:
        raise HCError(
            f"metric={metric!r} is not a metric for paths. Use {', '.join(PATH_METRICS)} or a function "
            "(logits, gold, groups) -> [batch]; kl and accuracy belong to hc.evaluate."
        )
    return PATH_METRICS[metric]


def _per_pair(metric: Metric) -> Metric:
    """A user's metric, held to one number for each pair: a single number would silently count for all of them."""

    def checked(logits: Tensor, gold: Tensor, groups: ClassGroups) -> Tensor:
        score = metric(logits, gold, groups)
        if not isinstance(score, Tensor) or score.shape != gold.shape:
            got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
            raise HCError(
                f"The metric {getattr(metric, '__name__', metric)!r} returned {got}; expected a tensor of shape "
                f"{tuple(gold.shape)}, one number for each pair. Leave out the mean or sum over pairs."
            )
        return score

    return checked


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
