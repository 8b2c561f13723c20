"""AdamW with a linear warm-up and a linear decay of its rate, and its state as tensors that a file can hold."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hc_interp.training.defaults import WARM_UP

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # AdamW's state of one parameter


def rate_at(step: int, steps: int, peak: float) -> float:
    """The learning rate of the update from `step` to `step + 1`: it rises to `peak`, then falls towards 0."""
    warm_up = max(1, round(WARM_UP * steps))
    return peak * min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))


def adamw(parameters: Mapping[str, nn.Parameter], weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101). Matrices decay; biases and the weights of norms do not."""
    matrices = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    others = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]])


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
