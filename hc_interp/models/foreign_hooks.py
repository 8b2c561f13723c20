"""Foreign hooks: hooks, parametrizations and replaced `forward` functions of a module.

A module with foreign hooks computes something else than its class and its weights say. Some passes of the package call
a module's parts. Others, such as the fast engine of path patching, read their weights. A foreign hook would enter only
the former, so a module is wrapped without any. Two kinds of hooks change no value and are kept: those of accelerate's
device maps, and those by which transformers collects hidden states and attentions. Global hooks, which torch calls in
every module, are foreign too.
"""

import copy
import functools
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from hc_interp.errors import ModelError, warn

CHOICES = ("refuse", "strip")
HOOK_TABLES = {
    "_forward_hooks": "forward hook",
    "_forward_pre_hooks": "forward pre-hook",
    "_backward_hooks": "backward hook",
    "_backward_pre_hooks": "backward pre-hook",
}
# torch's own tables of global hooks.
_EVERYWHERE: dict[str, Any] = {
    f"a global {kind}": getattr(torch.nn.modules.module, f"_global{table}") for table, kind in HOOK_TABLES.items()
}
_DEVICE_HOOKS = ("AlignDevicesHook", "CpuOffload", "ModelHook", "SequentialHook")
# accelerate's `dispatch_model` sets these functions on a module. In a copy they would still move the original.
_MOVERS = ("to", "cuda", "npu", "xpu", "mlu", "sdaa", "musa")


def foreign_hooks(module: nn.Module) -> list[str]:
    """A line for each foreign hook of a module: the name of the submodule, and what kind of hook it has."""
    return [
        f"{name or type(module).__name__}: {what}" for name, part in module.named_modules() for what in _of_part(part)
    ]


def refuse_global_hooks(name: str) -> None:
    """Raise `ModelError` while torch has global hooks. Those by which torch itself tracks a pass are allowed."""
    hooks = [
        f"{kind}, {getattr(hook, '__qualname__', type(hook).__name__)}"
        for kind, table in _EVERYWHERE.items()
        for hook in table.values()
        if getattr(hook, "__module__", None) != "torch.utils.module_tracker"
    ]
    if hooks:
        raise ModelError(
            f"{name} cannot be run truly while torch calls {'; '.join(hooks)} in every module (it was registered by "
            "torch.nn.modules.module.register_module_...). Expected none: it enters some passes and not others. Remove "
            "it first: handle.remove(). It cannot be stripped from one module."
        )


def any_global_hook() -> bool:
    return any(_EVERYWHERE.values())


def refuse_foreign_hooks(module: nn.Module, name: str) -> None:
    """Raise `ModelError` for a module with foreign hooks, and while there are global ones."""
    refuse_global_hooks(name)
    if hooks := foreign_hooks(module):
        raise ModelError(
            f"{name} carries {_listed(hooks)}. Expected a module that computes what its class and its weights say: a "
            "hook enters some passes and not others. Remove it before loading (handle.remove(), prune.remove(...), "
            "parametrize.remove_parametrizations(...)), or pass hc.load(module, foreign_hooks='strip'), which takes "
            "hooks off the wrapped copy and keeps parametrized weights as they are now."
        )


def copy_without_hooks(module: nn.Module, name: str, choice: str) -> nn.Module:
    """A deep copy of a module without foreign hooks. The module itself is not changed, and its hooks are not called.

    Raises `ModelError` for foreign hooks if `choice` is "refuse". If it is "strip", an `HCWarning` lists the hooks that
    were left out, and a weight that is parametrized, masked or normalised keeps its present value.
    """
    if choice not in CHOICES:
        raise ModelError(f"foreign_hooks={choice!r}; choose one of {', '.join(CHOICES)}.")
    refuse_global_hooks(name)
    if choice == "refuse":
        refuse_foreign_hooks(module, name)
    hooks = foreign_hooks(module)
    copied = copy.deepcopy(module, _memo(module)).eval()
    for mover in _MOVERS:
        vars(copied).pop(mover, None)
    if hooks:
        for part in list(copied.modules()):
            _strip(part)
        warn(
            f"The wrapped copy of {name} leaves out {_listed(hooks)}. Hooks are not applied to it; parametrized "
            "weights are kept as they were. The module that was given still has them and may compute something else.",
        )
    return copied


