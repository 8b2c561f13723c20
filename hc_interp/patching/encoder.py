"""`Encoder`: a post-norm encoder as the fast engine computes with it: functions on `[path, batch, pos, ...]`.

The batch has no padding, so nothing is masked. Each function is one part of a layer, so that a sweep runs the parts
that it must and no others. Weights are the module's own; what is composed from them is kept.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hc_interp.components import MLP, Component, Head
from hc_interp.interventions.nodes import Ablate, Keep, Scale, SoftMask
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.patching.kernels import attend_first, attention, linear

Values = Mapping[Component, Tensor]
Edits = Mapping[Site, Sequence[Callable[[Tensor], Tensor]]]
NODE_INTERVENTIONS = (Keep, Ablate, SoftMask, Scale)


@dataclass(frozen=True)
class Parts:
    """What a family's block calls the parts that `Family` does not name, and how it reads its first position."""

    mlp_in: str
    activation: str
    read: Callable[[Any, Tensor], Tensor]


def _from_sequence(module: Any, first: Tensor) -> Tensor:
    return module.classifier(first[:, None])


PARTS = {
    "BertForSequenceClassification": Parts(
        "intermediate.dense",
        "intermediate.intermediate_act_fn",
        lambda module, first: module.classifier(module.bert.pooler(first[:, None])),
    ),
    "RobertaForSequenceClassification": Parts("intermediate.dense", "intermediate.intermediate_act_fn", _from_sequence),
    "ElectraForSequenceClassification": Parts("intermediate.dense", "intermediate.intermediate_act_fn", _from_sequence),
    "DistilBertForSequenceClassification": Parts(
        "ffn.lin1", "ffn.activation", lambda module, first: module.classifier(module.pre_classifier(first).relu())
    ),
}


def is_fast(model: HookedModel, interventions: Iterable[Intervention]) -> bool:
    """Whether the fast engine computes this model under these interventions; the general one computes all others."""
    kinds = all(isinstance(item, NODE_INTERVENTIONS) for item in interventions)
    return kinds and type(model.module).__name__ in PARTS


class EncoderLayer:
    """One layer's weights, with those that are composed from several."""

    def __init__(self, model: HookedModel, layer: int, parts: Parts) -> None:
        geometry = model.geometry
        block = model.module.get_submodule(geometry.path("block", layer))
        self.norm_1, self.norm_2 = geometry.norms(layer)
        self.q, self.k, self.v = (geometry.part(name, layer) for name in "qkv")
        self.o = geometry.part("o", layer)
        self.mlp_in: Any = block.get_submodule(parts.mlp_in)
        self.mlp_out: Any = model.module.get_submodule(geometry.path("mlp_out", layer))
        self.activation: Any = block
        for name in parts.activation.split("."):
            self.activation = getattr(self.activation, name)
        self.n_heads = geometry.n_heads
        self.w_o = geometry.w_out(layer)

    @cached_property
    def qkv(self) -> tuple[Tensor, Tensor]:
        """One projection to q, k and v of all heads."""
        parts = (self.q, self.k, self.v)
        return torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])

    def by_head(self, name: str) -> Float[Tensor, "head d_head d_model"]:
        weight = getattr(self, name).weight
        return weight.view(self.n_heads, -1, weight.shape[-1])

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


