"""Hard-concrete gates and the Lagrangian that drives them to a sparsity: tensors in, tensors out.

A gate multiplies the output of one component. A hard-concrete gate is a random number: it is exactly 0 with some
probability, exactly 1 with some probability, and in between otherwise. Its parameter `log_alpha` sets these
probabilities: the larger it is, the more often the gate is 1.
Sources: Louizos, Welling & Kingma 2018 (arXiv 1712.01312), equations 10 to 12, for the gates; Wang, Wohlwend & Lei 2020
(arXiv 1910.04732) for the Lagrangian.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

GAMMA, ZETA, BETA = -0.1, 1.1, 2 / 3  # ends of the interval before it is clipped to [0, 1], and the temperature


def sample_gates(
    log_alpha: Float[Tensor, " component"], uniform: Float[Tensor, "*batch component"]
) -> Float[Tensor, "*batch component"]:
    """Gates in [0, 1] for uniform noise in (0, 1). A gate of exactly 0 or 1 has derivative 0 in `log_alpha`."""
    concrete = torch.sigmoid((torch.logit(uniform) + log_alpha) / BETA)
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def mean_gates(log_alpha: Float[Tensor, " component"]) -> Float[Tensor, " component"]:
    """Gates without noise: `clamp(sigmoid(log_alpha) (zeta - gamma) + gamma, 0, 1)`, above 1/2 if `log_alpha > 0`."""
    return (torch.sigmoid(log_alpha) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def open_probability(log_alpha: Float[Tensor, " component"]) -> Float[Tensor, " component"]:
    """The probability that a sampled gate is above 0."""
    return torch.sigmoid(log_alpha - BETA * math.log(-GAMMA / ZETA))


def expected_sparsity(log_alpha: Float[Tensor, " component"]) -> Float[Tensor, ""]:
    """The expected share of gates that are 0."""
    return 1 - open_probability(log_alpha).mean()


def lagrangian(
    sparsity: Float[Tensor, ""], target: float, l1: Float[Tensor, ""], l2: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """`l1 (t - s) + l2 (t - s)^2` of target t and sparsity s: the gates minimise it, `l1` and `l2` maximise it."""
    gap = target - sparsity
    return l1 * gap + l2 * gap**2


def ramped_target(step: int, ramp_steps: int, sparsity: float) -> float:
    """The target sparsity of a step: it grows linearly from 0 to `sparsity`, which it reaches at `ramp_steps`."""
    return sparsity * min(1.0, step / ramp_steps) if ramp_steps else sparsity


def top_indices(log_alpha: Float[Tensor, " component"], n_kept: int) -> Int[Tensor, " kept"]:
    """The indices of the `n_kept` largest values, in ascending order. Among equal values the earlier ones are taken."""
    order = torch.argsort(log_alpha, descending=True, stable=True)
    return order[:n_kept].sort().values
