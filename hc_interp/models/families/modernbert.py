"""ModernBERT (Warner et al. 2024): norms before attention and MLP, windows to both sides, rotations of two bases."""

from dataclasses import replace

from hc_interp.models.families.bert import tagger
from hc_interp.models.families.family import TINY_SIZES, Family

MODERNBERT = Family(
    trunk="model",
    block="layers.{}",
    q="layers.{}.attn.Wqkv",
    k="layers.{}.attn.Wqkv",
    v="layers.{}.attn.Wqkv",
    o="layers.{}.attn.Wo",
    norm_1="layers.{}.attn_norm",
    mlp_out="layers.{}.mlp.Wo",
    norm_2="layers.{}.mlp_norm",
    norm_final="final_norm",
    rotary="rotary_emb",
    joint="blocks",
    tiny={
        **TINY_SIZES,
        "pad_token_id": 1,
        "bos_token_id": 2,
        "eos_token_id": 2,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        "local_attention": 6,
    },
)
CLASSES = {
    "ModernBertForSequenceClassification": MODERNBERT,
    "ModernBertForMaskedLM": replace(MODERNBERT, head="decoder", readout="vocabulary"),
    "ModernBertForTokenClassification": tagger(MODERNBERT, None),
}
