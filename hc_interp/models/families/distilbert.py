"""DistilBERT (Sanh et al. 2019), with a classifier or as a masked language model."""

from typing import Any

from torch import Tensor

from hc_interp.models.families.bert import masked, tagger
from hc_interp.models.families.family import OWN_ADAPTERS, Family


def classified(module: Any, first: Tensor) -> Tensor:
    """The class logits of DistilBERT's head."""
    return module.classifier(module.pre_classifier(first).relu())


DISTILBERT = Family(
    adapter=f"{OWN_ADAPTERS}:DistilBertClassifierAdapter",
    trunk="distilbert",
    block="transformer.layer.{}",
    q="transformer.layer.{}.attention.q_lin",
    k="transformer.layer.{}.attention.k_lin",
    v="transformer.layer.{}.attention.v_lin",
    o="transformer.layer.{}.attention.out_lin",
    norm_1="transformer.layer.{}.sa_layer_norm",
    d_mlp="hidden_dim",
    mlp_in="transformer.layer.{}.ffn.lin1",
    activation="transformer.layer.{}.ffn.activation",
    mlp_out="transformer.layer.{}.ffn.lin2",
    norm_2="transformer.layer.{}.output_layer_norm",
    classify=classified,
    tiny={
        "dim": 24,
        "n_layers": 3,
        "n_heads": 3,
        "hidden_dim": 32,
        "vocab_size": 60,
        "max_position_embeddings": 40,
        "num_labels": 3,
    },
)
CLASSES = {
    "DistilBertForSequenceClassification": DISTILBERT,
    "DistilBertForMaskedLM": masked(DISTILBERT, f"{OWN_ADAPTERS}:DistilBertAdapter", "vocab_projector"),
    "DistilBertForTokenClassification": tagger(DISTILBERT, f"{OWN_ADAPTERS}:DistilBertTokenAdapter"),
}
