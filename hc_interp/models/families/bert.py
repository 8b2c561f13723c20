"""BERT (Devlin et al. 2019), with a classifier of texts or of tokens or as a masked language model."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from hc_interp.models.families.family import OWN_ADAPTERS, TINY_SIZES, TRANSFORMER_LENS, Family


def pooled_and_classified(module: Any, first: Tensor) -> Tensor:
    """The class logits of BERT's head: its pooler, then its classifier."""
    return module.classifier(module.bert.pooler(first[:, None]))


def classified(module: Any, first: Tensor) -> Tensor:
    """The class logits of a head that picks the first position itself, as those of RoBERTa and ELECTRA do."""
    return module.classifier(first[:, None])


BERT = Family(
    adapter=f"{OWN_ADAPTERS}:BertClassifierAdapter",
    trunk="bert",
    block="encoder.layer.{}",
    q="encoder.layer.{}.attention.self.query",
    k="encoder.layer.{}.attention.self.key",
    v="encoder.layer.{}.attention.self.value",
    o="encoder.layer.{}.attention.output.dense",
    norm_1="encoder.layer.{}.attention.output.LayerNorm",
    mlp_in="encoder.layer.{}.intermediate.dense",
    activation="encoder.layer.{}.intermediate.intermediate_act_fn",
    mlp_out="encoder.layer.{}.output.dense",
    norm_2="encoder.layer.{}.output.LayerNorm",
    classify=pooled_and_classified,
    tiny=TINY_SIZES,
)


def masked(encoder: Family, adapter: str, head: str) -> Family:
    """The family of an encoder with the head of a masked language model, whose last projection is `head`."""
    return replace(
        encoder,
        adapter=adapter,
        head=head,
        head_hook="unembed",
        readout="vocabulary",
        classify=None,
        tiny={**encoder.tiny, "pad_token_id": 1},
    )


def tagger(encoder: Family, adapter: str | None) -> Family:
    """The family of an encoder that classifies every token by one linear layer."""
    return replace(encoder, adapter=adapter, head="classifier", readout="token", classify=None)


CLASSES = {
    "BertForSequenceClassification": BERT,
    "BertForMaskedLM": masked(BERT, f"{TRANSFORMER_LENS}.bert:BertArchitectureAdapter", "cls.predictions.decoder"),
    "BertForTokenClassification": tagger(BERT, BERT.adapter),
}
