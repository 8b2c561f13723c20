"""Taps: the physical places that a backend must let us read and replace. Sites are built from them (`forward.py`).

A backend offers these tensors in this order in each layer; nothing else about an architecture reaches the rest of
the package, so a new backend or a new model family is one table from taps to its own names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hc_interp.data.batch import Batch

# name -> shape, in execution order
TAP_SHAPES = {
    "block_in": "batch pos d_model",  # the stream that enters the layer
    "qkv_in": "batch pos d_model",  # what q, k and v are projected from (after the norm where it stands before)
    "q": "batch pos head d_head",
    "k": "batch pos head d_head",  # one of each group where heads share keys and values
    "v": "batch pos head d_head",
    "z": "batch pos head d_head",  # input of the output projection
    "attn_out": "batch pos d_model",  # output of the output projection, bias included
    "mid": "batch pos d_model",  # post-LN only: output of the first LayerNorm
    "mlp_out": "batch pos d_model",  # output of the MLP's last projection, bias included
    "block_out": "batch pos d_model",
    "head_in": "...",  # what the head projects: [batch, d_model] in an encoder classifier, else [batch, pos, d_model]
}


@dataclass(frozen=True)
class Tap:
    layer: int | None
    name: str


# A handler sees the value at its tap and returns what stands there from then on.
Handler = Callable[[Tensor], Tensor]


class Backend(Protocol):
    """One way of running a model with handlers at taps."""

    name: str

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        """Run the model, calling each handler once at its tap; return the logits."""
        ...


class StopForward(Exception):
    """Raised by a handler when nothing later in the pass is wanted: control flow, not an error."""
