"""AdamW with a linear warm-up and a linear decay of its rate, and its state as tensors that a file can hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # AdamW's state of one parameter


@dataclass(frozen=True)
class Optimization:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) and its rate in a training of `steps` updates.

    `lr` is the peak of the rate, `warm_up` the share of the steps in which it rises to that, and `decay_to` the share
    of the peak that it falls to.
    """

    steps: int
    lr: float
    weight_decay: float
    warm_up: float
    decay_to: float
    betas: tuple[float, float]

    def rate_at(self, step: int) -> float:
        """The learning rate of the update from `step` to `step + 1`: it rises to its peak, then falls."""
        warm_up = max(1, round(self.warm_up * self.steps))
        left = (self.steps - step) / max(1, self.steps - warm_up)
        return self.lr * min((step + 1) / warm_up, self.decay_to + (1 - self.decay_to) * left)

    def adamw(self, parameters: Mapping[str, nn.Parameter]) -> torch.optim.AdamW:
        """The optimizer at its start. Matrices decay; biases and the weights of norms do not."""
        matrices = [parameter for parameter in parameters.values() if parameter.ndim > 1]
        others = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW([group for group in groups if group["params"]], betas=self.betas)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def moments(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The optimizer's state as `MOMENT:PARAMETER`. A parameter that had no gradient yet has no state."""
    return {
        f"{kind}:{name}": optimizer.state[parameter][kind]
        for name, parameter in parameters.items()
        if parameter in optimizer.state
        for kind in _MOMENTS
    }


def set_moments(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Give the optimizer the state that `moments` returned. AdamW counts steps on the CPU."""
    for name, parameter in parameters.items():
        if f"step:{name}" in tensors:
            state = {kind: tensors[f"{kind}:{name}"].to(parameter.device) for kind in _MOMENTS[:2]}
            optimizer.state[parameter] = {**state, "step": tensors[f"step:{name}"].clone()}
