"""Gradients of the metric at everything that a path can end in, from one backward pass (several for EAP-IG)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.models.site import Site
from hc_interp.patching.encoder import Edits, Encoder, edited, norm
from hc_interp.patching.ground import Ground
from hc_interp.patching.kernels import attention, linear


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


def gradients(encoder: Encoder, ground: Ground, edits: Edits, steps: int = 1) -> Gradients:
    """At the clean run; with `steps` above 1 the mean over runs whose input moves from clean to corrupt (EAP-IG).

    The steps' inputs are the midpoints of `steps` equal pieces of the way.
    """
    embed = Site.embed()
    clean = ground.paths.clean[embed]
    way = ground.paths.corrupt[embed] - clean
    points = [0.0] if steps == 1 else [(i + 0.5) / steps for i in range(steps)]
    found = [_at(encoder, ground, edits, clean + point * way) for point in points]
    if len(found) == 1:
        return found[0]

    def mean(name: str) -> list[Tensor]:
        return [torch.stack(values).mean(0) for values in zip(*(getattr(one, name) for one in found), strict=True)]

    return Gradients(mean("qkv"), mean("z"), mean("mlp"), torch.stack([one.output for one in found]).mean(0))


@torch.enable_grad()
def _at(encoder: Encoder, ground: Ground, edits: Edits, x: Float[Tensor, "batch pos d_model"]) -> Gradients:
    """One forward and one backward pass from this input, of the last MLP at the first position alone."""
    n, length = len(encoder.layers), x.shape[1]
    x = x.detach().requires_grad_()
    qkv, zs, mlps = [], [], []
    for layer, w in enumerate(encoder.layers):
        qkv.append(linear(x, *w.qkv).unflatten(-1, (3, w.n_heads, -1)))
        zs.append(attention(*qkv[-1].unbind(-3)))
        z = edited(edits, Site(layer, "z"), zs[-1][None], length)[0]
        if layer == n - 1:
            z, x = z[:, :1], x[:, :1]
        mid = norm(encoder.attn_out(layer, z) + x, w.norm_1)
        mlps.append(mid.clone())  # a node of its own: what the MLP reads, without what passes it by
        out = edited(edits, Site(layer, "mlp_out"), encoder.mlp(layer, mlps[-1])[None], length)[0]
        x = norm(mid + out, w.norm_2)
    score = ground.score(encoder.logits(x[:, 0])).sum()
    found = torch.autograd.grad(score, [*qkv, *zs, *mlps, x], materialize_grads=True)
    full = [*found[: 3 * n - 1], *(_at_first(g, length) for g in found[3 * n - 1 :])]
    return Gradients(full[:n], full[n : 2 * n], full[2 * n : 3 * n], full[3 * n])


def _at_first(gradient: Float[Tensor, "batch 1 d_model"], length: int) -> Float[Tensor, "batch pos d_model"]:
    found = gradient.new_zeros(gradient.shape[0], length, gradient.shape[2])
    found[:, :1] = gradient
    return found
