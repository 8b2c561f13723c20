"""Taps as inputs and outputs of the modules of a Hugging Face tree, for backends that run such a tree itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from einops import rearrange
from torch import Tensor

from hc_interp.models.geometry import Geometry
from hc_interp.models.joint_projection import JointProjection
from hc_interp.models.taps import TAP_SHAPES, Handler, Tap

# The part of a `Family` at whose input or output each tap is.
TAP_MODULES = {
    "block_in": ("block", "input"),
    "qkv_in": ("q", "input"),
    "q": ("q", "output"),
    "k": ("k", "output"),
    "v": ("v", "output"),
    "z": ("o", "input"),
    "o_out": ("o", "output"),
    "attn_out": ("o", "output"),
    "mid": ("norm_1", "output"),
    "mlp_out": ("mlp_out", "output"),
    "block_out": ("block", "output"),
    "head_in": ("head", "input"),
}
_NORMED = {"attn_out": "attn_norm", "mlp_out": "mlp_norm"}  # the norm at whose output a tap is, if the family has it
_EXECUTION_ORDER = {name: i for i, name in enumerate(TAP_SHAPES)}


@dataclass(frozen=True, eq=False)
class Visit:
    """The handlers at one side of the module at `path`, its "input" or its "output".

    They handle the whole value, or its parts by a joint projection. `handlers` has them by part. Of a module that puts
    out several values they handle the first.
    """

    path: str
    side: str
    handlers: dict[int, Handler]
    joint: JointProjection | None

    def __call__(self, value: Any) -> Any:
        """The value that replaces `value`: the same one if no handler changed it."""
        if isinstance(value, tuple):
            first = self(value[0])
            return value if first is value[0] else (first, *value[1:])
        parts = (value,) if self.joint is None else self.joint.split(value)
        new = [self.handlers[i](part) if i in self.handlers else part for i, part in enumerate(parts)]
        if all(one is other for one, other in zip(new, parts, strict=True)):
            return value
        return new[0] if self.joint is None else self.joint.join(new)


def visits(geometry: Geometry, handlers: Mapping[Tap, Handler]) -> list[Visit]:
    """The visits in execution order. All parts of one tensor (q, k and v of a joint projection) are one visit."""
    found: dict[tuple[str, str], Visit] = {}
    for tap in sorted(handlers, key=_execution_order):
        part, side = TAP_MODULES[tap.name]
        norm = _NORMED.get(tap.name)
        if norm is not None and getattr(geometry.family, norm) is not None:
            part = norm
        path = geometry.path(part, tap.layer)
        joint = geometry.joint if tap.name in ("q", "k", "v") else None
        visit = found.setdefault((path, side), Visit(path, side, {}, joint))
        by_head = "head" in TAP_SHAPES[tap.name].split()
        handler = _by_head(handlers[tap], geometry.d_head) if by_head else handlers[tap]
        if joint and tap.layer is not None and geometry.added_bias(tap.name) is not None:
            handler = _with_bias(handler, geometry.bias(tap.layer, tap.name))
        visit.handlers["qkv".index(tap.name) if joint else 0] = handler
    return list(found.values())


def _by_head(handler: Handler, d_head: int) -> Handler:
    """A handler that splits the last axis into `head d_head` for another handler, and joins it again."""

    def handle(value: Tensor) -> Tensor:
        split = rearrange(value, "batch pos (head d_head) -> batch pos head d_head", d_head=d_head)
        new = handler(split)
        return value if new is split else rearrange(new, "batch pos head d_head -> batch pos (head d_head)")

    return handle


def _with_bias(handler: Handler, bias: Any) -> Handler:
    """A handler of a value to which the module adds `bias` later, for another handler, of the value with its bias."""

    def handle(value: Tensor) -> Tensor:
        with_bias = value + bias
        new = handler(with_bias)
        return value if new is with_bias else value + (new - with_bias)

    return handle


def _execution_order(tap: Tap) -> tuple[float, int]:
    """Sort key. A tap without a layer is the last."""
    return (math.inf if tap.layer is None else tap.layer, _EXECUTION_ORDER[tap.name])
