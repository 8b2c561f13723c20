"""GPT-J (Wang and Komatsuzaki 2021), whose attention and MLP read the same normalised stream."""

from typing import Any

from torch import Tensor

from hc_interp.models.families.family import OWN_ADAPTERS, TINY_DECODER, TRANSFORMER_LENS, Family, scored


def angles(module: Any, layer: int, k: Tensor) -> tuple[Tensor, Tensor]:
    """The cosines and sines by which GPT-J rotates neighbouring entries of q and k."""
    table = module.transformer.h[layer].attn.embed_positions[None, : k.shape[1]]
    sin, cos = table.to(k).repeat_interleave(2, dim=-1).chunk(2, dim=-1)
    return cos, sin


GPTJ = Family(
    adapter=f"{TRANSFORMER_LENS}.gptj:GptjArchitectureAdapter",
    trunk="transformer",
    block="h.{}",
    q="h.{}.attn.q_proj",
    k="h.{}.attn.k_proj",
    v="h.{}.attn.v_proj",
    o="h.{}.attn.out_proj",
    norm_1="h.{}.ln_1",
    d_mlp="n_inner",
    mlp_out="h.{}.mlp.fc_out",
    norm_2="h.{}.ln_1",
    norm_final="ln_f",
    head="lm_head",
    head_hook="unembed",
    readout="vocabulary",
    angles=angles,
    neighbours=True,
    softmax_in_float32=True,
    parallel=True,
    causal=True,
    tiny={
        **TINY_DECODER,
        "n_embd": 24,
        "n_layer": 3,
        "n_head": 3,
        "n_inner": 32,
        "rotary_dim": 4,
        "vocab_size": 60,
        "n_positions": 40,
        "num_labels": 3,
    },
)
CLASSES = {
    "GPTJForSequenceClassification": scored(GPTJ, f"{OWN_ADAPTERS}:GPTJClassifierAdapter"),
    "GPTJForCausalLM": GPTJ,
}
