"""The nnsight backend: taps are inputs and outputs of the modules in an `NNsight` tree."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from einops import rearrange
from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.models.geometry import Geometry, model_inputs
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
    "pooled": ("classifier", "input"),
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

        visits = [self._visit(tap, handlers[tap]) for tap in sorted(handlers, key=_execution_order)]
        inputs = model_inputs(batch, self.geometry.module)
        # The block below does not run here: nnsight runs it beside the forward pass, pausing at each value it asks for.
        # An exception of a handler (StopForward too) unwinds the pass and leaves the trace as itself.
        with self.wrapped.trace(batch.input_ids, **inputs) as tracer:
            for visit in visits:
                visit.make()
            logits = save(tracer.result.logits)
        return logits

    def _visit(self, tap: Tap, handler: Handler) -> "Visit":
        part, side = PLACES[tap.name]
        path = f"{self.wrapped.path}.{self.geometry.path(part, tap.layer)}"
        heads = self.geometry.n_heads if "head" in TAP_SHAPES[tap.name].split() else None
        return Visit(self._modules[path], side, handler, heads)


@dataclass(frozen=True, eq=False)
class Visit:
    """A handler at one side of one module; `heads` splits the last axis for the handler into `head d_head`."""

    module: Any
    side: str
    handler: Handler
    heads: int | None

    def make(self) -> None:
        """Read, handle and write back; waits for the pass to come here, so only inside a trace."""
        value = getattr(self.module, self.side)
        if self.heads is not None:
            value = rearrange(value, "batch pos (head d_head) -> batch pos head d_head", head=self.heads)
        new = self.handler(value)
        if new is value:
            return
        if self.heads is not None:
            new = rearrange(new, "batch pos head d_head -> batch pos (head d_head)")
        setattr(self.module, self.side, new)


def _execution_order(tap: Tap) -> tuple[float, int]:
    """nnsight serves values only in the order in which the pass makes them; what has no layer comes last."""
    return (math.inf if tap.layer is None else tap.layer, _EXECUTION_ORDER[tap.name])
