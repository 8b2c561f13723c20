"""A short name for everything that shaped a result, so that work which is resumed is known to be the same work."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hc_interp.components import Subnetwork
from hc_interp.data.contrast import ContrastPairs
from hc_interp.models.hooked import HookedModel


def digest(*values: Any) -> str:
    """SHA-256 over the content of settings, first 16 hex digits. A function is known by its name and its code."""
    found = hashlib.sha256()
    _feed(found, values)
    return found.hexdigest()[:16]


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Tensor | np.ndarray):
        array = torch.as_tensor(value).detach().cpu().contiguous()
        found.update(repr((array.dtype, tuple(array.shape))).encode())
        found.update(array.flatten().view(torch.uint8).numpy().data if array.numel() else b"")
    elif isinstance(value, HookedModel):
        found.update(value.fingerprint.encode())
    elif isinstance(value, ContrastPairs):
        found.update(repr((value.fingerprint(), value.ids)).encode())
    elif isinstance(value, Subnetwork):
        found.update(repr(value.to_dict()).encode())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        _feed(found, (type(value).__name__, fields))
    elif isinstance(value, dict):
        _feed(found, tuple(value.items()))
    elif isinstance(value, list | tuple):
        found.update(f"{type(value).__name__} of {len(value)}".encode())
        for item in value:
            _feed(found, item)
    elif callable(value):
        code = getattr(value, "__code__", None)
        found.update(repr((getattr(value, "__qualname__", type(value)), code and code.co_code)).encode())
    else:
        found.update(repr(value).encode())
