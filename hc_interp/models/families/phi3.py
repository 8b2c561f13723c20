"""Phi-3 (Abdin et al. 2024): Llama's layers, with joint projections of q, k and v and in the MLP."""

from dataclasses import replace

from hc_interp.models.families.family import TRANSFORMER_LENS
from hc_interp.models.families.llama import LLAMA, llama_like

PHI3 = replace(
    LLAMA,
    **dict.fromkeys(("q", "k", "v"), "layers.{}.self_attn.qkv_proj"),
    joint="blocks",
    tiny={
        **{name: value for name, value in LLAMA.tiny.items() if name != "head_dim"},
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 32,
        "sliding_window": 4,
    },
)
ADAPTER = f"{TRANSFORMER_LENS}.phi3:Phi3ArchitectureAdapter"
CLASSES = llama_like("Phi3", PHI3) | {"Phi3ForCausalLM": replace(PHI3, adapter=ADAPTER)}
