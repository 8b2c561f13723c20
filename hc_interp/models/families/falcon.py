"""Falcon (Almazrouei et al. 2023), whose heads share keys, and whose attention and MLP mostly read the same stream."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hc_interp.errors import ModelError
from hc_interp.models.families.family import TINY_DECODER, TINY_SIZES, Family, scored

ADAPTERS = "hc_interp.models.transformer_lens_falcon"


def key_value_heads(config: Any) -> int:
    """The number of different keys and values: one for all heads (7B), one for each group (40B) or for each head."""
    if config.new_decoder_architecture:
        return config.num_kv_heads
    return 1 if config.multi_query else config.num_attention_heads


def alibi(module: Any, length: int) -> Tensor | None:
    """What a Falcon with ALiBi adds to the scores (Press et al. 2022): a slope for each head, times the key's position.

    None if the config asks for rotations. The slopes are rounded to bfloat16, as in the module.
    """
    from transformers.models.falcon.modeling_falcon import build_alibi_tensor

    config, weight = module.config, module.transformer.word_embeddings.weight
    if not config.alibi:
        return None
    if config._attn_implementation == "eager":
        raise ModelError(
            "This Falcon has ALiBi (alibi=True) and asks for eager attention, by which transformers adds ALiBi twice, "
            "in the mask and beside it. Load the module with attn_implementation='sdpa'."
        )
    mask = torch.ones(1, length, dtype=torch.long, device=weight.device)
    bias = build_alibi_tensor(mask, config.num_attention_heads, weight.dtype) * config.head_dim**-0.5
    return bias.expand(-1, length, -1)[None]


FALCON = Family(
    adapter=f"{ADAPTERS}:FalconAdapter",
    trunk="transformer",
    block="h.{}",
    q="h.{}.self_attention.query_key_value",
    k="h.{}.self_attention.query_key_value",
    v="h.{}.self_attention.query_key_value",
    o="h.{}.self_attention.dense",
    norm_1="h.{}.ln_attn|h.{}.input_layernorm",
    mlp_out="h.{}.mlp.dense_4h_to_h",
    norm_2="h.{}.ln_mlp|h.{}.post_attention_layernorm|h.{}.input_layernorm",
    norm_final="ln_f",
    head="lm_head",
    head_hook="unembed",
    readout="vocabulary",
    rotary="rotary_emb",
    position_bias=alibi,
    joint="heads",
    key_value_heads=key_value_heads,
    parallel="parallel_attn",
    adds_in_place=True,
    causal=True,
    d_mlp="ffn_hidden_size",
    tiny={
        **{name: value for name, value in TINY_SIZES.items() if name != "intermediate_size"},
        **TINY_DECODER,
        "ffn_hidden_size": 32,
        "bias": True,
    },
)
GROUPED = {
    **FALCON.tiny,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_kv_heads": 2,
    "new_decoder_architecture": True,
}
CLASSES = {
    "FalconForSequenceClassification": replace(scored(FALCON, f"{ADAPTERS}:FalconClassifierAdapter"), tiny=GROUPED),
    "FalconForCausalLM": FALCON,
}
