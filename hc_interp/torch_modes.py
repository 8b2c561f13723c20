"""Keeps the caller's torch modes (inference mode, autocast, a default device) from changing a measurement."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


def own_torch_modes(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function outside inference mode, autocast and a default device, whatever modes its caller is in.

    Inference mode forbids gradients. Autocast computes in half precision instead of the model's own type. A default
    device puts new tensors elsewhere than the model. The caller still decides whether gradients are recorded.
    """

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with _no_modes():
            return function(*args, **kwargs)

    return inside


@contextmanager
def _no_modes() -> Iterator[None]:
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(no_autocast())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def no_autocast() -> Iterator[None]:
    """A context in which operations compute in the types of their tensors."""
    with ExitStack() as stack:
        for device in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def usable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy if it was made in inference mode: autograd refuses such a tensor."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()
