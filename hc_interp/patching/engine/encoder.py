"""`EncoderStack`: a post-LayerNorm encoder classifier as a `Stack`; its output reads the first position."""

from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hc_interp.interventions.path_steps import SiteValues
from hc_interp.models.attention_rule import Heads
from hc_interp.models.hooked import HookedModel
from hc_interp.patching.engine.added_scores import AddedScores
from hc_interp.patching.engine.kernels import attend_first, attention, linear
from hc_interp.patching.engine.stack import Stack


class EncoderLayer:
    """One layer's weights and products of them."""

    def __init__(self, model: HookedModel, layer: int) -> None:
        geometry = model.geometry
        self.norm_1: Any
        self.norm_2: Any
        self.norm_1, self.norm_2 = geometry.part("norm_1", layer), geometry.part("norm_2", layer)
        self.weights = {name: geometry.weight(layer, name) for name in "qkv"}
        self.biases = {name: geometry.b_in(layer, name).flatten() for name in "qkv"}
        self.mlp_in: Any = geometry.part("mlp_in", layer)
        self.mlp_out: Any = geometry.part("mlp_out", layer)
        # attrgetter, because an activation may be a function, which get_submodule does not find.
        self.activation: Any = attrgetter(geometry.path("activation", layer))(geometry.module)
        self.w_o = geometry.w_out(layer)

    @cached_property
    def qkv(self) -> tuple[Float[Tensor, "out d_model"], Float[Tensor, " out"]]:
        """Weight and bias of one projection to q, k and v of all heads."""
        return torch.cat([*self.weights.values()]), torch.cat([*self.biases.values()])

    @cached_property
    def centred(self) -> Float[Tensor, "d_mlp d_model"]:
        """The MLP's first projection with the LayerNorm's gain and centring in it: its rows sum to 0.

        `W_in LN(u) + b = (centred @ u) / std(u) + centred_bias`: linear in `u` except for one scale per position.
        """
        weight = self.mlp_in.weight * self.norm_1.weight
        return weight - weight.mean(dim=1, keepdim=True)

    @cached_property
    def centred_bias(self) -> Float[Tensor, " d_mlp"]:
        return self.mlp_in.bias + self.mlp_in.weight @ self.norm_1.bias

    @cached_property
    def composed(self) -> Float[Tensor, "head d_head d_mlp"]:
        """The product of `W_O` and `centred`: from a head's `z` to the MLP's first projection."""
        return torch.einsum("hdm,fm->hdf", self.w_o, self.centred)