class Encoder:
    """A post-norm encoder classifier. `edits` are those of interventions on components, by site."""

    def __init__(self, model: HookedModel) -> None:
        parts = PARTS[type(model.module).__name__]
        self.model, self.parts = model, parts
        self.layers = [EncoderLayer(model, i, parts) for i in range(model.n_layers)]

    def logits(self, first: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows class"]:
        """What the classifier reads from the first position of the last layer's output."""
        flat = self.parts.read(self.model.module, first.reshape(-1, first.shape[-1]))
        return flat.view(*first.shape[:-1], -1)

    def values(
        self, x: Float[Tensor, "batch pos d_model"], edits: Edits
    ) -> tuple[dict[Site, Tensor], Float[Tensor, "batch class"]]:
        """A whole run from the input of layer 0: the values at all sites that a sweep reads, and the logits."""
        found, length = {Site.embed(): x}, x.shape[1]
        for i, w in enumerate(self.layers):
            found[Site(i, "resid_pre")] = x
            projected = linear(x, *w.qkv).unflatten(-1, (3, w.n_heads, -1)).unbind(-3)
            found |= {Site(i, name): value for name, value in zip("qkv", projected, strict=True)}
            found[Site(i, "z")] = z = edited(edits, Site(i, "z"), attention(*projected)[None], length)[0]
            found[Site(i, "attn_out")] = attn_out = self.attn_out(i, z)
            found[Site(i, "resid_mid")] = mid = norm(x + attn_out, w.norm_1)
            site = Site(i, "mlp_out")
            found[site] = mlp_out = edited(edits, site, self.mlp(i, mid)[None], length)[0]
            x = norm(mid + mlp_out, w.norm_2)
        found[Site(len(self.layers) - 1, "resid_post")] = x
        return found, self.logits(x[:, 0])

    def mlp(self, layer: int, mid: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        w = self.layers[layer]
        return linear(act(w.activation, linear(mid, w.mlp_in.weight, w.mlp_in.bias)), w.mlp_out.weight, w.mlp_out.bias)

    def z(self, layer: int, x: Float[Tensor, "*rows pos d_model"]) -> Float[Tensor, "*rows pos head d_head"]:
        """All heads' `z` from the stream that enters the layer."""
        w = self.layers[layer]
        projected = linear(x, *w.qkv).unflatten(-1, (3, w.n_heads, -1))
        return attention(*projected.unbind(-3))

    def z_first(self, layer: int, x: Float[Tensor, "*rows pos d_model"]) -> Float[Tensor, "*rows 1 head d_head"]:
        """All heads' `z` at the first position alone."""
        w = self.layers[layer]
        q = linear(x[..., 0, :].reshape(-1, x.shape[-1]), w.q.weight, w.q.bias).unflatten(-1, (w.n_heads, -1))
        b_v = w.v.bias.view(w.n_heads, -1)
        z = attend_first(x.reshape(-1, *x.shape[-2:]), q, w.by_head("k"), w.by_head("v"), b_v)
        return z.view(*x.shape[:-2], 1, *z.shape[1:])

    def attn_out(self, layer: int, z: Float[Tensor, "*rows head d_head"]) -> Float[Tensor, "*rows d_model"]:
        o = self.layers[layer].o
        return linear(z.flatten(-2), o.weight, o.bias)

    def layer(
        self, layer: int, x: Float[Tensor, "path batch pos d_model"], edits: Edits, held: Values, *, first: bool
    ) -> Float[Tensor, "path batch seen d_model"]:
        """The stream after the layer, at all positions or at the first alone; components in `held` do not react."""
        length = x.shape[-2]
        z = self.z_first(layer, x) if first else self.z(layer, x)
        z = hold_heads(edited(edits, Site(layer, "z"), z, length), layer, held)
        u = self.attn_out(layer, z).add_(x[:, :, :1] if first else x)
        return self.after_mlp(layer, norm(u, self.layers[layer].norm_1), edits, held, length)

    def after_mlp(
        self, layer: int, mid: Float[Tensor, "path batch seen d_model"], edits: Edits, held: Values, length: int
    ) -> Float[Tensor, "path batch seen d_model"]:
        """The layer's output from the stream that its MLP reads."""
        if MLP(layer) in held:
            out = mid + held[MLP(layer)][:, :, : mid.shape[2]]
        else:
            out = edited(edits, Site(layer, "mlp_out"), self.mlp(layer, mid), length).add_(mid)
        return norm(out, self.layers[layer].norm_2)


def act(activation: Any, hidden: Tensor) -> Tensor:
    """The MLP's activation; the exact GELU in place, since its tensor is the largest there is."""
    if getattr(activation, "act", activation) is nn.functional.gelu and not torch.is_grad_enabled():
        return torch.ops.aten.gelu_(hidden)
    return activation(hidden)


def norm(x: Float[Tensor, "*rows d_model"], layer_norm: Any) -> Float[Tensor, "*rows d_model"]:
    return nn.functional.layer_norm(x, layer_norm.normalized_shape, layer_norm.weight, layer_norm.bias, layer_norm.eps)


def edited(edits: Edits, site: Site, value: Tensor, length: int) -> Tensor:
    """What the interventions' edits make of a component's value `[path, batch, pos, ...]`, path by path.

    A value that stands for the first position alone is shown to the edit at all `length` positions, since means may
    differ by position; these edits act on each position for itself.
    """
    if site not in edits:
        return value
    seen, found = value.shape[2], []
    for one in value:
        one = one.expand(-1, length, *one.shape[2:])
        for fn in edits[site]:
            one = fn(one).to(value.dtype)
        found.append(one[:, :seen])
    return torch.stack(found)


def hold_heads(z: Float[Tensor, "path batch pos head d_head"], layer: int, held: Values) -> Tensor:
    for item, value in held.items():
        if isinstance(item, Head) and item.layer == layer:
            z[..., item.head, :] = value[:, :, : z.shape[2]]
    return z
