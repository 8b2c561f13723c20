"""Gemma 3 (Gemma Team 2025), its text models: Gemma 2's layers, with norms of each head's q and k and two rotations."""

from dataclasses import replace

from hc_interp.models.families.family import OWN_ADAPTERS, scored
from hc_interp.models.families.gemma2 import GEMMA2

GEMMA3 = replace(
    GEMMA2,
    adapter=f"{OWN_ADAPTERS}:Gemma3Adapter",
    score_cap=None,
    softmax_in_float32=False,
    logit_cap="final_logit_softcapping",
    q_norm="layers.{}.self_attn.q_norm",
    k_norm="layers.{}.self_attn.k_norm",
    requires={"use_bidirectional_attention": False},
    tiny={
        **{name: value for name, value in GEMMA2.tiny.items() if name != "attn_logit_softcapping"},
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
)
CLASSES = {
    "Gemma3TextForSequenceClassification": scored(GEMMA3, f"{OWN_ADAPTERS}:Gemma3ClassifierAdapter"),
    "Gemma3ForCausalLM": GEMMA3,
}