class EncoderStack(Stack):
    at = 0

    def __init__(self, model: HookedModel) -> None:
        super().__init__(model)
        self.layers = [EncoderLayer(model, i) for i in range(model.n_layers)]
        self._added: dict[tuple[int, int], AddedScores] = {}  # by layer and number of positions

    def attention_input(self, layer: int, x: Tensor) -> Tensor:
        return x

    def after_attention(self, layer: int, total: Tensor) -> Tensor:
        return layer_norm(total, self.layers[layer].norm_1)

    def after_mlp(self, layer: int, total: Tensor) -> Tensor:
        return layer_norm(total, self.layers[layer].norm_2)

    def project(self, layer: int, x: Tensor) -> Tensor:
        return linear(x, *self.layers[layer].qkv).unflatten(-1, (3, self.model.n_heads, -1))

    def by_head(self, layer: int, name: str) -> Tensor:
        return self.layers[layer].weights[name].unflatten(0, (self.model.n_heads, -1))

    def attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: Heads = None) -> Tensor:
        added = self._added_scores(layer, k.shape[-3]).of_all(q, k, heads)
        return attention(q, k, v, added, self.geometry.rules[layer].scale)

    def _added_scores(self, layer: int, length: int) -> AddedScores:
        """What the distances between so many positions add to the scores."""
        if (layer, length) not in self._added:
            w = self.layers[layer]
            k_bias = w.biases["k"].unflatten(0, (self.model.n_heads, -1))
            self._added[layer, length] = AddedScores.of(
                self.geometry.rules[layer], length, self.by_head(layer, "k"), k_bias
            )
        return self._added[layer, length]

    def z_read(self, layer: int, x: Tensor) -> Tensor:
        w = self.layers[layer]
        first = x[..., 0, :].reshape(-1, x.shape[-1])
        q = linear(first, w.weights["q"], w.biases["q"]).unflatten(-1, (self.model.n_heads, -1))
        b_v = w.biases["v"].unflatten(0, (self.model.n_heads, -1))
        rows = x.reshape(-1, *x.shape[-2:])
        added = self._added_scores(layer, x.shape[-2]).of_first(q, rows)
        scale = self.geometry.rules[layer].scale
        z = attend_first(rows, q, self.by_head(layer, "k"), self.by_head(layer, "v"), b_v, added, scale)
        return z.view(*x.shape[:-2], 1, *z.shape[1:])

    def mlp(self, layer: int, mid: Tensor) -> Tensor:
        w = self.layers[layer]
        hidden = activate(w.activation, linear(mid, w.mlp_in.weight, w.mlp_in.bias))
        return linear(hidden, w.mlp_out.weight, w.mlp_out.bias)

    def logits(self, row: Tensor) -> Tensor:
        classify = self.geometry.family.classify
        assert classify is not None
        flat = classify(self.geometry.module, row.reshape(-1, row.shape[-1]))
        return flat.view(*row.shape[:-1], -1)

    def mlp_cache(self, layer: int, sums: Tensor, clean: SiteValues) -> Tensor:
        """`centred @ sums`: clean's part of the MLP's first projection."""
        return linear(sums, self.layers[layer].centred, None)

    def mid_and_mlp(
        self, layer: int, sums: Tensor, cache: Tensor | None, heads: list[int], change: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The MLP's first projection is linear in the sum before the LayerNorm, except for the LayerNorm's scale.

        It is therefore clean's part (`cache`) plus `dz` times `composed`. This costs `d_head / d_model` of projecting
        the whole stream.
        """
        assert cache is not None
        w = self.layers[layer]
        norm = w.norm_1
        u = (change @ w.w_o[heads].flatten(0, 1)).add_(sums)
        mid, _, scale = torch.native_layer_norm(u, norm.weight.shape, norm.weight, norm.bias, epsilon(norm))
        scale = scale.to(u.dtype)  # float32 in a half-precision model
        hidden = torch.addcmul(w.centred_bias, cache, scale)
        hidden.view(-1, hidden.shape[-1]).addmm_(
            (change * scale).view(-1, change.shape[-1]), w.composed[heads].flatten(0, 1)
        )
        return mid, linear(activate(w.activation, hidden), w.mlp_out.weight, w.mlp_out.bias)

    def attention_jvp(self, layer: int, total: Tensor, tangents: Sequence[Tensor]) -> list[Tensor]:
        return layer_norm_jvp(total, self.layers[layer].norm_1, tangents)

    def mlp_jvp(self, layer: int, total: Tensor, tangents: Sequence[Tensor]) -> list[Tensor]:
        return layer_norm_jvp(total, self.layers[layer].norm_2, tangents)

    def attention_input_vjp(self, layer: int, x: Tensor, gradient: Tensor) -> Tensor:
        return gradient


def activate(activation: Any, hidden: Tensor) -> Tensor:
    """The MLP's activation. The exact GELU is computed in place, because `hidden` is the largest tensor of a layer."""
    if getattr(activation, "act", activation) is nn.functional.gelu and not torch.is_grad_enabled():
        return torch.ops.aten.gelu_(hidden)
    return activation(hidden)


def layer_norm(x: Float[Tensor, "*rows d_model"], norm: Any) -> Float[Tensor, "*rows d_model"]:
    """The LayerNorm module `norm` as a function."""
    return nn.functional.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, epsilon(norm))


def epsilon(norm: Any) -> float:
    """What a LayerNorm adds to the variance. DeBERTa v1 has a LayerNorm of its own, with another name for it."""
    return norm.eps if isinstance(norm, nn.LayerNorm) else norm.variance_epsilon


def layer_norm_jvp(
    x: Float[Tensor, "batch pos d_model"], norm: Any, tangents: Sequence[Float[Tensor, "batch pos d_model"]]
) -> list[Float[Tensor, "batch pos d_model"]]:
    """The LayerNorm's Jacobian at `x` times each tangent.

    The Jacobian is the gain times a symmetric matrix: centring, then the projection off the normalized input, divided
    by the standard deviation. A symmetric matrix is its own transpose, so that PyTorch's backward kernel without gain
    computes its product with a tangent, in one pass over memory.
    """
    shape, eps = norm.weight.shape, epsilon(norm)
    _, mean, scale = torch.native_layer_norm(x, shape, None, None, eps)
    backward = torch.ops.aten.native_layer_norm_backward
    return [
        backward(t.contiguous(), x, shape, mean, scale, None, None, [True, False, False])[0].mul_(norm.weight)
        for t in tangents
    ]
