"""GPT-2 (Radford et al. 2019), as a language model or with a classifier."""

from hc_interp.models.families.family import OWN_ADAPTERS, TINY_DECODER, TRANSFORMER_LENS, Family, scored

GPT2 = Family(
    adapter=f"{TRANSFORMER_LENS}.gpt2:GPT2ArchitectureAdapter",
    trunk="transformer",
    block="h.{}",
    q="h.{}.attn.c_attn",
    k="h.{}.attn.c_attn",
    v="h.{}.attn.c_attn",
    o="h.{}.attn.c_proj",
    norm_1="h.{}.ln_1",
    d_mlp="n_inner",
    mlp_out="h.{}.mlp.c_proj",
    norm_2="h.{}.ln_2",
    norm_final="ln_f",
    head="lm_head",
    head_hook="unembed",
    readout="vocabulary",
    joint="blocks",
    causal=True,
    tiny={
        **TINY_DECODER,
        "n_embd": 24,
        "n_layer": 3,
        "n_head": 3,
        "n_inner": 32,
        "vocab_size": 60,
        "n_positions": 40,
        "num_labels": 3,
    },
)
CLASSES = {
    "GPT2ForSequenceClassification": scored(GPT2, f"{OWN_ADAPTERS}:GPT2ClassifierAdapter"),
    "GPT2LMHeadModel": GPT2,
}
