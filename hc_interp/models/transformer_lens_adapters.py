"""TransformerLens adapters for sequence classifiers: this package as a TransformerLens plugin.

TransformerLens wraps masked and causal language models. These adapters add fine-tuned classifiers: in the map of
components the classifier's own head replaces the head of the language model. They are registered through the
entry-point group `transformer_lens.architectures`, so `pip install hc-interp` is all that a user's own TransformerLens
code needs.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.generalized_components import (
    AttentionBridge,
    BlockBridge,
    EmbeddingBridge,
    LinearBridge,
    MLPBridge,
    NormalizationBridge,
    PosEmbedBridge,
    PositionEmbeddingsAttentionBridge,
    UnembeddingBridge,
)
from transformer_lens.model_bridge.supported_architectures.bert import BertArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.gemma1 import Gemma1ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.gemma2 import Gemma2ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.gemma3 import Gemma3ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.gpt2 import GPT2ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.gptj import GptjArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.llama import LlamaArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.mistral import MistralArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.neox import NeoxArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.olmo import OlmoArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.olmo2 import Olmo2ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.opt import OptArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.phi import PhiArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.phi3 import Phi3ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.qwen2 import Qwen2ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.qwen3 import Qwen3ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.smollm3 import SmolLM3ArchitectureAdapter

from hc_interp.models.families import FAMILIES
from hc_interp.models.joint_projection import JointProjection, PartOfJoint
from hc_interp.models.layer_list import unroll

_LANGUAGE_MODEL_HEAD = ("mlm_head", "unembed", "ln_final")


def _with_classifier(components: Mapping[str, Any], path: str = "classifier") -> dict[str, Any]:
    """The components of an encoder, with a classifier in place of the head of the masked language model."""
    kept = {name: part for name, part in components.items() if name not in _LANGUAGE_MODEL_HEAD}
    return kept | {"classifier": LinearBridge(name=path)}


class BertClassifierAdapter(BertArchitectureAdapter):
    """`BertForSequenceClassification`: BERT's blocks and pooler, then `classifier`."""

    trunk = "bert"

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.component_mapping = {
            name: bridge for name, bridge in self.components.items() if name not in _LANGUAGE_MODEL_HEAD
        }
        if self.trunk != "bert":
            self._rename_trunk()
        self.component_mapping["classifier"] = self._classifier()

    def _classifier(self) -> LinearBridge:
        return LinearBridge(name="classifier")

    def _rename_trunk(self) -> None:
        for bridge in self.components.values():
            if bridge.name and bridge.name.startswith("bert."):
                bridge.name = self.trunk + bridge.name.removeprefix("bert")


class RobertaClassifierAdapter(BertClassifierAdapter):
    """`RobertaForSequenceClassification`: BERT's blocks in `roberta`. Its head reads the first position."""

    trunk = "roberta"

    def _classifier(self) -> LinearBridge:
        return LinearBridge(name="classifier.out_proj")


class ElectraClassifierAdapter(RobertaClassifierAdapter):
    """`ElectraForSequenceClassification`: embedding and hidden sizes may differ. Its head reads the first position."""

    trunk = "electra"


class RobertaTokenAdapter(BertClassifierAdapter):
    """`RobertaForTokenClassification`."""

    trunk = "roberta"


class ElectraTokenAdapter(BertClassifierAdapter):
    """`ElectraForTokenClassification`."""

    trunk = "electra"


class DistilBertAdapter(BertArchitectureAdapter):
    """`DistilBertForMaskedLM`: no token types, and all parts of a head at the top of the module."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        attention = {"q": "q_lin", "k": "k_lin", "v": "v_lin", "o": "out_lin"}
        self.component_mapping = {
            "embed": EmbeddingBridge(name="distilbert.embeddings.word_embeddings"),
            "pos_embed": PosEmbedBridge(name="distilbert.embeddings.position_embeddings"),
            "embed_ln": self._norm("distilbert.embeddings.LayerNorm"),
            "blocks": BlockBridge(
                name="distilbert.transformer.layer",
                submodules={
                    "ln1": self._norm("sa_layer_norm"),
                    "ln2": self._norm("output_layer_norm"),
                    "attn": AttentionBridge(
                        name="attention",
                        config=self.cfg,
                        submodules={key: LinearBridge(name=name) for key, name in attention.items()},
                    ),
                    "mlp": MLPBridge(
                        name="ffn",
                        config=self.cfg,
                        submodules={"in": LinearBridge(name="lin1"), "out": LinearBridge(name="lin2")},
                    ),
                },
            ),
            "mlm_head": LinearBridge(name="vocab_transform"),
            "ln_final": self._norm("vocab_layer_norm"),
            "unembed": UnembeddingBridge(name="vocab_projector"),
        }

    def _norm(self, name: str) -> NormalizationBridge:
        return NormalizationBridge(name=name, config=self.cfg, use_native_layernorm_autograd=True)


class DistilBertClassifierAdapter(DistilBertAdapter):
    """`DistilBertForSequenceClassification`: no pooler, `pre_classifier` before `classifier`."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.component_mapping = _with_classifier(self.components)
        self.component_mapping["pre_classifier"] = LinearBridge(name="pre_classifier")


