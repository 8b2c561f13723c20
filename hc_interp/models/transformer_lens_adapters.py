"""TransformerLens adapters for sequence classifiers: this package as a TransformerLens plugin.

TransformerLens wraps masked and causal language models. These adapters add fine-tuned classifiers: the language-model
head is left out of the component map and the classifier's own head put in. They are registered through the entry-point
group `transformer_lens.architectures`, so `pip install hc-interp` is all that a user's own TransformerLens code needs.
"""

from typing import Any

from transformer_lens.model_bridge.generalized_components import (
    AttentionBridge,
    BlockBridge,
    EmbeddingBridge,
    LinearBridge,
    MLPBridge,
    NormalizationBridge,
    PosEmbedBridge,
)
from transformer_lens.model_bridge.supported_architectures.bert import BertArchitectureAdapter

_LANGUAGE_MODEL_HEAD = ("mlm_head", "unembed", "ln_final")


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
    """`RobertaForSequenceClassification`: BERT's blocks under `roberta`; its head reads the first position."""

    trunk = "roberta"

    def _classifier(self) -> LinearBridge:
        return LinearBridge(name="classifier.out_proj")


class ElectraClassifierAdapter(RobertaClassifierAdapter):
    """`ElectraForSequenceClassification`: embedding and hidden sizes may differ; its head reads the first position."""

    trunk = "electra"


class DistilBertClassifierAdapter(BertClassifierAdapter):
    """`DistilBertForSequenceClassification`: no token types, no pooler, `pre_classifier` before `classifier`."""

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
            "pre_classifier": LinearBridge(name="pre_classifier"),
            "classifier": LinearBridge(name="classifier"),
        }

    def _norm(self, name: str) -> NormalizationBridge:
        return NormalizationBridge(name=name, config=self.cfg, use_native_layernorm_autograd=True)


# Kept beside the classes so that an editable or uninstalled checkout registers what the entry points name.
ADAPTERS = {
    "BertForSequenceClassification": BertClassifierAdapter,
    "RobertaForSequenceClassification": RobertaClassifierAdapter,
    "ElectraForSequenceClassification": ElectraClassifierAdapter,
    "DistilBertForSequenceClassification": DistilBertClassifierAdapter,
}
