"""DeBERTa v1 (He et al. 2021): one projection to q, k and v, with biases of q and v alone."""

from dataclasses import replace
from typing import Any

from hc_interp.models.attention_rule import DistanceVectors
from hc_interp.models.families.bert import tagger
from hc_interp.models.families.deberta_v2 import DEBERTA_V2, inverse_root, masked, projected_distances
from hc_interp.models.families.family import Family


def distances(module: Any, layer: int, length: int) -> DistanceVectors:
    """The distances' keys and queries, by projections of their own."""
    if not module.deberta.encoder.relative_attention:
        return DistanceVectors(None, None)
    return projected_distances(module, layer, length, "pos_proj", "pos_q_proj")


def scale(module: Any) -> float:
    """The factor of the scores: their variance grows with the number of products in them."""
    attention = module.deberta.encoder.layer[0].attention.self
    return inverse_root(attention.attention_head_size, 1 + len(attention.pos_att_type))


DEBERTA: Family = replace(
    DEBERTA_V2,
    **dict.fromkeys("qkv", "encoder.layer.{}.attention.self.in_proj"),
    joint="heads",
    q_bias="encoder.layer.{}.attention.self.q_bias",
    v_bias="encoder.layer.{}.attention.self.v_bias",
    distances=distances,
    distance_projections=("encoder.layer.{}.attention.self.pos_proj", "encoder.layer.{}.attention.self.pos_q_proj"),
    scale=scale,
    requires={"talking_head": False},
    tiny={
        **{name: value for name, value in DEBERTA_V2.tiny.items() if name not in ("share_att_key", "position_buckets")},
        "type_vocab_size": 2,
        "max_relative_positions": 6,
        "position_biased_input": True,
    },
)
CLASSES = {
    "DebertaForSequenceClassification": DEBERTA,
    "DebertaForMaskedLM": masked(DEBERTA),
    "DebertaForTokenClassification": tagger(DEBERTA, None),
}