class DistilBertTokenAdapter(DistilBertAdapter):
    """`DistilBertForTokenClassification`."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.component_mapping = _with_classifier(self.components)


class AlbertAdapter(BertArchitectureAdapter):
    """`AlbertForMaskedLM`, whose layers are one module."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        parts: Any = self.components
        blocks, layer = parts["blocks"], "albert_layers.0"
        blocks.name = "albert.encoder.albert_layer_groups"
        names = {"ln1": "attention.LayerNorm", "ln2": "full_layer_layer_norm", "attn": "attention"}
        for name, path in names.items():
            blocks.submodules[name].name = f"{layer}.{path}"
        for name, path in {"q": "query", "k": "key", "v": "value", "o": "dense"}.items():
            blocks.submodules["attn"].submodules[name].name = path
        for name, path in {"in": "ffn", "out": "ffn_output"}.items():
            blocks.submodules["mlp"].submodules[name].name = f"{layer}.{path}"
        for name in ("embed", "token_type_embed", "pos_embed", "embed_ln"):
            parts[name].name = f"albert{parts[name].name.removeprefix('bert')}"
        heads = {"mlm_head": "dense", "unembed": "decoder", "ln_final": "LayerNorm"}
        for name, path in heads.items():
            parts[name].name = f"predictions.{path}"

    def prepare_model(self, hf_model: Any) -> None:
        """Give each layer a module of its own, over the same parameters: hooks are then on one layer."""
        unroll(hf_model, FAMILIES[type(hf_model).__name__])


class AlbertClassifierAdapter(AlbertAdapter):
    """`AlbertForSequenceClassification`: a linear pooler and its activation, then `classifier`."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.component_mapping = _with_classifier(self.components)


class MPNetAdapter(BertArchitectureAdapter):
    """`MPNetForMaskedLM`: BERT's blocks under other names, without token types."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        parts: Any = self.components
        blocks = parts["blocks"]
        blocks.name = "mpnet.encoder.layer"
        blocks.submodules["ln1"].name = "attention.LayerNorm"
        for key, part in blocks.submodules["attn"].submodules.items():
            part.name = f"attn.{key}"
        parts.pop("token_type_embed")
        for name in ("embed", "pos_embed", "embed_ln"):
            parts[name].name = f"mpnet{parts[name].name.removeprefix('bert')}"
        heads = {"mlm_head": "lm_head.dense", "unembed": "lm_head.decoder", "ln_final": "lm_head.layer_norm"}
        for name, path in heads.items():
            parts[name].name = path


class MPNetClassifierAdapter(MPNetAdapter):
    """`MPNetForSequenceClassification`. Its head reads the first position."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.component_mapping = _with_classifier(self.components, "classifier.out_proj")


class MPNetTokenAdapter(MPNetAdapter):
    """`MPNetForTokenClassification`."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.component_mapping = _with_classifier(self.components)


