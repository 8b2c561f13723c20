"""The floating type that a model computes in: its name, and a warning where it rounds too coarsely for effects."""

from typing import Any

import torch

from hc_interp.errors import ModelError, warn


def dtype_named(dtype: Any) -> torch.dtype | None:
    """`torch.float32` and `"float32"` alike. Raises `ModelError` for what is no floating type."""
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is None or (isinstance(found, torch.dtype) and found.is_floating_point):
        return found
    raise ModelError(
        f"dtype={dtype!r} cannot hold weights. Give a floating type of torch, like torch.float32 or 'float32'."
    )


def dtype_name(dtype: torch.dtype) -> str:
    """`"float32"` of `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def warn_below_float32(dtype: torch.dtype, name: str, what: str) -> None:
    """Warn that `what` was asked of a model whose numbers are coarser than float32."""
    if torch.finfo(dtype).bits >= 32:
        return
    warn(
        f"{what} was asked of {name}, which computes in {dtype_name(dtype)}. Effects are small differences of logits, "
        "so its rounding changes which of them are significant. Load the model in float32: hc.load(..., "
        "dtype='float32'), --dtype float32.",
    )
