"""MPNet (Song et al. 2020): BERT's layers, with a bias of the attention scores for each distance."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hc_interp.models.families.bert import classified, masked, tagger
from hc_interp.models.families.family import OWN_ADAPTERS, Family
from hc_interp.models.families.roberta import ROBERTA


def bias_of_distances(module: Any, length: int) -> Tensor:
    """What MPNet adds to the scores of each head, by the distance from query to key: the same in all layers."""
    weight = module.mpnet.encoder.relative_attention_bias.weight
    return module.mpnet.encoder.compute_position_bias(torch.empty(1, length, 0, device=weight.device))


MPNET = replace(
    ROBERTA,
    adapter=f"{OWN_ADAPTERS}:MPNetClassifierAdapter",
    trunk="mpnet",
    q="encoder.layer.{}.attention.attn.q",
    k="encoder.layer.{}.attention.attn.k",
    v="encoder.layer.{}.attention.attn.v",
    o="encoder.layer.{}.attention.attn.o",
    norm_1="encoder.layer.{}.attention.LayerNorm",
    position_bias=bias_of_distances,
    classify=classified,
    requires={"pad_token_id": 1},  # the module counts positions from it, whatever its config says
)
MASKED: Family = masked(MPNET, f"{OWN_ADAPTERS}:MPNetAdapter", "lm_head.decoder")
CLASSES = {
    "MPNetForSequenceClassification": MPNET,
    "MPNetForMaskedLM": MASKED,
    "MPNetForTokenClassification": tagger(MPNET, f"{OWN_ADAPTERS}:MPNetTokenAdapter"),
}
