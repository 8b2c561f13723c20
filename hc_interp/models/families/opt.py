"""OPT (Zhang et al. 2022), as a language model or with a classifier; not OPT-350m, whose stream is normalised."""

from hc_interp.models.families.family import OWN_ADAPTERS, TINY_DECODER, TRANSFORMER_LENS, Family, scored

OPT = Family(
    adapter=f"{TRANSFORMER_LENS}.opt:OptArchitectureAdapter",
    trunk="model.decoder",
    block="layers.{}",
    q="layers.{}.self_attn.q_proj",
    k="layers.{}.self_attn.k_proj",
    v="layers.{}.self_attn.v_proj",
    o="layers.{}.self_attn.out_proj",
    norm_1="layers.{}.self_attn_layer_norm",
    d_mlp="ffn_dim",
    mlp_in="layers.{}.fc1",
    activation="layers.{}.activation_fn",
    mlp_out="layers.{}.fc2",
    norm_2="layers.{}.final_layer_norm",
    norm_final="final_layer_norm",
    head="lm_head",
    head_hook="unembed",
    readout="vocabulary",
    causal=True,
    requires={"do_layer_norm_before": True, "_remove_final_layer_norm": False},
    tiny={
        **TINY_DECODER,
        "hidden_size": 24,
        "word_embed_proj_dim": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "ffn_dim": 32,
        "vocab_size": 60,
        "max_position_embeddings": 40,
        "num_labels": 3,
    },
)
CLASSES = {
    "OPTForSequenceClassification": scored(OPT, f"{OWN_ADAPTERS}:OPTClassifierAdapter"),
    "OPTForCausalLM": OPT,
}
