"""OLMo 2 (OLMo Team 2024): layers whose norms are of what attention and the MLP put out."""

from dataclasses import replace

from hc_interp.models.families.llama import LLAMA, llama_like

OLMO2 = replace(
    LLAMA,
    norm_1=None,
    norm_2=None,
    attn_norm="layers.{}.post_attention_layernorm",
    mlp_norm="layers.{}.post_feedforward_layernorm",
    q_norm="layers.{}.self_attn.q_norm",
    k_norm="layers.{}.self_attn.k_norm",
    tiny={
        **{name: value for name, value in LLAMA.tiny.items() if name != "head_dim"},
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
)
CLASSES = llama_like("Olmo2", OLMO2)
