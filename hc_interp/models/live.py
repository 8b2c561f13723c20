"""Checks that a live module is what its class and its config say, before and after it is copied."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from hc_interp.errors import ModelError, in_one_line
from hc_interp.models.families import FAMILIES, family_of
from hc_interp.models.families.family import Family
from hc_interp.models.foreign_hooks import copy_without_hooks
from hc_interp.models.geometry import Geometry

# The attributes in which wrappers, torch's and others, keep the module that they wrap.
_INSIDE = ("module", "_orig_mod", "_fsdp_wrapped_module")
# The parts whose weights the package reads. Of those in `_ANY_SHAPE` the shape is not compared with the config.
_BY_LAYER = (
    "q", "k", "v", "o", "norm_1", "norm_2", "attn_norm", "mlp_norm", "q_norm", "k_norm", "mlp_in", "mlp_out", "block",
)  # fmt: skip
_ONCE = ("norm_final", "rotary", "head")
_ANY_SHAPE = ("mlp_in", "mlp_out", "head")


def refuse_wrapped(module: nn.Module, name: str, family: Family | None = None) -> None:
    """Raise `ModelError` for a wrapper around a module, with the attribute to pass, and for weights not in memory.

    A module for which the user gives a `family` is taken as it is, unless it is peft's.
    """
    inside, inner = ("", module) if family is not None else _inside(module)
    if _is_peft(type(inner)) and not hasattr(inner, "merge_and_unload"):
        raise ModelError(
            f"{name} is a model of peft with inputs that no weight can hold. Expected the plain module. Such a model "
            "cannot be wrapped; one with LoRA can be merged."
        )
    if inside:
        raise ModelError(
            f"{name} wraps a {type(inner).__name__}. Expected that module itself. Pass hc.load(module{inside})."
        )
    if family is None:
        family_of(module, name)
    _check_tensors(module, name)


def merged(module: nn.Module, name: str, foreign_hooks: str) -> nn.Module:
    """A model of peft (LoRA) as the plain module of a copy, into whose weights the active adapters are merged. Any
    other module is returned as it is.

    Raises `ModelError` for adapters that are switched off, and for foreign hooks if `foreign_hooks` is "refuse".
    """
    if not _is_peft(type(module)) or not hasattr(module, "merge_and_unload"):
        return module
    if any(getattr(part, "disable_adapters", False) is True for part in module.modules()):
        raise ModelError(
            f"{name} is a model of peft whose adapters are switched off, so that it computes what its base does. "
            "Expected active ones, to be merged. Call enable_adapter_layers(), or pass the base: "
            "hc.load(module.unload())."
        )
    return copy_without_hooks(module, name, foreign_hooks).merge_and_unload()  # type: ignore[operator]


def check_parts(module: nn.Module, name: str, family: Family) -> None:
    """Raise `ModelError` for a part that is not what the module's class makes of its config.

    A part may have been replaced (by a low-rank, quantized, adapted or compiled one), or its weight may have lost rows.
    Some computations would use it and others not: passes call a part, and the rest reads its weight.
    """
    try:
        with torch.device("meta"):
            built: Any = type(module)(copy.deepcopy(module.config))  # type: ignore[call-arg]
    except Exception as error:  # a config that was changed by hand fails in any way
        raise ModelError(
            f"The config of {name} does not build a {type(module).__name__} ({in_one_line(error)}). Expected the one "
            "that the module was made from. Put module.config right."
        ) from error
    expected = Geometry(built, family)
    _check_paths(expected, name)
    n_layers, said = (len(_blocks(tree, family)) for tree in (module, built))
    if n_layers != said:
        raise ModelError(
            f"{name} has {n_layers} layers and its config says {said}. Set module.config."
            f"{family.modules or 'num_hidden_layers'}={n_layers} (and cut layer_types where there are any) before it "
            "is wrapped."
        )
    for path, difference in _other_parts(module, expected):
        raise ModelError(
            f"{path} of {name} {difference}. Expected the parts that {type(module).__name__} makes of its config, "
            "since their weights are read one by one. Put a plain part with the same product in its place; adapters "
            "are merged by peft's merge_and_unload(), heads are removed by hc.Ablate."
        )


def _check_paths(built: Geometry, name: str) -> None:
    """Raise `ModelError` for a part of the family that its module class does not have, however it is built."""
    kind = type(built.module).__name__
    if not isinstance(_submodule(built.module, built.family.blocks), nn.ModuleList):
        raise ModelError(
            f"The family of {name} says that the list of layers is {built.family.blocks}, and {kind} has no list of "
            "modules there. Correct trunk= and block= of hc.Family: named_modules() of the module lists its paths."
        )
    for path, part in _part_paths(built):
        if _submodule(built.module, path) is None:
            raise ModelError(
                f"The family of {name} says that its {part} is {path}, and {kind} has no module there. Correct {part}= "
                "of hc.Family: named_modules() of the module lists its paths."
            )


def _blocks(module: nn.Module, family: Family) -> Any:
    return module.get_submodule(family.blocks)


def _other_parts(module: nn.Module, expected: Geometry) -> Iterator[tuple[str, str]]:
    """The path of each part that differs from the one that the config makes, and how it differs."""
    for path, name in _part_paths(expected):
        part, built = _submodule(module, path), expected.module.get_submodule(path)
        if part is None:
            yield path, "is missing"
        elif type(part).forward is not type(built).forward:
            yield path, f"is a {_class(part)}, not a {_class(built)}"
        elif name not in _ANY_SHAPE and _shape(part) != _shape(built):
            yield path, f"has a weight of shape {_shape(part)}, not {_shape(built)}: it was pruned or replaced"


def _part_paths(geometry: Geometry) -> Iterator[tuple[str, str]]:
    family = geometry.family
    first = {geometry.place(layer): layer for layer in reversed(range(geometry.n_layers))}  # of each module
    for layer in sorted(first.values()):
        yield geometry.path("block", layer), "block"
        yield f"{geometry.path('block', layer)}.{geometry.attention}", "attention"
        for part in _BY_LAYER:
            if getattr(family, part) is not None:
                yield geometry.path(part, layer), part
    for part in _ONCE:
        if getattr(family, part) is not None:
            yield geometry.path(part), part


def _submodule(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def _class(part: nn.Module) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _shape(part: Any) -> tuple[int, ...]:
    weight = getattr(part, "weight", None)
    return () if weight is None else tuple(weight.shape)


def _inside(module: nn.Module) -> tuple[str, nn.Module]:
    """The attributes that lead through wrappers to the wrapped module, as code like ".module", and that module."""
    attributes = ""
    while type(module).__name__ not in FAMILIES and not _is_peft(type(module)):
        name = next((name for name in _INSIDE if isinstance(getattr(module, name, None), nn.Module)), None)
        if name is None:
            break
        attributes, module = f"{attributes}.{name}", getattr(module, name)
    if type(module).__name__ not in FAMILIES and not _is_peft(type(module)):
        for name, part in module.named_modules():
            if type(part).__name__ in FAMILIES:
                return f"{attributes}.get_submodule({name!r})", part
    return attributes, module


def _is_peft(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "peft"


def _check_tensors(module: nn.Module, name: str) -> None:
    """Raise `ModelError` for compiled parts, tensors without values, and tensors on several devices."""
    if compiled := [path for path, part in module.named_modules() if "_orig_mod" in part._modules]:
        raise ModelError(
            f"{compiled[0]} of {name} is compiled (torch.compile). Expected plain parts, whose values are read while "
            f"they run. Put module.get_submodule({compiled[0]!r})._orig_mod in its place."
        )
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    if empty := [key for key, tensor in tensors.items() if tensor.is_meta]:
        raise ModelError(
            f"{len(empty)} of the {len(tensors)} tensors of {name} hold no values (first: {empty[0]}): they are on "
            "'meta', as device_map and offloading to CPU or disk leave them. Expected all weights in memory. Load the "
            "module without device_map, or pass the folder: hc.load(folder, device=...)."
        )
    if len(devices := sorted({str(tensor.device) for tensor in tensors.values()})) > 1:
        raise ModelError(
            f"{name} is on several devices ({', '.join(devices)}). Expected one. Load it without device_map, or "
            "pass the folder: hc.load(folder, device=...)."
        )
