"""Gradients of the metric at every place where a path can end, from one backward pass of one run."""

from collections.abc import Collection, Mapping, Sequence
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
    `o_out[layer]`, the output of attention's projection, in a family that normalises it. In the last layer `mlp`,
    `attention_sum` and `mlp_sum` hold only the position that the output reads. `qkv_at[layer, roles]` are gradients at
    q, k and v through the layer's `z` at the positions of these roles alone.
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
    qkv_at: Mapping[tuple[int, tuple[str, ...]], Float[Tensor, "batch pos 3 head d_head"]]


@torch.enable_grad()
def gradients(
    stack: Stack,
    state: PairState,
    edits: Edits,
    x: Float[Tensor, "batch pos d_model"],
    at: Collection[tuple[int, tuple[str, ...]]] = (),
) -> Gradients:
    """The gradients in the run that starts from `x`, the input of layer 0: one forward and one backward pass.

    `at` are the layers and roles of `qkv_at`; each takes one more backward pass, through that layer's attention alone.
    """
    n, length = stack.depth, x.shape[1]
    x = x.detach().requires_grad_()
    qkv, mlps, stream, attention_sum, mlp_sum, o_out, own_z, all_z = [], [], [], [], [], [], [], []
    joint = any(rule.joint_norms for rule in stack.geometry.rules)
    normed = stack.geometry.family.attn_norm is not None
    for layer in range(n):
        stream.append(x.detach())
        qkv.append(stack.project(layer, stack.attention_input(layer, x)))
        z = stack.attention(layer, *qkv[-1].unbind(-3))
        own_z += [z] * joint
        z = stack.edited(edits, Site(layer, "z"), z[None], length)[0]
        if normed:
            o_out.append(stack.o_out(layer, z.detach()))
        all_z.append(z)
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
    wanted = [*qkv, *mlps, x, *all_z, *own_z]
    slopes = torch.autograd.grad(score, wanted, retain_graph=bool(at), materialize_grads=True)
    at_z, at_own_z = slopes[2 * n + 1 : 3 * n + 1], slopes[3 * n + 1 :]
    inputs = [value.detach() for value in qkv]
    qkv_at = {}
    for layer, roles in at:
        where = state.paths.positions(roles)[:, :, None, None]
        (qkv_at[layer, roles],) = torch.autograd.grad(
            all_z[layer], qkv[layer], at_z[layer] * where, retain_graph=True, materialize_grads=True
        )
    return Gradients(
        slopes[:n], slopes[n : 2 * n], slopes[2 * n], stream, attention_sum, mlp_sum, o_out, at_own_z, inputs, qkv_at
    )
