"""Tiny random models of every supported family, and batches for them. No download."""

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForSequenceClassification,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from hc_interp.data.batch import Batch

LABELS = ("entailment", "neutral", "contradiction")
VOCABULARY = 60

_SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 32,
    "num_labels": 3,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 40,
}
_DISTIL = {
    "dim": 24,
    "n_layers": 3,
    "n_heads": 3,
    "hidden_dim": 32,
    "num_labels": 3,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 40,
}
_DECODER = {"vocab_size": VOCABULARY, "num_labels": 3, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
_GPT2 = {**_DECODER, "n_embd": 24, "n_layer": 3, "n_head": 3, "n_inner": 32, "n_positions": 40}
_GROUPED = {  # query heads that share keys and values
    **_DECODER,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "head_dim": 8,
}
FAMILIES = {
    "bert": lambda: BertForSequenceClassification(BertConfig(**_SIZES)),
    "roberta": lambda: RobertaForSequenceClassification(RobertaConfig(**_SIZES)),
    "electra": lambda: ElectraForSequenceClassification(ElectraConfig(**_SIZES, embedding_size=12)),
    "distilbert": lambda: DistilBertForSequenceClassification(DistilBertConfig(**_DISTIL)),
    "gpt2": lambda: GPT2ForSequenceClassification(GPT2Config(**_GPT2)),
    "llama": lambda: LlamaForSequenceClassification(
        LlamaConfig(**_GROUPED, num_attention_heads=3, num_key_value_heads=1)
    ),
}
WINDOWED = {
    "mistral": lambda: MistralForSequenceClassification(
        MistralConfig(**_GROUPED, num_attention_heads=3, num_key_value_heads=1, sliding_window=3)
    ),
}
LANGUAGE_MODELS = {
    "bert-lm": lambda: BertForMaskedLM(BertConfig(**_SIZES, pad_token_id=1)),
    "gpt2-lm": lambda: GPT2LMHeadModel(GPT2Config(**_GPT2)),
    "qwen3-lm": lambda: Qwen3ForCausalLM(Qwen3Config(**_GROUPED, num_attention_heads=4, num_key_value_heads=2)),
}


def tiny_module(family: str = "bert", seed: int = 0, dtype: torch.dtype = torch.float64):
    """A random module whose weights are large enough that every component matters."""
    torch.manual_seed(seed)
    module = {**FAMILIES, **WINDOWED, **LANGUAGE_MODELS}[family]().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.35 if parameter.ndim > 1 else 0.1) + (parameter.ndim == 1))
        for name, parameter in module.named_parameters():
            if "bias" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return module.to(dtype)


def tiny_batch(rows: int = 5, length: int = 9, seed: int = 0, ids: bool = True) -> Batch:
    """Random tokens, right-padded to different lengths, token types as for two texts."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(5, VOCABULARY, (rows, length), generator=generator)
    lengths = torch.randint(max(1, length // 2), length + 1, (rows,), generator=generator)
    lengths[0] = length
    mask = (torch.arange(length) < lengths[:, None]).long()
    types = (torch.arange(length) >= length // 2).long().expand(rows, -1) * mask
    tokens = tokens * mask + (1 - mask)  # the padding index of RoBERTa and of the decoders is 1
    return Batch(tokens, mask, types, ids=tuple(f"row-{i}" for i in range(rows)) if ids else None)
