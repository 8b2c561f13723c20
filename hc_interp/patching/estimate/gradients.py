"""Gradients of the metric at everything that a path can end in, from one backward pass (several for EAP-IG)."""

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
    """Of each example's own metric, by layer: at q, k, v (one tensor), at `z`, at what the MLP reads; at the output.

    `qkv[layer]` `[batch, pos, 3, head, d_head]`, `z[layer]` `[batch, pos, head, d_head]`, `mlp[layer]` and `output`
    `[batch, pos, d_model]`.
    """

    qkv: Sequence[Float[Tensor, "batch pos 3 head d_head"]]
    z: Sequence[Float[Tensor, "batch pos head d_head"]]
    mlp: Sequence[Float[Tensor, "batch pos d_model"]]
    output: Float[Tensor, "batch pos d_model"]


def gradients(stack: Stack, state: PairState, edits: Edits, steps: int = 1) -> Gradients:
    """At the clean run; with `steps` above 1 the mean over runs whose input moves from clean to corrupt (EAP-IG).

    The steps' inputs are the midpoints of `steps` equal pieces of the way.
    """
    embed = Site.embed()
    clean = state.paths.clean[embed]
    way = state.paths.corrupt[embed] - clean
    points = [0.0] if steps == 1 else [(i + 0.5) / steps for i in range(steps)]
    found = [_at(stack, state, edits, clean + point * way) for point in points]
    if len(found) == 1:
        return found[0]

    def mean(name: str) -> list[Tensor]:
        return [torch.stack(values).mean(0) for values in zip(*(getattr(one, name) for one in found), strict=True)]

    return Gradients(mean("qkv"), mean("z"), mean("mlp"), torch.stack([one.output for one in found]).mean(0))


@torch.enable_grad()
def _at(stack: Stack, state: PairState, edits: Edits, x: Float[Tensor, "batch pos d_model"]) -> Gradients:
    """One forward and one backward pass from this input, of the last MLP at the read position alone."""
    n, length = stack.depth, x.shape[1]
    x = x.detach().requires_grad_()
    qkv, zs, mlps = [], [], []
    for layer in range(n):
        qkv.append(stack.project(layer, stack.attention_reads(layer, x)))
        zs.append(stack.attention(layer, *qkv[-1].unbind(-3)))
        z = stack.edited(edits, Site(layer, "z"), zs[-1][None], length)[0]
        if layer == n - 1:
            z, x = z[:, stack.read], x[:, stack.read]
        mid = stack.after_attention(layer, stack.attn_out(layer, z) + x)
        mlps.append(mid.clone())  # a node of its own: what the MLP reads, without what passes it by
        out = stack.edited(edits, Site(layer, "mlp_out"), stack.mlp(layer, mlps[-1])[None], length)[0]
        x = stack.after_mlp(layer, mid + out)
    score = state.score(stack.logits(x[:, 0])).sum()
    found = torch.autograd.grad(score, [*qkv, *zs, *mlps, x], materialize_grads=True)
    full = [*found[: 3 * n - 1], *(_everywhere(stack, g, length) for g in found[3 * n - 1 :])]
    return Gradients(full[:n], full[n : 2 * n], full[2 * n : 3 * n], full[3 * n])


def _everywhere(
    stack: Stack, gradient: Float[Tensor, "batch 1 d_model"], length: int
) -> Float[Tensor, "batch pos d_model"]:
    found = gradient.new_zeros(gradient.shape[0], length, gradient.shape[2])
    found[:, stack.read] = gradient
    return found
