"""`Geometry`: the sizes, projection weights and attention rule of a model, which taps do not show."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.models.attention_rule import Angles, AttentionRule, Heads, Mask
from hc_interp.models.families import family_of
from hc_interp.models.families.family import Family
from hc_interp.models.joint_projection import JointProjection

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
        if (count := self.family.key_value_heads) is not None:
            return count(self.config)
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
        if layer is not None and part not in _NOT_BY_LAYER:
            path = path.replace("{}", str(self.place(layer)))
        *others, last = (f"{self.family.trunk}.{each}" for each in path.split("|"))
        return next((each for each in others if _has(self.module, each)), last)

    def place(self, layer: int) -> int:
        """The index in the list of layers of the module that computes this layer."""
        if self.family.modules is None:
            return layer
        return int(layer / (self.n_layers / getattr(self.config, self.family.modules)))  # as transformers rounds

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

    @cached_property
    def parallel(self) -> bool:
        """Whether attention and the MLP of a layer read the same stream, so that there is no stream between them."""
        said = self.family.parallel
        return bool(getattr(self.config, said)) if isinstance(said, str) else said

    def attention_input(self, layer: int, stream: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """The input of the projections to q, k and v, from the stream that attention reads."""
        return self._normed("norm_1", layer, stream) if self.family.pre_norm else stream

    def mlp_input(self, layer: int, stream: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """The input of the MLP, from the stream that it reads."""
        return self._normed("norm_2", layer, stream) if self.family.pre_norm else stream

    def attention_added(self, layer: int, out: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """What attention adds to the stream (`attn_out`), from the output of its projection."""
        return self._normed("attn_norm", layer, out)

    def after_attention(self, layer: int, total: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """`resid_mid`, from the sum of the stream and `attn_out`."""
        return total if self.family.pre_norm else self._normed("norm_1", layer, total)

    def after_mlp(self, layer: int, total: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """`resid_post`, from the sum of the stream and `mlp_out`."""
        return total if self.family.pre_norm else self._normed("norm_2", layer, total)

    def _normed(self, norm: str, layer: int, value: Tensor) -> Tensor:
        """The value after this norm of the family, or the value itself if the family has no such norm."""
        return value if getattr(self.family, norm) is None else self.part(norm, layer)(value)

    def logits(self, last: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch output"]:
        """The head's outputs in a family with `norm_final`, from the last stream."""
        assert self.family.norm_final is not None
        return self.capped(self.part("head")(self.part("norm_final")(last)))

    def capped(self, logits: Tensor) -> Tensor:
        """Logits within the family's bound, if it has one."""
        return logits if (cap := self._cap("logit_cap")) is None else cap * torch.tanh(logits / cap)

    def _cap(self, kind: str) -> float | None:
        field = getattr(self.family, kind)
        return None if field is None else getattr(self.config, field)

    @cached_property
    def joint(self) -> JointProjection | None:
        """The layout of the projection that computes q, k and v together, if one does."""
        if self.family.joint is None:
            return None
        heads = self.n_heads, self.n_key_value_heads, self.n_key_value_heads
        return JointProjection(heads, self.d_head, by_head=self.family.joint == "heads")

    def weight(self, layer: int, name: str) -> Float[Tensor, "out in"]:
        """The weight of the `q`, `k`, `v` or `o` projection, or its part of a joint projection (a view, or a copy where
        the heads' parts lie apart)."""
        projection = self.part(name, layer)
        weight = multiplied_weight(projection)
        if not isinstance(getattr(projection, "base_layer", projection), nn.Linear):
            weight = weight.T  # transformers' Conv1D
        return weight if self.joint is None or name == "o" else self.joint.split(weight, 0)["qkv".index(name)]

    def mlp(self, layer: int, stream: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """What the MLP of a layer adds to the stream, from the stream that it reads."""
        return self.mlp_function(layer)(self.mlp_input(layer, stream))

    def mlp_function(self, layer: int) -> Callable[[Tensor], Tensor]:
        """The MLP of a layer, from its input (normalised in a pre-LN family) to what it adds to the stream."""
        mlp = self._mlp(layer)
        return mlp if self.family.mlp_norm is None else lambda value: self._normed("mlp_norm", layer, mlp(value))

    def _mlp(self, layer: int) -> Callable[[Tensor], Tensor]:
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
        if (added := self.added_bias(name)) is not None:
            return self.module.get_parameter(self.path(added, layer))
        projection = self.part(name, layer)
        if projection.bias is None:
            return None
        return (
            projection.bias
            if self.joint is None or name == "o"
            else self.joint.split(projection.bias)["qkv".index(name)]
        )

    def added_bias(self, name: str) -> str | None:
        """The part that is added to q, k or v after the projection, or None where there is none."""
        part = f"{name}_bias"
        return part if name in ("q", "v") and getattr(self.family, part) is not None else None

    def distance_projections(self, layer: int) -> list[str]:
        """Dotted paths of the projections that only distances go through, as far as the module has them."""
        paths = [f"{self.family.trunk}.{path.format(layer)}" for path in self.family.distance_projections]
        return [path for path in paths if _has(self.module, path)]

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
        heads: Heads = None,
    ) -> Float[Tensor, "batch head query key"]:
        """The attention pattern of a layer from the projected q and k of all heads or of `heads`."""
        return self.rules[layer].pattern(q, k, attention_mask, heads)

    @cached_property
    def rules(self) -> list[AttentionRule]:
        """The attention rule of each layer."""
        return [self._rule(layer) for layer in range(self.n_layers)]

    def _rule(self, layer: int) -> AttentionRule:
        family, module = self.family, self.module
        attention: Any = self.part("block", layer).get_submodule(self.attention)
        norms, joint_norms, bias, distances = None, False, self._position_bias(), None
        if family.q_norm is not None:
            norms = self.part("q_norm", layer), self.part("k_norm", layer)
            joint_norms = norms[0].weight.shape[0] != self.d_head
        if (vectors := family.distances) is not None:
            distances = lambda length: vectors(module, layer, length)  # noqa: E731
        scale = getattr(attention, "scaling", self.d_head**-0.5)
        return AttentionRule(
            scale=scale if family.scale is None else family.scale(module),
            causal=family.causal,
            window=self._window(layer) if family.causal else getattr(attention, "sliding_window", None),
            norms=norms,
            joint_norms=joint_norms,
            angles=self._angles(layer) if bias is None and getattr(attention, "use_rope", True) else None,
            neighbours=family.neighbours,
            distances=distances,
            cap=self._cap("score_cap"),
            bias=bias,
            in_float32=family.softmax_in_float32,
            masked_queries=family.masked_queries,
        )

    def _position_bias(self) -> Callable[[int], Tensor] | None:
        """The function that gives the bias of the scores from the number of positions. None: no bias."""
        family, module = self.family, self.module
        if family.position_bias is None or family.position_bias(module, 1) is None:
            return None
        return partial(family.position_bias, module)  # type: ignore[return-value]

    def _angles(self, layer: int) -> Callable[[Tensor], Angles] | None:
        """The function that gives the cosines and sines of a layer from its keys. None: no rotation."""
        if (angles := self.family.angles) is not None:
            return lambda k: angles(self.module, layer, k)
        if self.family.rotary is None:
            return None
        rotary = self.part("rotary")
        # A model whose layers are of several types may rotate them differently.
        of_layer = (self.config.layer_types[layer],) if hasattr(rotary, "layer_types") else ()
        return lambda k: rotary(k, torch.arange(k.shape[1], device=k.device)[None], *of_layer)

    @cached_property
    def attention(self) -> str:
        """Dotted path in a block of its attention module, which holds the query projection."""
        return self.family.q.removeprefix(f"{self.family.block}.").rsplit(".", 1)[0]

    def _window(self, layer: int) -> int | None:
        types = getattr(self.config, "layer_types", None)
        if types is not None and types[layer] != "sliding_attention":
            return None
        return getattr(self.config, "sliding_window", None)


def _has(module: nn.Module, path: str) -> bool:
    """Whether a module has a part at this path."""
    parent, name = path.rsplit(".", 1)
    return hasattr(module.get_submodule(parent), name)


def multiplied_weight(projection: Any) -> Tensor:
    """The weight by which a projection multiplies: its own, and while peft's LoRA trains what its adapters add."""
    weight: Tensor = projection.weight
    for name in getattr(projection, "active_adapters", ()):
        weight = weight + projection.get_delta_weight(name)
    return weight
