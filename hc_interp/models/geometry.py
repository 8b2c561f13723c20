"""`Geometry`: sizes, projection weights and attention rule of a model, as the package needs them beside the taps."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.errors import ModelError


@dataclass(frozen=True)
class Family:
    """Where one family of HF modules keeps its parts; paths are dotted, `{}` is the layer.

    All are below `trunk` but `classifier`, the last projection of the classification head.
    """

    trunk: str
    block: str
    q: str
    k: str
    v: str
    o: str
    norm_1: str
    mlp_out: str
    norm_2: str
    classifier: str = "classifier"
    pre_norm: bool = False
    causal: bool = False


_BERT_LAYER: dict[str, Any] = {
    "block": "encoder.layer.{}",
    "q": "encoder.layer.{}.attention.self.query",
    "k": "encoder.layer.{}.attention.self.key",
    "v": "encoder.layer.{}.attention.self.value",
    "o": "encoder.layer.{}.attention.output.dense",
    "norm_1": "encoder.layer.{}.attention.output.LayerNorm",
    "mlp_out": "encoder.layer.{}.output.dense",
    "norm_2": "encoder.layer.{}.output.LayerNorm",
}
FAMILIES = {
    "BertForSequenceClassification": Family("bert", **_BERT_LAYER),
    "RobertaForSequenceClassification": Family("roberta", **_BERT_LAYER, classifier="classifier.out_proj"),
    "ElectraForSequenceClassification": Family("electra", **_BERT_LAYER, classifier="classifier.out_proj"),
    "DistilBertForSequenceClassification": Family(
        "distilbert",
        block="transformer.layer.{}",
        q="transformer.layer.{}.attention.q_lin",
        k="transformer.layer.{}.attention.k_lin",
        v="transformer.layer.{}.attention.v_lin",
        o="transformer.layer.{}.attention.out_lin",
        norm_1="transformer.layer.{}.sa_layer_norm",
        mlp_out="transformer.layer.{}.ffn.lin2",
        norm_2="transformer.layer.{}.output_layer_norm",
    ),
}


@dataclass(frozen=True, eq=False)
class Geometry:
    """What `forward.py` must know about a module to turn sites into taps and back."""

    module: nn.Module
    family: Family

    @classmethod
    def of(cls, module: nn.Module) -> "Geometry":
        """Raises `ModelError` for an architecture that hc_interp cannot wrap."""
        name = type(module).__name__
        if name not in FAMILIES:
            raise ModelError(
                f"hc_interp cannot wrap a {name}. Supported: {', '.join(FAMILIES)}. "
                "Load the checkpoint with the class that carries its classification head."
            )
        return cls(module, FAMILIES[name])

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
    def d_model(self) -> int:
        return self.config.hidden_size

    @cached_property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def max_positions(self) -> int:
        """Longest input: RoBERTa's position table starts after its padding index."""
        positions = self.config.max_position_embeddings
        offset = self.config.pad_token_id + 1 if self.family.trunk == "roberta" else 0
        return positions - offset

    def path(self, part: str, layer: int | None = None) -> str:
        """Dotted path of a `Family` part in the module; `layer` for all but `classifier`."""
        found = getattr(self.family, part)
        return found if part == "classifier" else f"{self.family.trunk}.{found.format(layer)}"

    def _part(self, layer: int, name: str) -> Any:
        return self.module.get_submodule(self.path(name, layer))

    def projection(self, layer: int, name: str) -> nn.Linear:
        """The `q`, `k`, `v` or `o` projection of a layer, an `nn.Linear`."""
        return self._part(layer, name)

    def norms(self, layer: int) -> tuple[nn.LayerNorm, nn.LayerNorm]:
        """The two LayerNorms of a layer."""
        return self._part(layer, "norm_1"), self._part(layer, "norm_2")

    def w_in(self, layer: int, name: str) -> Float[Tensor, "head d_model d_head"]:
        """Per-head weights of the `q`, `k` or `v` projection."""
        weight = self.projection(layer, name).weight
        return rearrange(weight, "(head d_head) d_model -> head d_model d_head", head=self.n_heads)

    def w_out(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """Per-head weights of the output projection."""
        weight = self.projection(layer, "o").weight
        return rearrange(weight, "d_model (head d_head) -> head d_head d_model", head=self.n_heads)


def cut_layers(module: nn.Module, family: Family, first: int) -> None:
    """Drop the layers below `first` from a module tree, in place; parameters are not touched."""
    path = f"{family.trunk}.{family.q.split('.{}')[0]}"
    layers: Any = module.get_submodule(path)
    parent, name = path.rsplit(".", 1)
    setattr(module.get_submodule(parent), name, nn.ModuleList(layers[first:]))
    config: Any = module.config
    config.num_hidden_layers = len(layers) - first


def attention_pattern(
    q: Float[Tensor, "batch query head d_head"],
    k: Float[Tensor, "batch key head d_head"],
    attention_mask: Int[Tensor, "batch key"],
    *,
    causal: bool = False,
) -> Float[Tensor, "batch head query key"]:
    """Softmax attention over the keys that are not padding, scaled by `1 / sqrt(d_head)`."""
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    seen = attention_mask[:, None, None, :].bool()
    if causal:
        n = scores.shape[-1]
        seen = seen & torch.ones(n, n, dtype=torch.bool, device=q.device).tril()
    return scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(dim=-1)


def attend(
    pattern: Float[Tensor, "batch head query key"], v: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch query head d_head"]:
    """Each head's `z`: its values, averaged by its pattern."""
    return torch.einsum("bhqk,bkhd->bqhd", pattern, v)


def model_inputs(batch: Batch, module: nn.Module) -> dict[str, Tensor]:
    """Keyword arguments of a forward pass; token types only where the model has them."""
    inputs = {"attention_mask": batch.attention_mask}
    if batch.token_type_ids is not None and getattr(module.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = batch.token_type_ids
    return inputs