class FullPrecisionAttention(PositionEmbeddingsAttentionBridge):
    """Attention with a float64 softmax in a float64 model. TransformerLens computes every softmax in float32."""

    def _masked_softmax(self, attn_scores: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return super()._masked_softmax(attn_scores, torch.float64 if attn_scores.dtype == torch.float64 else dtype)


class FullPrecision(ArchitectureAdapter):
    """TransformerLens' adapter of a rotary decoder, with attention in the model's own precision."""

    _attention_bridge_cls = FullPrecisionAttention

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        blocks: Any = self.components["blocks"]
        attn = blocks.submodules["attn"]
        blocks.submodules["attn"] = self._attention_bridge_cls(
            name=attn.name,
            config=self.cfg,
            submodules=attn.submodules,
            requires_attention_mask=True,
            requires_position_embeddings=True,
        )


class LlamaAdapter(FullPrecision, LlamaArchitectureAdapter):
    """`LlamaForCausalLM`."""


class MistralAdapter(FullPrecision, MistralArchitectureAdapter):
    """`MistralForCausalLM`."""


class Qwen2Adapter(FullPrecision, Qwen2ArchitectureAdapter):
    """`Qwen2ForCausalLM`."""


class Qwen3Adapter(FullPrecision, Qwen3ArchitectureAdapter):
    """`Qwen3ForCausalLM`."""


class GemmaAdapter(FullPrecision, Gemma1ArchitectureAdapter):
    """`GemmaForCausalLM`."""


class OlmoAdapter(FullPrecision, OlmoArchitectureAdapter):
    """`OlmoForCausalLM`."""


class UnrotatedLayers(FullPrecisionAttention):
    """Attention that rotates q and k only where the module's `use_rope` says so, as SmolLM3's does."""

    rope_optional = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not getattr(self.original_component, "use_rope", True):
            kwargs["position_embeddings"] = None
        return super().forward(*args, **kwargs)


class SmolLM3Adapter(FullPrecision, SmolLM3ArchitectureAdapter):
    """`SmolLM3ForCausalLM`."""

    _attention_bridge_cls = UnrotatedLayers


class Gemma3Adapter(FullPrecision, Gemma3ArchitectureAdapter):
    """`Gemma3ForCausalLM`."""


class Olmo2Adapter(FullPrecision, Olmo2ArchitectureAdapter):
    """`Olmo2ForCausalLM`."""


class PhiAdapter(FullPrecision, PhiArchitectureAdapter):
    """`PhiForCausalLM`."""


class GPTNeoXAdapter(NeoxArchitectureAdapter):
    """`GPTNeoXForCausalLM`."""

    def split_qkv_matrix(self, original_attention_component: Any) -> Any:
        n_heads, projection = self.cfg.n_heads, original_attention_component.query_key_value
        layout = JointProjection((n_heads, n_heads, n_heads), self.cfg.d_model // n_heads, by_head=True)
        return tuple(PartOfJoint(projection, layout, part) for part in range(3))


class Scored(ArchitectureAdapter):
    """A decoder with a classifier: `score` replaces the head of the language model."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.component_mapping = {name: part for name, part in self.components.items() if name != "unembed"}
        self.component_mapping["score"] = LinearBridge(name="score")


class GPT2ClassifierAdapter(Scored, GPT2ArchitectureAdapter):
    """`GPT2ForSequenceClassification`."""


class LlamaClassifierAdapter(Scored, LlamaAdapter):
    """`LlamaForSequenceClassification`."""


class MistralClassifierAdapter(Scored, MistralAdapter):
    """`MistralForSequenceClassification`."""


class Qwen2ClassifierAdapter(Scored, Qwen2Adapter):
    """`Qwen2ForSequenceClassification`."""


class Qwen3ClassifierAdapter(Scored, Qwen3Adapter):
    """`Qwen3ForSequenceClassification`."""


class GemmaClassifierAdapter(Scored, GemmaAdapter):
    """`GemmaForSequenceClassification`."""


class SmolLM3ClassifierAdapter(Scored, SmolLM3Adapter):
    """`SmolLM3ForSequenceClassification`."""


class GPTNeoXClassifierAdapter(Scored, GPTNeoXAdapter):
    """`GPTNeoXForSequenceClassification`."""


class GPTJClassifierAdapter(Scored, GptjArchitectureAdapter):
    """`GPTJForSequenceClassification`."""


class OPTClassifierAdapter(Scored, OptArchitectureAdapter):
    """`OPTForSequenceClassification`."""


class Gemma2ClassifierAdapter(Scored, Gemma2ArchitectureAdapter):
    """`Gemma2ForSequenceClassification`."""


class Gemma3ClassifierAdapter(Scored, Gemma3Adapter):
    """`Gemma3TextForSequenceClassification`."""


class OlmoClassifierAdapter(Scored, OlmoAdapter):
    """`OlmoForSequenceClassification`."""


class Olmo2ClassifierAdapter(Scored, Olmo2Adapter):
    """`Olmo2ForSequenceClassification`."""


class Phi3ClassifierAdapter(Scored, Phi3ArchitectureAdapter):
    """`Phi3ForSequenceClassification`."""


class PhiClassifierAdapter(Scored, PhiAdapter):
    """`PhiForSequenceClassification`."""
