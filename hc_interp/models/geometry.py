"""`Geometry`: the sizes, projection weights and attention rule of a model, which taps do not show."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.models.families import family_of
from hc_interp.models.families.family import Family

# True or 1 where a position holds a token, False or 0 where it is padding.
Mask = Int[Tensor, "batch key"] | Bool[Tensor, "batch key"]
_NOT_BY_LAYER = ("head", "norm_final", "rotary")


@dataclass(frozen=True, eq=False)
class Geometry:
    """What the package needs to know about a module, beside its taps, to compute the values at all sites."""

    module: nn.Module
    family: Family

    @classmethod
    def of(cls, module: nn.Module) -> "Geometry":
        """The geometry of a module. Raises `ModelError` for an architecture that hc_interp cannot wrap."""
        return cls(module, family_of(module))

    @property
    def config(self) -> Any:
        """The module's Hugging Face config."""
        return self.module.config

    @cached_property
    def n_layers(self) -> int:
        return self.config.num_hidden_layers

    @cached_property
    def n_heads(self) -> int:
        return self.config.num_attention_heads

    @cached_property
    def n_key_value_heads(self) -> int:
        """The number of different keys and values, smaller than `n_heads` if groups of heads share them."""
        return getattr(self.config, "num_key_value_heads", None) or self.n_heads

    @property
    def grouped(self) -> bool:
        """Whether groups of heads share keys and values."""
        return self.n_key_value_heads != self.n_heads

    @cached_property
    def d_model(self) -> int:
        return self.config.hidden_size

    @cached_property
    def d_head(self) -> int:
        return getattr(self.config, "head_dim", None) or self.d_model // self.n_heads

    @cached_property
    def d_mlp(self) -> int:
        """Width of the MLP's hidden layer."""
        return getattr(self.config, self.family.d_mlp, None) or 4 * self.d_model

    @property
    def max_positions(self) -> int:
        """Longest input, in tokens."""
        offset = self.config.pad_token_id + 1 if self.family.padded_positions else 0
        return self.config.max_position_embeddings - offset

    def path(self, part: str, layer: int | None = None) -> str:
        """Dotted path in the module of a part that `Family` names. `layer` is for parts that are in every layer."""
        path = getattr(self.family, part)
        if part == "head":
            return path
        return f"{self.family.trunk}.{path if part in _NOT_BY_LAYER else path.format(layer)}"

    def part(self, name: str, layer: int | None = None) -> Any:
        """The submodule of a part that `Family` names."""
        return self.module.get_submodule(self.path(name, layer))

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """Keyword arguments of a forward pass: token types if the model has them, and no cache in a decoder."""
        inputs: dict[str, Any] = {"attention_mask": batch.attention_mask}
        if batch.token_type_ids is not None and (getattr(self.config, "type_vocab_size", 0) or 0) > 1:
            inputs["token_type_ids"] = batch.token_type_ids
        if self.family.causal:
            inputs["use_cache"] = False
        return inputs

    def norms(self, layer: int) -> tuple[nn.Module, nn.Module]:
        """The two norms of a layer: after attention and MLP (post-LN) or before them (pre-LN)."""
        return self.part("norm_1", layer), self.part("norm_2", layer)

    def weight(self, layer: int, name: str) -> Float[Tensor, "out in"]:
        """The weight of the `q`, `k`, `v` or `o` projection, or a view of its third of a joint projection."""
        projection = self.part(name, layer)
        weight = multiplied_weight(projection)
        if isinstance(getattr(projection, "base_layer", projection), nn.Linear):
            return weight
        weight = weight.T  # transformers' Conv1D
        return weight if name == "o" else weight.chunk(3)["qkv".index(name)]

    def mlp(self, layer: int, mid: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """What the MLP of a layer adds to the stream `mid` (`resid_mid`)."""
        return self.mlp_function(layer)(self.part("norm_2", layer)(mid) if self.family.pre_norm else mid)

    def mlp_function(self, layer: int) -> Callable[[Tensor], Tensor]:
        """The MLP of a layer, from its input (normalised in a pre-LN family) to its output."""
        if self.family.mlp_in is None:
            return self.part("mlp", layer)
        # attrgetter, because an activation may be a function, which get_submodule does not find.
        activation = attrgetter(self.path("activation", layer))(self.module)
        mlp_in, mlp_out = self.part("mlp_in", layer), self.part("mlp_out", layer)
        return lambda value: mlp_out(activation(mlp_in(value)))

    def mlp_projections(self, layer: int) -> list[str]:
        """Dotted paths of the MLP's projections: all modules with a weight in it, where a family has such a module."""
        if self.family.mlp_in is not None:
            return [self.path("mlp_in", layer), self.path("mlp_out", layer)]
        mlp = self.path("mlp", layer)
        parts = self.module.get_submodule(mlp).named_modules()
        return [f"{mlp}.{name}" for name, part in parts if "weight" in part._parameters]

    def bias(self, layer: int, name: str) -> Float[Tensor, " out"] | None:
        """The bias of the `q`, `k`, `v` or `o` projection, or None if it has none."""
        projection = self.part(name, layer)
        if projection.bias is None:
            return None
        return projection.bias.chunk(3)["qkv".index(name)] if self.family.joint and name != "o" else projection.bias

    def w_in(self, layer: int, name: str) -> Float[Tensor, "head d_model d_head"]:
        """Per-head weights of the `q`, `k` or `v` projection, repeated for heads that share them."""
        weight = self.weight(layer, name)
        return self.copies(rearrange(weight, "(head d_head) d_model -> head d_model d_head", d_head=self.d_head), 0)

    def b_in(self, layer: int, name: str) -> Float[Tensor, "head d_head"]:
        """Per-head biases of the `q`, `k` or `v` projection, zeros if it has none, repeated where heads share them."""
        bias = self.bias(layer, name)
        if bias is None:
            return self.weight(layer, name).new_zeros(self.n_heads, self.d_head)
        return self.copies(rearrange(bias, "(head d_head) -> head d_head", d_head=self.d_head), 0)

    def w_out(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """Per-head weights of the output projection."""
        return rearrange(self.weight(layer, "o"), "d_model (head d_head) -> head d_head d_model", head=self.n_heads)

    def b_out(self, layer: int) -> Float[Tensor, " d_model"]:
        """Bias of the output projection, zeros if it has none."""
        bias = self.bias(layer, "o")
        return self.weight(layer, "o").new_zeros(self.d_model) if bias is None else bias

    def copies(self, value: Tensor, axis: int) -> Tensor:
        """A copy for each head of a value that groups of heads share, or the value itself if they share nothing.

        `axis` is the axis of groups.
        """
        n = self.n_heads // value.shape[axis]
        return value if n == 1 else value.repeat_interleave(n, dim=axis)

    def pattern(
        self,
        layer: int,
        q: Float[Tensor, "batch query head d_head"],
        k: Float[Tensor, "batch key head d_head"],
        attention_mask: Mask,
    ) -> Float[Tensor, "batch head query key"]:
        """The attention pattern from projected q and k: norms, rotation, scale, mask and softmax are applied here."""
        q, k = self.oriented(layer, q, k)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * self.scale(layer)
        return scores.masked_fill(~self.visible(layer, attention_mask), torch.finfo(scores.dtype).min).softmax(dim=-1)

    def oriented(
        self, layer: int, q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
    ) -> tuple[Float[Tensor, "batch query head d_head"], Float[Tensor, "batch key head d_head"]]:
        """q and k as the scores are computed from them: normalised and rotated, if the family does so.

        If there are fewer queries than keys, they are those of the last positions.
        """
        if self.family.q_norm is not None:
            q, k = self.part("q_norm", layer)(q), self.part("k_norm", layer)(k)
        if self.family.rotary is not None and self.rotates(layer):
            cos, sin = self.part("rotary")(k, torch.arange(k.shape[1], device=k.device)[None])
            n = q.shape[1]
            q, k = rotate(q, cos[:, -n:], sin[:, -n:]), rotate(k, cos, sin)
        return q, k

    def scale(self, layer: int) -> float:
        """The factor of attention scores: `1 / sqrt(d_head)`, unless the module names another."""
        return getattr(self._attention_module(layer), "scaling", self.d_head**-0.5)

    def rotates(self, layer: int) -> bool:
        """Whether a layer rotates q and k, where the family does: all layers do, unless the module says otherwise."""
        return bool(getattr(self._attention_module(layer), "use_rope", True))

    def _attention_module(self, layer: int) -> nn.Module:
        return self.part("block", layer).get_submodule(self.attention)

    @cached_property
    def attention(self) -> str:
        """Dotted path in a block of its attention module, which holds the query projection."""
        return self.family.q.removeprefix(f"{self.family.block}.").rsplit(".", 1)[0]

    def visible(self, layer: int, attention_mask: Mask) -> Bool[Tensor, "batch 1 #query key"]:
        """Whether a query may attend to a key: to no padding, and in a decoder to no key that is later or outside the
        window.

        A query at a padding position may see no key. Its `z` then depends on the attention kernel, and nothing reads it
        unless an edit moves it to another position or row.
        """
        visible = attention_mask[:, None, None, :].bool()
        if self.family.causal:
            position = torch.arange(attention_mask.shape[1], device=attention_mask.device)
            distance = position[:, None] - position
            visible = visible & (distance >= 0)
            if (window := self._window(layer)) is not None:
                visible = visible & (distance < window)
        return visible

    def _window(self, layer: int) -> int | None:
        types = getattr(self.config, "layer_types", None)
        if types is not None and types[layer] != "sliding_attention":
            return None
        return getattr(self.config, "sliding_window", None)


def multiplied_weight(projection: Any) -> Tensor:
    """The weight by which a projection multiplies: its own, and while peft's LoRA trains what its adapters add."""
    weight: Tensor = projection.weight
    for name in getattr(projection, "active_adapters", ()):
        weight = weight + projection.get_delta_weight(name)
    return weight


def rotate(
    value: Float[Tensor, "batch pos head d_head"],
    cos: Float[Tensor, "1 pos d_head"],
    sin: Float[Tensor, "1 pos d_head"],
) -> Float[Tensor, "batch pos head d_head"]:
    """Rotary position embedding (Su et al. 2021, arXiv 2104.09864) that pairs the two halves of a head, as in Llama."""
    first, second = value.chunk(2, dim=-1)
    return value * cos[:, :, None] + torch.cat((-second, first), dim=-1) * sin[:, :, None]


def cut_layers(module: nn.Module, family: Family, first: int) -> None:
    """Remove the layers below `first` from a module tree, in place. Parameters are not changed."""
    layers: Any = module.get_submodule(family.blocks)
    parent, name = family.blocks.rsplit(".", 1)
    setattr(module.get_submodule(parent), name, nn.ModuleList(layers[first:]))
    config: Any = module.config
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = config.layer_types[first:]
    config.num_hidden_layers = len(layers) - first


def attend(
    pattern: Float[Tensor, "batch head query key"], v: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch query head d_head"]:
    """Each head's `z`: the mean of its values, weighted by its pattern."""
    return torch.einsum("bhqk,bkhd->bqhd", pattern, v)
