"""The nnsight backend: taps are inputs and outputs of the modules in an `NNsight` tree."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.models.geometry import Geometry
from hc_interp.models.taps import TAP_SHAPES, Handler, Tap

# The part of a `Family` at whose input or output each tap is.
TAP_MODULES = {
    "block_in": ("block", "input"),
    "qkv_in": ("q", "input"),
    "q": ("q", "output"),
    "k": ("k", "output"),
    "v": ("v", "output"),
    "z": ("o", "input"),
    "attn_out": ("o", "output"),
    "mid": ("norm_1", "output"),
    "mlp_out": ("mlp_out", "output"),
    "block_out": ("block", "output"),
    "head_in": ("head", "input"),
}
_EXECUTION_ORDER = {name: i for i, name in enumerate(TAP_SHAPES)}


def build_nnsight(tree: nn.Module) -> Any:
    """An `NNsight` object around `tree`. nnsight changes the modules in place, so `tree` must not be used elsewhere.

    In nnsight `output` is the value of a module, so a submodule named `output` (BERT has one in every layer) is called
    `E_output`. nnsight's warning about each of them is suppressed here.
    """
    from nnsight import NNsight

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Module '.*' has a submodule named 'output'")
        return NNsight(tree)


class NNsightBackend:
    """Runs the wrapped module in one trace, and calls each handler when the pass reaches its tap."""

    name = "nnsight"

    def __init__(self, wrapped: Any, geometry: Geometry) -> None:
        self.wrapped = wrapped
        self.geometry = geometry
        self._modules = dict(wrapped.modules(names=True))

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        from nnsight import save

        visits = self._visits(handlers)
        inputs = self.geometry.inputs(batch)
        # nnsight runs the block below beside the forward pass, and the block waits for each value that it reads. An
        # exception that a handler raises (StopForward too) ends the pass and leaves the trace unchanged.
        with self.wrapped.trace(batch.input_ids, **inputs) as tracer:
            for visit in visits:
                visit.make()
            logits = save(tracer.result.logits)
        return logits

    def _visits(self, handlers: Mapping[Tap, Handler]) -> "list[Visit]":
        """The visits in execution order. All parts of one tensor (q, k and v of a joint projection) are one visit."""
        visits: dict[tuple[str, str], Visit] = {}
        for tap in sorted(handlers, key=_execution_order):
            part, side = TAP_MODULES[tap.name]
            path = f"{self.wrapped.path}.{self.geometry.path(part, tap.layer)}"
            joint = self.geometry.family.joint and tap.name in ("q", "k", "v")
            visit = visits.setdefault((path, side), Visit(self._modules[path], side, {}, 3 if joint else 1))
            by_head = "head" in TAP_SHAPES[tap.name].split()
            handler = _by_head(handlers[tap], self.geometry.d_head) if by_head else handlers[tap]
            visit.handlers["qkv".index(tap.name) if joint else 0] = handler
        return list(visits.values())


@dataclass(frozen=True, eq=False)
class Visit:
    """The handlers at one side of one module, its "input" or its "output".

    They handle the whole value, or one of `parts` equal parts of its last axis. `handlers` has them by part.
    """

    module: Any
    side: str
    handlers: dict[int, Handler]
    parts: int

    def make(self) -> None:
        """Read the value, call the handlers, write the result back. In a trace only: it waits for the pass."""
        value = getattr(self.module, self.side)
        parts = value.chunk(self.parts, dim=-1) if self.parts > 1 else (value,)
        new = [self.handlers[i](part) if i in self.handlers else part for i, part in enumerate(parts)]
        if any(one is not other for one, other in zip(new, parts, strict=True)):
            setattr(self.module, self.side, torch.cat(new, dim=-1) if self.parts > 1 else new[0])


def _by_head(handler: Handler, d_head: int) -> Handler:
    """A handler that splits the last axis into `head d_head` for another handler, and joins it again."""

    def handle(value: Tensor) -> Tensor:
        split = rearrange(value, "batch pos (head d_head) -> batch pos head d_head", d_head=d_head)
        new = handler(split)
        return value if new is split else rearrange(new, "batch pos head d_head -> batch pos (head d_head)")

    return handle


def _execution_order(tap: Tap) -> tuple[float, int]:
    """Sort key: nnsight gives values only in the order of the pass. A tap without a layer is the last."""
    return (math.inf if tap.layer is None else tap.layer, _EXECUTION_ORDER[tap.name])
