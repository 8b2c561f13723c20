"""Qwen3 (Yang et al. 2025): Llama's layers, with a norm of each head's q and k before the rotation."""

from dataclasses import replace

from hc_interp.models.families.llama import LLAMA, llama_like

QWEN3 = replace(
    LLAMA,
    q_norm="layers.{}.self_attn.q_norm",
    k_norm="layers.{}.self_attn.k_norm",
    tiny={**LLAMA.tiny, "num_attention_heads": 4, "num_key_value_heads": 2},
)
CLASSES = llama_like("Qwen3", QWEN3)
