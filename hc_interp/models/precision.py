"""The floating type that a model computes in: its name, and a warning if it is too coarse to measure effects."""

from typing import Any

import torch

from hc_interp.errors import ModelError, warn

DTYPES = ("float32", "float64", "bfloat16", "float16")  # what torch computes in


def dtype_named(dtype: Any) -> torch.dtype | None:
    """The type of this name; a type itself, or None, is returned. Raises `ModelError` for one not in `DTYPES`."""
    name = dtype_name(dtype) if isinstance(dtype, torch.dtype) else dtype
    if dtype is None or (isinstance(name, str) and name in DTYPES):
        return dtype and getattr(torch, name)
    raise ModelError(
        f"dtype={dtype!r} cannot hold weights. Give a floating type that torch computes in, as torch.float32 or "
        f"'float32': {', '.join(DTYPES)}."
    )


def dtype_name(dtype: torch.dtype) -> str:
    """`"float32"` of `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def warn_below_float32(dtype: torch.dtype, name: str, what: str) -> None:
    """Warn that the computation `what` was requested of a model whose numbers are coarser than float32."""
    if torch.finfo(dtype).bits >= 32:
        return
    warn(
        f"{what} was asked of {name}, which computes in {dtype_name(dtype)}. Effects are small differences of logits, "
        "so its rounding changes which of them are significant. Load the model in float32: hc.load(..., "
        "dtype='float32'), --dtype float32.",
    )