def _listed(hooks: list[str]) -> str:
    more = f" and {len(hooks) - 3} more" if len(hooks) > 3 else ""
    return f"{len(hooks)} foreign hooks or parametrizations ({'; '.join(hooks[:3])}{more})"


def _of_part(part: nn.Module) -> Iterator[str]:
    for table, kind in HOOK_TABLES.items():
        for hook in getattr(part, table).values():
            if isinstance(hook, prune.BasePruningMethod):
                yield f"a pruning mask on {hook._tensor_name}"
            elif isinstance(hook, WeightNorm | SpectralNorm):
                yield f"{type(hook).__name__} of {hook.name}"
            elif not _is_known(hook):
                yield f"a {kind}, {getattr(hook, '__qualname__', type(hook).__name__)}"
    if parametrize.is_parametrized(part):
        yield f"a parametrization of {', '.join(_parametrizations(part))}"
    if "forward" in vars(part) and not is_on_device_map(part):
        yield "a forward function of its own"


def _is_known(hook: Any) -> bool:
    return getattr(hook, "__module__", None) == "transformers.utils.output_capturing"


def _parametrizations(part: nn.Module) -> list[str]:
    return list(part.parametrizations) if isinstance(part.parametrizations, nn.ModuleDict) else []


def is_on_device_map(part: nn.Module) -> bool:
    """Whether the module's `forward` is its class's, called through nothing but accelerate's hooks for device maps."""
    forward, before = vars(part)["forward"], vars(part).get("_old_forward")
    wrapped = isinstance(forward, functools.partial) and forward.func.__module__ == "accelerate.hooks"
    plain = getattr(before, "__func__", None) is type(part).forward and getattr(before, "__self__", None) is part
    return wrapped and plain and _moves_only(vars(part).get("_hf_hook"))


def _moves_only(hook: Any) -> bool:
    kind = type(hook)
    known = kind.__module__ == "accelerate.hooks" and kind.__name__ in _DEVICE_HOOKS
    return known and all(map(_moves_only, getattr(hook, "hooks", ())))


def _memo(module: nn.Module) -> dict[int, Any]:
    """What `deepcopy` is to take instead of hooks, since a copy of a hook might need what it holds, and instead of
    computed weights, since torch does not copy a tensor with a history."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for table in HOOK_TABLES:
            hooks = getattr(part, table)
            memo[id(hooks)] = OrderedDict(
                (key, hook) for key, hook in hooks.items() if _is_known(hook) or _computes_weight(hook)
            )
        if "forward" in vars(part) and not is_on_device_map(part):
            memo[id(vars(part)["forward"])] = None
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return memo


def _computes_weight(hook: Any) -> bool:
    """Whether the hook computes a weight from others, so that `_strip` needs it."""
    return isinstance(hook, prune.BasePruningMethod | WeightNorm | SpectralNorm)


@torch.no_grad()
def _strip(part: nn.Module) -> None:
    """Turn weights that hooks compute into plain parameters of the same value. Drop a replaced `forward`."""
    for hook in list(part._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod):
            prune.remove(part, hook._tensor_name)
        elif isinstance(hook, WeightNorm):
            remove_weight_norm(part, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(part, hook.name)
    if parametrize.is_parametrized(part):
        shared = type(part)  # torch deletes the weight's property from the class, which a deep copy shares
        fields = {name: value for name, value in vars(shared).items() if name not in ("__dict__", "__weakref__")}
        object.__setattr__(part, "__class__", type(shared.__name__, shared.__bases__, fields))
        for name in _parametrizations(part):
            parametrize.remove_parametrizations(part, name, leave_parametrized=True)
    if "forward" in vars(part) and not is_on_device_map(part):
        for name in ("forward", "_old_forward", "_hf_hook"):
            vars(part).pop(name, None)
