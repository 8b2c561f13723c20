"""Gradients of the metric at every place where a path can end, from one backward pass of one run."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.models.site import Site
from hc_interp.patching.engine.stack import Edits, Stack
from hc_interp.patching.pair_state import PairState


@dataclass(frozen=True)
class Gradients:
    """Gradients of each example's own metric in one run, and the values of that run that the LayerNorms read.

    The gradients are `qkv[layer]` at q, k and v, `mlp[layer]` at the MLP's input, and `output` at the last layer's
    output; and, where q and k of all heads are normalised together, `z[layer]` at the heads' z. The values are
    `stream[layer]`, the residual stream that enters the layer; `inputs[layer]`, q, k and v; `attention_sum[layer]`, the
    stream plus attention's output; `mlp_sum[layer]`, the stream after attention plus the MLP's output; and
    `o_out[layer]`, the output of attention's projection. In the last layer `mlp`, `attention_sum` and `mlp_sum` hold
    only the position that the output reads.
    """

    qkv: Sequence[Float[Tensor, "batch pos 3 head d_head"]]
    mlp: Sequence[Float[Tensor, "batch _ d_model"]]
    output: Float[Tensor, "batch 1 d_model"]
    stream: Sequence[Float[Tensor, "batch pos d_model"]]
    attention_sum: Sequence[Float[Tensor, "batch _ d_model"]]
    mlp_sum: Sequence[Float[Tensor, "batch _ d_model"]]
    o_out: Sequence[Float[Tensor, "batch pos d_model"]]
    z: Sequence[Float[Tensor, "batch pos head d_head"]]
    inputs: Sequence[Float[Tensor, "batch pos 3 head d_head"]]


@torch.enable_grad()
def gradients(stack: Stack, state: PairState, edits: Edits, x: Float[Tensor, "batch pos d_model"]) -> Gradients:
    """The gradients in the run that starts from `x`, the input of layer 0: one forward and one backward pass."""
    n, length = stack.depth, x.shape[1]
    x = x.detach().requires_grad_()
    qkv, mlps, stream, attention_sum, mlp_sum, o_out, heads = [], [], [], [], [], [], []
    joint = any(rule.joint_norms for rule in stack.geometry.rules)
    for layer in range(n):
        stream.append(x.detach())
        qkv.append(stack.project(layer, stack.attention_input(layer, x)))
        z = stack.attention(layer, *qkv[-1].unbind(-3))
        heads += [z] * joint
        z = stack.edited(edits, Site(layer, "z"), z[None], length)[0]
        o_out.append(stack.o_out(layer, z.detach()))
        if layer == n - 1:
            z, x = z[:, stack.read], x[:, stack.read]
        total = x + stack.attn_out(layer, z)
        attention_sum.append(total.detach())
        mid = stack.after_attention(layer, total)
        mlps.append(stack.mlp_reads(x, mid).clone())  # a node of its own: its gradient leaves out the residual branch
        total = mid + stack.edited(edits, Site(layer, "mlp_out"), stack.mlp(layer, mlps[-1])[None], length)[0]
        mlp_sum.append(total.detach())
        x = stack.after_mlp(layer, total)
    score = state.score(stack.logits(x[:, 0])).sum()
    slopes = torch.autograd.grad(score, [*qkv, *mlps, x, *heads], materialize_grads=True)
    inputs = [value.detach() for value in qkv]
    return Gradients(
        slopes[:n], slopes[n : 2 * n], slopes[2 * n], stream, attention_sum, mlp_sum, o_out, slopes[2 * n + 1 :], inputs
    )
