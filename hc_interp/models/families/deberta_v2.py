"""DeBERTa v2 and v3 (He et al. 2021): BERT's layers; scores also depend on products with vectors of the distance."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hc_interp.models.attention_rule import DistanceVectors
from hc_interp.models.families.bert import BERT, tagger
from hc_interp.models.families.family import Family


def pooled_and_classified(module: Any, first: Tensor) -> Tensor:
    """The class logits of DeBERTa's head: its pooler, then its classifier."""
    return module.classifier(module.pooler(first[:, None]))


def distances(module: Any, layer: int, length: int) -> DistanceVectors:
    """The distances' keys and queries: by projections of their own, or by those of the text."""
    attention = module.deberta.encoder.layer[layer].attention.self
    if not attention.relative_attention:
        return DistanceVectors(None, None)
    if attention.share_att_key:
        return projected_distances(module, layer, length, "key_proj", "query_proj")
    return projected_distances(module, layer, length, "pos_key_proj", "pos_query_proj")


def projected_distances(module: Any, layer: int, length: int, key: str, query: str) -> DistanceVectors:
    """The embeddings of distances, each of a bucket of them, projected by the parts `key` and `query` of attention."""
    encoder = module.deberta.encoder
    attention, embeddings = encoder.layer[layer].attention.self, encoder.get_rel_embedding()
    buckets = encoder.get_rel_pos(torch.empty(1, length, 0, device=embeddings.device))[0]
    buckets = torch.cat([buckets[0, 1:].flip(0), buckets[:, 0]])  # of the distances 1 - length to length - 1
    span = len(embeddings) // 2
    embeddings = embeddings[(buckets + span).clamp(0, 2 * span - 1)]

    def by_head(projection: str, kind: str) -> Tensor | None:
        if kind not in attention.pos_att_type:
            return None
        return getattr(attention, projection)(embeddings).unflatten(-1, (attention.num_attention_heads, -1))

    return DistanceVectors(by_head(key, "c2p"), by_head(query, "p2c"))


def inverse_root(d_head: int, terms: int) -> float:
    """`1 / sqrt(terms * d_head)`, by the root in float32 that the module divides by in every type."""
    return 1 / float(torch.sqrt(torch.tensor(d_head, dtype=torch.float32) * terms))


def scale(module: Any) -> float:
    """The factor of the scores: their variance grows with the number of products in them."""
    attention = module.deberta.encoder.layer[0].attention.self
    terms = 1 + ("c2p" in attention.pos_att_type) + ("p2c" in attention.pos_att_type)
    return inverse_root(attention.attention_head_size, terms)


DEBERTA_V2: Family = replace(
    BERT,
    adapter=None,
    trunk="deberta",
    q="encoder.layer.{}.attention.self.query_proj",
    k="encoder.layer.{}.attention.self.key_proj",
    v="encoder.layer.{}.attention.self.value_proj",
    distances=distances,
    distance_projections=(
        "encoder.layer.{}.attention.self.pos_key_proj",
        "encoder.layer.{}.attention.self.pos_query_proj",
    ),
    scale=scale,
    masked_queries=True,
    classify=pooled_and_classified,
    requires={"conv_kernel_size": 0},
    tiny={
        **BERT.tiny,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "position_buckets": 4,
        "max_relative_positions": 12,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
    },
)


def masked(family: Family) -> Family:
    """The family with the head of a masked language model in the form that has a last projection of its own."""
    return replace(
        family,
        head="cls.predictions.decoder",
        readout="vocabulary",
        classify=None,
        requires={**family.requires, "legacy": True},
    )


CLASSES = {
    "DebertaV2ForSequenceClassification": DEBERTA_V2,
    "DebertaV2ForMaskedLM": masked(DEBERTA_V2),
    "DebertaV2ForTokenClassification": tagger(DEBERTA_V2, None),
}
