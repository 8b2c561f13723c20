"""ALBERT (Lan et al. 2020): BERT's layers, of which one module computes many, after a small embedding is projected."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from hc_interp.models.families.bert import BERT, masked, tagger
from hc_interp.models.families.family import OWN_ADAPTERS, TINY_SIZES

LAYER = "encoder.albert_layer_groups.{}.albert_layers.0"


def classified(module: Any, first: Tensor) -> Tensor:
    """The class logits of ALBERT's head: a pooler that is no module of its own, then its classifier."""
    albert = module.albert
    return module.classifier(albert.pooler_activation(albert.pooler(first)))


ALBERT = replace(
    BERT,
    adapter=f"{OWN_ADAPTERS}:AlbertClassifierAdapter",
    trunk="albert",
    block="encoder.albert_layer_groups.{}",
    modules="num_hidden_groups",
    q=f"{LAYER}.attention.query",
    k=f"{LAYER}.attention.key",
    v=f"{LAYER}.attention.value",
    o=f"{LAYER}.attention.dense",
    norm_1=f"{LAYER}.attention.LayerNorm",
    mlp_in=f"{LAYER}.ffn",
    activation=f"{LAYER}.activation",
    mlp_out=f"{LAYER}.ffn_output",
    norm_2=f"{LAYER}.full_layer_layer_norm",
    classify=classified,
    requires={"inner_group_num": 1},
    tiny={**TINY_SIZES, "embedding_size": 12},
)
CLASSES = {
    "AlbertForSequenceClassification": ALBERT,
    "AlbertForMaskedLM": masked(ALBERT, f"{OWN_ADAPTERS}:AlbertAdapter", "predictions.decoder"),
    "AlbertForTokenClassification": tagger(ALBERT, ALBERT.adapter),
}
