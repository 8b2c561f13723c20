"""Where each family of Hugging Face modules keeps its parts: a new family is a row here and an adapter."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Family:
    """Dotted paths of a family's parts; `{}` is the layer. All are below `trunk` but `head`, the last projection.

    `readout` says what the module's logits are: "classifier" (an encoder's, `[batch, class]`), "last" (a classifier
    on a decoder: the last position's), "vocabulary" (a language model's, at every position). `joint` is a family whose
    q, k and v are thirds of one projection; `q_norm` and `k_norm` are norms of one head's q and k before the rotation.
    `head_hook` is what TransformerLens calls the head.
    """

    trunk: str
    block: str
    q: str
    k: str
    v: str
    o: str
    norm_1: str
    mlp_out: str
    norm_2: str
    head: str = "classifier"
    head_hook: str = "classifier"
    readout: str = "classifier"
    norm_final: str | None = None
    q_norm: str | None = None
    k_norm: str | None = None
    rotary: str | None = None
    joint: bool = False
    causal: bool = False

    @property
    def mlp(self) -> str:
        """The MLP as one module; BERT has none, only its two projections."""
        return self.mlp_out.rsplit(".", 1)[0]

    @property
    def pre_norm(self) -> bool:
        """Whether norms stand before attention and MLP, so that the stream itself is never normalised."""
        return self.norm_final is not None


_BERT = Family(
    trunk="bert",
    block="encoder.layer.{}",
    q="encoder.layer.{}.attention.self.query",
    k="encoder.layer.{}.attention.self.key",
    v="encoder.layer.{}.attention.self.value",
    o="encoder.layer.{}.attention.output.dense",
    norm_1="encoder.layer.{}.attention.output.LayerNorm",
    mlp_out="encoder.layer.{}.output.dense",
    norm_2="encoder.layer.{}.output.LayerNorm",
)
_DISTILBERT = Family(
    trunk="distilbert",
    block="transformer.layer.{}",
    q="transformer.layer.{}.attention.q_lin",
    k="transformer.layer.{}.attention.k_lin",
    v="transformer.layer.{}.attention.v_lin",
    o="transformer.layer.{}.attention.out_lin",
    norm_1="transformer.layer.{}.sa_layer_norm",
    mlp_out="transformer.layer.{}.ffn.lin2",
    norm_2="transformer.layer.{}.output_layer_norm",
)
_GPT2 = Family(
    trunk="transformer",
    block="h.{}",
    q="h.{}.attn.c_attn",
    k="h.{}.attn.c_attn",
    v="h.{}.attn.c_attn",
    o="h.{}.attn.c_proj",
    norm_1="h.{}.ln_1",
    mlp_out="h.{}.mlp.c_proj",
    norm_2="h.{}.ln_2",
    norm_final="ln_f",
    joint=True,
    causal=True,
)
_LLAMA = Family(
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
    rotary="rotary_emb",
    causal=True,
)
_QWEN3 = replace(_LLAMA, q_norm="layers.{}.self_attn.q_norm", k_norm="layers.{}.self_attn.k_norm")


def _language_model(family: Family, head: str = "lm_head") -> Family:
    return replace(family, head=head, head_hook="unembed", readout="vocabulary")


def _scored(family: Family) -> Family:
    return replace(family, head="score", head_hook="score", readout="last")


FAMILIES = {
    "BertForSequenceClassification": _BERT,
    "RobertaForSequenceClassification": replace(_BERT, trunk="roberta", head="classifier.out_proj"),
    "ElectraForSequenceClassification": replace(_BERT, trunk="electra", head="classifier.out_proj"),
    "DistilBertForSequenceClassification": _DISTILBERT,
    "BertForMaskedLM": _language_model(_BERT, "cls.predictions.decoder"),
    "GPT2ForSequenceClassification": _scored(_GPT2),
    "GPT2LMHeadModel": _language_model(_GPT2),
    "LlamaForSequenceClassification": _scored(_LLAMA),
    "LlamaForCausalLM": _language_model(_LLAMA),
    "MistralForSequenceClassification": _scored(_LLAMA),
    "MistralForCausalLM": _language_model(_LLAMA),
    "Qwen2ForSequenceClassification": _scored(_LLAMA),
    "Qwen2ForCausalLM": _language_model(_LLAMA),
    "Qwen3ForSequenceClassification": _scored(_QWEN3),
    "Qwen3ForCausalLM": _language_model(_QWEN3),
    "GemmaForSequenceClassification": _scored(_LLAMA),
    "GemmaForCausalLM": _language_model(_LLAMA),
}


def unsupported(what: str) -> str:
    """The message for an architecture that is not in `FAMILIES`; `what` says who is of which class."""
    return (
        f"{what}, which hc_interp cannot wrap. Supported: {', '.join(FAMILIES)}. Load the checkpoint with the class "
        "that carries its head. Decoders whose attention and MLP stand side by side (GPT-NeoX, GPT-J) are not "
        "supported: they have no stream between the two."
    )
