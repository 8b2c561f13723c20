"""`Encoder`: a post-norm encoder classifier as a `Stack`; its output reads the first position."""

from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hc_interp.models.hooked import HookedModel
from hc_interp.patching.engine.kernels import attend_first, attention, linear
from hc_interp.patching.engine.stack import Stack


class EncoderLayer:
    """One layer's weights, with those that are composed from several."""

    def __init__(self, model: HookedModel, layer: int) -> None:
        geometry = model.geometry
        self.norm_1: Any
        self.norm_2: Any
        self.norm_1, self.norm_2 = geometry.norms(layer)
        self.q, self.k, self.v = (geometry.part(name, layer) for name in "qkv")
        self.mlp_in: Any = geometry.part("mlp_in", layer)
        self.mlp_out: Any = geometry.part("mlp_out", layer)
        # attrgetter: an activation need not be a module
        self.activation: Any = attrgetter(geometry.path("activation", layer))(geometry.module)
        self.w_o = geometry.w_out(layer)

    @cached_property
    def qkv(self) -> tuple[Tensor, Tensor]:
        """One projection to q, k and v of all heads."""
        parts = (self.q, self.k, self.v)
        return torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])

    @cached_property
    def centred(self) -> Float[Tensor, "d_mlp d_model"]:
        """The MLP's first projection after the LayerNorm's gain, and after its centring: rows sum to 0.

        `W_in LN(u) + b = (centred @ u) / std(u) + centred_bias`: linear in `u` but for one number a position.
        """
        weight = self.mlp_in.weight * self.norm_1.weight
        return weight - weight.mean(dim=1, keepdim=True)

    @cached_property
    def centred_bias(self) -> Float[Tensor, " d_mlp"]:
        return self.mlp_in.bias + self.mlp_in.weight @ self.norm_1.bias

    @cached_property
    def composed(self) -> Float[Tensor, "head d_head d_mlp"]:
        """From a head's `z` to the MLP's first projection: `W_O` and `centred` in one."""
        return torch.einsum("hdm,fm->hdf", self.w_o, self.centred)


class Encoder(Stack):
    at = 0

    def __init__(self, model: HookedModel) -> None:
        super().__init__(model)
        self.layers = [EncoderLayer(model, i) for i in range(model.n_layers)]

    def attention_reads(self, layer: int, x: Tensor) -> Tensor:
        return x

    def after_attention(self, layer: int, total: Tensor) -> Tensor:
        return norm(total, self.layers[layer].norm_1)

    def after_mlp(self, layer: int, total: Tensor) -> Tensor:
        return norm(total, self.layers[layer].norm_2)

    def project(self, layer: int, read: Tensor) -> Tensor:
        return linear(read, *self.layers[layer].qkv).unflatten(-1, (3, self.model.n_heads, -1))

    def by_head(self, layer: int, name: str) -> Tensor:
        weight = getattr(self.layers[layer], name).weight
        return weight.view(self.model.n_heads, -1, weight.shape[-1])

    def attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v)

    def z_read(self, layer: int, x: Tensor) -> Tensor:
        w = self.layers[layer]
        first = x[..., 0, :].reshape(-1, x.shape[-1])
        q = linear(first, w.q.weight, w.q.bias).unflatten(-1, (self.model.n_heads, -1))
        b_v = w.v.bias.view(self.model.n_heads, -1)
        z = attend_first(x.reshape(-1, *x.shape[-2:]), q, self.by_head(layer, "k"), self.by_head(layer, "v"), b_v)
        return z.view(*x.shape[:-2], 1, *z.shape[1:])

    def mlp(self, layer: int, mid: Tensor) -> Tensor:
        w = self.layers[layer]
        return linear(act(w.activation, linear(mid, w.mlp_in.weight, w.mlp_in.bias)), w.mlp_out.weight, w.mlp_out.bias)

    def logits(self, row: Tensor) -> Tensor:
        classify = self.geometry.family.classify
        assert classify is not None
        flat = classify(self.geometry.module, row.reshape(-1, row.shape[-1]))
        return flat.view(*row.shape[:-1], -1)

    def before_mlp(self, layer: int, sums: Tensor) -> Tensor:
        """Clean's part of the MLP's first projection."""
        return linear(sums, self.layers[layer].centred, None)

    def moved(self, layer: int, sums: Tensor, known: Tensor | None, heads: list[int], change: Tensor):
        """The MLP's first projection is linear in the sum before the LayerNorm but for its scale: clean's (`known`) and
        `dz` through the composed weights, which costs `d_head / d_model` of projecting the whole stream.
        """
        assert known is not None
        w = self.layers[layer]
        gain = w.norm_1
        u = (change @ w.w_o[heads].flatten(0, 1)).add_(sums)
        mid, _, scale = torch.native_layer_norm(u, gain.normalized_shape, gain.weight, gain.bias, gain.eps)
        scale = scale.to(u.dtype)  # float32 in a half-precision model
        hidden = torch.addcmul(w.centred_bias, known, scale)
        hidden.view(-1, hidden.shape[-1]).addmm_(
            (change * scale).view(-1, change.shape[-1]), w.composed[heads].flatten(0, 1)
        )
        return mid, linear(act(w.activation, hidden), w.mlp_out.weight, w.mlp_out.bias)

    def carry_attention(self, layer: int, total: Tensor, tangents: Sequence[Tensor]) -> list[Tensor]:
        return norm_tangents(total, self.layers[layer].norm_1, tangents)

    def carry_mlp(self, layer: int, total: Tensor, tangents: Sequence[Tensor]) -> list[Tensor]:
        return norm_tangents(total, self.layers[layer].norm_2, tangents)

    def to_stream(self, layer: int, x: Tensor, gradient: Tensor) -> Tensor:
        return gradient


def act(activation: Any, hidden: Tensor) -> Tensor:
    """The MLP's activation; the exact GELU in place, since its tensor is the largest there is."""
    if getattr(activation, "act", activation) is nn.functional.gelu and not torch.is_grad_enabled():
        return torch.ops.aten.gelu_(hidden)
    return activation(hidden)


def norm(x: Float[Tensor, "*rows d_model"], layer_norm: Any) -> Float[Tensor, "*rows d_model"]:
    return nn.functional.layer_norm(x, layer_norm.normalized_shape, layer_norm.weight, layer_norm.bias, layer_norm.eps)


def norm_tangents(
    x: Float[Tensor, "batch pos d_model"], layer_norm: Any, tangents: Sequence[Float[Tensor, "batch pos d_model"]]
) -> list[Float[Tensor, "batch pos d_model"]]:
    """The LayerNorm's Jacobian at `x` times each tangent.

    It is the gain times a symmetric matrix (centring, then the projection off the normalized input, over the standard
    deviation), so that the backward kernel without gain computes it: one pass over memory.
    """
    shape, eps = layer_norm.normalized_shape, layer_norm.eps
    _, mean, scale = torch.native_layer_norm(x, shape, None, None, eps)
    backward = torch.ops.aten.native_layer_norm_backward
    return [
        backward(t.contiguous(), x, shape, mean, scale, None, None, [True, False, False])[0].mul_(layer_norm.weight)
        for t in tangents
    ]
