"""GPT-NeoX (Black et al. 2022) and Pythia (Biderman et al. 2023), whose attention and MLP read the same stream."""

from hc_interp.models.families.family import OWN_ADAPTERS, TINY_DECODER, TINY_SIZES, Family, scored

GPT_NEOX = Family(
    adapter=f"{OWN_ADAPTERS}:GPTNeoXAdapter",
    trunk="gpt_neox",
    block="layers.{}",
    q="layers.{}.attention.query_key_value",
    k="layers.{}.attention.query_key_value",
    v="layers.{}.attention.query_key_value",
    o="layers.{}.attention.dense",
    norm_1="layers.{}.input_layernorm",
    mlp_out="layers.{}.mlp.dense_4h_to_h",
    norm_2="layers.{}.post_attention_layernorm",
    norm_final="final_layer_norm",
    head="lm_head",
    head_hook="unembed",
    readout="vocabulary",
    rotary="rotary_emb",
    joint="heads",
    parallel="use_parallel_residual",
    causal=True,
    tiny={
        **TINY_SIZES,
        **TINY_DECODER,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    },
)
CLASSES = {
    "GPTNeoXForSequenceClassification": scored(GPT_NEOX, f"{OWN_ADAPTERS}:GPTNeoXClassifierAdapter"),
    "GPTNeoXForCausalLM": GPT_NEOX,
}
