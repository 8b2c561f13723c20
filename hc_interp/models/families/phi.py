"""Phi 1, 1.5 and 2 (Li et al. 2023), whose attention and MLP read the same normalised stream."""

from dataclasses import replace

from hc_interp.models.families.family import OWN_ADAPTERS, scored
from hc_interp.models.families.llama import LLAMA

PHI = replace(
    LLAMA,
    adapter=f"{OWN_ADAPTERS}:PhiAdapter",
    o="layers.{}.self_attn.dense",
    mlp_out="layers.{}.mlp.fc2",
    norm_2="layers.{}.input_layernorm",
    norm_final="final_layernorm",
    parallel=True,
    requires={"qk_layernorm": False},
    tiny={
        **{name: value for name, value in LLAMA.tiny.items() if name != "head_dim"},
        "num_key_value_heads": 3,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    },
)
CLASSES = {
    "PhiForSequenceClassification": scored(PHI, f"{OWN_ADAPTERS}:PhiClassifierAdapter"),
    "PhiForCausalLM": PHI,
}
