"""Taps: the tensors of a pass that a backend must let the package read and replace. `forward.py` builds sites on them.

A backend offers these tensors, in this order, in each layer. The rest of the package depends on nothing else in a
backend, so a new backend or a new model family is one table from taps to its own names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hc_interp.data.batch import Batch

# name -> shape, in execution order
TAP_SHAPES = {
    "block_in": "batch pos d_model",  # the stream that enters the layer
    "qkv_in": "batch pos d_model",  # the input of the projections to q, k and v (pre-LN: normalised)
    "q": "batch pos head d_head",
    "k": "batch pos head d_head",  # if groups of heads share keys and values: [batch, pos, group, d_head]
    "v": "batch pos head d_head",
    "z": "batch pos head d_head",  # input of the output projection
    "o_out": "batch pos d_model",  # output of the output projection, bias included
    "attn_out": "batch pos d_model",  # the same, after the norm of attention's output if the family has one
    "mid": "batch pos d_model",  # post-LN only: output of the first LayerNorm
    "mlp_out": "batch pos d_model",  # output of the MLP's last projection, or of the norm after it if there is one
    "block_out": "batch pos d_model",
    "head_in": "...",  # the head's input: [batch, d_model] in an encoder classifier, else [batch, pos, d_model]
}


@dataclass(frozen=True)
class Tap:
    """A tap of a layer, or of the head if `layer` is None."""

    layer: int | None
    name: str


# A handler is called with the value at its tap and returns the value that the pass goes on with.
Handler = Callable[[Tensor], Tensor]


class Backend(Protocol):
    """One way of running a model with handlers at taps."""

    name: str

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        """Run the model, calling each handler once at its tap; return the logits."""
        ...


class StopForward(Exception):
    """A handler raises it to end the pass when no later value is needed. It is not an error."""
