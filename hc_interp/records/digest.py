"""A short name for everything that shaped a result, so that work which is resumed is known to be the same work."""

import dataclasses
import hashlib
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

NAME_ONLY = {"name only": True}  # metadata of a dataclass field


@runtime_checkable
class Identified(Protocol):
    """An object that says by which values it is known, as models and contrast pairs do."""

    def identity(self) -> Any: ...


def digest(*values: Any) -> str:
    """SHA-256 over the content of settings, first 16 hex digits.

    A function is known by its name, its code, and the values of its defaults and of the variables that it closes over;
    any other callable object by its type and attributes. What they look up in a module is not seen. An object that has
    `identity()` is known by what that returns. Fields of a dataclass that are marked `NAME_ONLY` say where its content
    came from, and are left out.
    """
    found = hashlib.sha256()
    _feed(found, values)
    return found.hexdigest()[:16]


def _feed(found: Any, value: Any, inside: frozenset[int] = frozenset()) -> None:
    """`inside` are the functions and objects that `value` is a part of: one that refers to itself is not fed again."""
    if id(value) in inside:
        found.update(b"itself")
        return
    if isinstance(value, Tensor | np.ndarray):
        array = torch.as_tensor(value).detach().cpu().contiguous()
        found.update(repr((array.dtype, tuple(array.shape))).encode())
        found.update(array.flatten().view(torch.uint8).numpy().data if array.numel() else b"")
    elif isinstance(value, Identified) and not isinstance(value, type):
        _feed(found, value.identity(), inside)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = [field for field in dataclasses.fields(value) if field.init and not field.metadata.get("name only")]
        fields = {field.name: getattr(value, field.name) for field in own}
        _feed(found, (type(value).__name__, fields), inside)
    elif isinstance(value, dict):
        _feed(found, tuple(value.items()), inside)
    elif isinstance(value, list | tuple):
        found.update(f"{type(value).__name__} of {len(value)}".encode())
        for item in value:
            _feed(found, item, inside)
    elif isinstance(value, CodeType):
        _feed(found, (value.co_code, value.co_names, value.co_consts), inside)
    elif isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if not _empty(cell)]
        own = (value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__, cells)
        _feed(found, own, inside | {id(value)})
    elif isinstance(value, MethodType):
        _feed(found, (value.__func__, value.__self__), inside)
    elif isinstance(value, partial):
        _feed(found, (value.func, value.args, value.keywords), inside)
    elif isinstance(value, torch.nn.Module):
        _feed(found, (type(value).__qualname__, value.state_dict()), inside)
    elif callable(value) or type(value).__repr__ is object.__repr__:  # that repr is an address: another one tomorrow
        own = {} if isinstance(value, type) else getattr(value, "__dict__", {})
        _feed(found, (getattr(value, "__qualname__", type(value).__qualname__), own), inside | {id(value)})
    else:
        found.update(repr(value).encode())


def _empty(cell: Any) -> bool:
    """Whether the variable that a function closes over has no value yet."""
    try:
        cell.cell_contents  # noqa: B018 - an empty cell says so by raising
    except ValueError:
        return True
    return False
