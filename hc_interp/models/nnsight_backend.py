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

# Which side of which part of a `Family` a tap is.
PLACES = {
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
_EXECUTION_ORDER = {name: place for place, name in enumerate(TAP_SHAPES)}


def build_nnsight(tree: nn.Module) -> Any:
    """An `NNsight` object around `tree`, whose modules it changes in place: give it a tree of its own.

    nnsight calls a submodule named `output` (BERT has one in every layer) `E_output`, since `output` is what it calls
    a module's value; it warns of each one, which is left out here.
    """
    from nnsight import NNsight

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Module '.*' has a submodule named 'output'")
        return NNsight(tree)


class NNsightBackend:
    """Runs the wrapped module in one trace, with each handler called where its tap is reached."""

    name = "nnsight"

    def __init__(self, wrapped: Any, geometry: Geometry) -> None:
        self.wrapped = wrapped
        self.geometry = geometry
        self._modules = dict(wrapped.modules(names=True))

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        from nnsight import save

        visits = self._visits(handlers)
        inputs = self.geometry.inputs(batch)
        # The block below does not run here: nnsight runs it beside the forward pass, pausing at each value it asks for.
        # An exception of a handler (StopForward too) unwinds the pass and leaves the trace as itself.
        with self.wrapped.trace(batch.input_ids, **inputs) as tracer:
            for visit in visits:
                visit.make()
            logits = save(tracer.result.logits)
        return logits

    def _visits(self, handlers: Mapping[Tap, Handler]) -> "list[Visit]":
        """In execution order; the parts of one tensor (q, k and v of a joint projection) are one visit."""
        visits: dict[tuple[str, str], Visit] = {}
        for tap in sorted(handlers, key=_execution_order):
            part, side = PLACES[tap.name]
            path = f"{self.wrapped.path}.{self.geometry.path(part, tap.layer)}"
            joint = self.geometry.family.joint and tap.name in ("q", "k", "v")
            visit = visits.setdefault((path, side), Visit(self._modules[path], side, {}, 3 if joint else 1))
            by_head = "head" in TAP_SHAPES[tap.name].split()
            handler = _by_head(handlers[tap], self.geometry.d_head) if by_head else handlers[tap]
            visit.handlers["qkv".index(tap.name) if joint else 0] = handler
        return list(visits.values())


@dataclass(frozen=True, eq=False)
class Visit:
    """Handlers at one side of one module: of its whole value, or of equal parts of the last axis, by place."""

    module: Any
    side: str
    handlers: dict[int, Handler]
    parts: int

    def make(self) -> None:
        """Read, handle and write back; waits for the pass to come here, so only inside a trace."""
        value = getattr(self.module, self.side)
        parts = value.chunk(self.parts, dim=-1) if self.parts > 1 else (value,)
        new = [self.handlers[place](part) if place in self.handlers else part for place, part in enumerate(parts)]
        if any(one is not other for one, other in zip(new, parts, strict=True)):
            setattr(self.module, self.side, torch.cat(new, dim=-1) if self.parts > 1 else new[0])


def _by_head(handler: Handler, d_head: int) -> Handler:
    """Show a handler the last axis as `head d_head`."""

    def handle(value: Tensor) -> Tensor:
        split = rearrange(value, "batch pos (head d_head) -> batch pos head d_head", d_head=d_head)
        new = handler(split)
        return value if new is split else rearrange(new, "batch pos head d_head -> batch pos (head d_head)")

    return handle


def _execution_order(tap: Tap) -> tuple[float, int]:
    """nnsight serves values only in the order in which the pass makes them; what has no layer comes last."""
    return (math.inf if tap.layer is None else tap.layer, _EXECUTION_ORDER[tap.name])
