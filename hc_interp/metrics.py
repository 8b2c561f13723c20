"""Metrics: one number for each example from its class logits. Path effects and accuracies are measured in them.

A label group is a set of classes that count as one label. For HANS on a three-way classifier, neutral and contradiction
are one group. `gold` is the index of each example's right group.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.errors import HCError

# The class indices of each label group, like ((0,), (1, 2)). The groups partition the classes.
ClassGroups = Sequence[Sequence[int]]
Metric = Callable[[Tensor, Tensor, ClassGroups], Tensor]


def group_mask(groups: ClassGroups, n_classes: int, device: torch.device | str = "cpu") -> Bool[Tensor, "group class"]:
    """True where a class belongs to a group."""
    mask = torch.zeros(len(groups), n_classes, device=device, dtype=torch.bool)
    for row, group in enumerate(groups):
        mask[row, list(group)] = True
    return mask


def _wide(logits: Float[Tensor, "batch class"]) -> Float[Tensor, "batch class"]:
    """Half precision becomes float32: it would round the small differences of effects, and long sums of ones."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def logit_diff(
    logits: Float[Tensor, "batch class"], gold: Int[Tensor, " batch"], groups: ClassGroups
) -> Float[Tensor, " batch"]:
    """Log odds of the gold group: logsumexp of its logits minus logsumexp of all other logits."""
    logits = _wide(logits)
    in_gold = group_mask(groups, logits.shape[-1], logits.device)[gold]
    low = torch.finfo(logits.dtype).min
    return logits.masked_fill(~in_gold, low).logsumexp(-1) - logits.masked_fill(in_gold, low).logsumexp(-1)


def prob_diff(
    logits: Float[Tensor, "batch class"], gold: Int[Tensor, " batch"], groups: ClassGroups
) -> Float[Tensor, " batch"]:
    """Probability of the gold group minus the probability of all other groups, -1 to 1."""
    logits = _wide(logits)
    in_gold = group_mask(groups, logits.shape[-1], logits.device)[gold]
    return 2 * (logits.softmax(-1) * in_gold).sum(-1) - 1


def correct(
    logits: Float[Tensor, "batch class"], gold: Int[Tensor, " batch"], groups: ClassGroups
) -> Float[Tensor, " batch"]:
    """1 where the class with the largest logit is in the gold group (HANS' rule), else 0."""
    in_gold = group_mask(groups, logits.shape[-1], logits.device)[gold]
    return in_gold.gather(1, logits.argmax(-1, keepdim=True))[:, 0].to(_wide(logits).dtype)


PATH_METRICS: dict[str, Metric] = {"logit_diff": logit_diff, "prob_diff": prob_diff}


def path_metric(metric: str | Metric) -> Metric:
    """The metric of this name, or a user's function `(logits, gold, groups) -> [batch]` with its result checked.

    Raises `HCError` for a name that is not in `PATH_METRICS`.
    """
    if callable(metric):
        return _per_pair(metric)
    if metric not in PATH_METRICS:
        raise HCError(
            f"metric={metric!r} is not a metric for paths. Use {', '.join(PATH_METRICS)} or a function "
            "(logits, gold, groups) -> [batch]; kl and accuracy belong to hc.evaluate."
        )
    return PATH_METRICS[metric]


def _per_pair(metric: Metric) -> Metric:
    """A user's metric that must return one number for each pair. A single number would silently count for all pairs."""

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
    """Minus the log probability of the gold group, in nats. `gold` is True for the classes of that group."""
    logits, low = logits.to(torch.promote_types(logits.dtype, torch.float32)), float("-inf")
    return logits.logsumexp(-1) - logits.masked_fill(~gold, low).logsumexp(-1)
