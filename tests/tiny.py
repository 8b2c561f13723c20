"""Tiny random models of every supported family, and batches for them. No download."""

import torch
import transformers

from hc_interp.data.batch import Batch
from hc_interp.models.families import FAMILIES as CLASSES

LABELS = ("entailment", "neutral", "contradiction")
VOCABULARY = 60

# One class for each way to compute a layer: these go through the tests of all rooms. `test_parity.py` has every class.
FAMILIES = {
    "bert": "BertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "electra": "ElectraForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "gpt2": "GPT2ForSequenceClassification",
    "llama": "LlamaForSequenceClassification",
}
WINDOWED = {"mistral": "MistralForSequenceClassification"}
LANGUAGE_MODELS = {"bert-lm": "BertForMaskedLM", "gpt2-lm": "GPT2LMHeadModel", "qwen3-lm": "Qwen3ForCausalLM"}


def tiny_module(family: str = "bert", seed: int = 0, dtype: torch.dtype = torch.float64):
    """A random module whose weights are large enough that every component matters. `family` may name its class."""
    name = {**FAMILIES, **WINDOWED, **LANGUAGE_MODELS}.get(family, family)
    kind = getattr(transformers, name)
    torch.manual_seed(seed)
    module = kind(kind.config_class(**CLASSES[name].tiny)).eval()
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
