"""Gemma 2 (Gemma Team 2024): Llama's layers, with norms before and after attention and MLP, and bounded scores."""

from dataclasses import replace

from hc_interp.models.families.family import TRANSFORMER_LENS
from hc_interp.models.families.llama import LLAMA, llama_like

GEMMA2 = replace(
    LLAMA,
    attn_norm="layers.{}.post_attention_layernorm",
    norm_2="layers.{}.pre_feedforward_layernorm",
    mlp_norm="layers.{}.post_feedforward_layernorm",
    score_cap="attn_logit_softcapping",
    logit_cap="final_logit_softcapping",
    softmax_in_float32=True,
    tiny={
        **LLAMA.tiny,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "sliding_window": 6,
        "query_pre_attn_scalar": 12,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 9.0,
    },
)

ADAPTER = f"{TRANSFORMER_LENS}.gemma2:Gemma2ArchitectureAdapter"
CLASSES = llama_like("Gemma2", GEMMA2) | {"Gemma2ForCausalLM": replace(GEMMA2, adapter=ADAPTER)}
