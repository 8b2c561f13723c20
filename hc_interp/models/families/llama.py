"""Llama (Touvron et al. 2023), as a language model or with a classifier; other families have its layers."""

from dataclasses import replace

from hc_interp.models.families.family import OWN_ADAPTERS, TINY_DECODER, TINY_SIZES, Family, scored

LLAMA = Family(
    adapter=f"{OWN_ADAPTERS}:LlamaAdapter",
    trunk="model",
    block="layers.{}",
    q="layers.{}.self_attn.q_proj",
    k="layers.{}.self_attn.k_proj",
    v="layers.{}.self_attn.v_proj",
    o="layers.{}.self_attn.o_proj",
    norm_1="layers.{}.input_layernorm",
    mlp_out="layers.{}.mlp.down_proj",
    norm_2="layers.{}.post_attention_layernorm",
    norm_final="norm",
    head="lm_head",
    head_hook="unembed",
    readout="vocabulary",
    rotary="rotary_emb",
    causal=True,
    tiny={**TINY_SIZES, **TINY_DECODER, "head_dim": 8, "num_key_value_heads": 1},
)


def llama_like(name: str, family: Family = LLAMA) -> dict[str, Family]:
    """The two module classes of a family with Llama's class names; `family` says what its layers are."""
    return {
        f"{name}ForSequenceClassification": scored(family, f"{OWN_ADAPTERS}:{name}ClassifierAdapter"),
        f"{name}ForCausalLM": replace(family, adapter=f"{OWN_ADAPTERS}:{name}Adapter"),
    }


CLASSES = llama_like("Llama")
