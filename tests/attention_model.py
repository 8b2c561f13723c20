"""A two-layer BERT whose heads attend by rules that were written by hand.

Layer 0: H0 to copies of its own word, H1 evenly, H2 to the token before, H3 to [CLS]. Layer 1: H0 to the third token,
the others evenly. Words, places and [CLS] each have dimensions of their own in the stream; nothing is moved.
"""

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hc_interp.data.examples import Examples
from hc_interp.models.load import load

WORDS = [f"word{letter}" for letter in "abcdefghijkl"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
N_PLACES, D_HEAD = 24, 32
D_MODEL = 4 * D_HEAD  # words in dimensions 0 to 15, places from 16 on, the rest is empty
SHARP = 60.0


def attention_model():
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS) + 2,
        hidden_size=D_MODEL,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=8,
        num_labels=3,
        max_position_embeddings=N_PLACES,
    )
    module = BertForSequenceClassification(config)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
        embeddings = module.bert.embeddings
        for token in range(2, len(SPECIAL) + len(WORDS)):
            embeddings.word_embeddings.weight[token, token - 2] = 1.0
        embeddings.position_embeddings.weight[:, 16 : 16 + N_PLACES] = torch.eye(N_PLACES)
        first, second = (layer.attention.self for layer in module.bert.encoder.layer)
        words = torch.arange(2, 2 + len(WORDS))  # behind [CLS] and [SEP]
        for i, dimension in enumerate(words):
            _match(first, head=0, row=i, query=int(dimension), key=int(dimension))
        for i in range(1, N_PLACES):
            _match(first, head=2, row=i, query=16 + i, key=16 + i - 1)
        _always(first, head=3, key=0)  # the word [CLS]
        _always(second, head=0, key=16 + 2)
    return load(module, tokenizer=_tokenizer(), labels=["entailment", "neutral", "contradiction"])


def _match(attention, *, head: int, row: int, query: int, key: int) -> None:
    place = head * D_HEAD + row
    attention.query.weight[place, query] = SHARP**0.5
    attention.key.weight[place, key] = SHARP**0.5


def _always(attention, *, head: int, key: int) -> None:
    attention.query.bias[head * D_HEAD] = SHARP
    attention.key.weight[head * D_HEAD, key] = 1.0


def _tokenizer() -> PreTrainedTokenizerFast:
    names = [*SPECIAL, *WORDS, "##s", "."]
    core = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def attention_texts(n: int, seed: int = 0) -> Examples:
    """Premises of 4 to 7 different words; hypotheses of 2 to 4 different words, some of them from the premise."""
    rng = np.random.default_rng(seed)
    first = [" ".join(rng.choice(WORDS, size=rng.integers(4, 8), replace=False)) for _ in range(n)]
    second = [" ".join(rng.choice(WORDS, size=rng.integers(2, 5), replace=False)) for _ in range(n)]
    return Examples(tuple(first), tuple(second))
