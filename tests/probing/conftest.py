"""A two-layer BERT whose head L0H0 is built to see word overlap, and texts in which a word alone does not tell it."""

import numpy as np
import pytest
import torch
from texts import WORDS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hc_interp.data.examples import Examples
from hc_interp.models.hooked import HookedModel
from hc_interp.models.load import load

PIECES = ["##s", ".", "'", "t", "don"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SEGMENT = 20  # the dimension of the stream that tells the texts apart


def make_tokenizer() -> PreTrainedTokenizerFast:
    names = [*SPECIAL, *WORDS, *PIECES]
    core = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
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


def make_module() -> BertForSequenceClassification:
    """Head L0H0 attends to copies of its own word and reads which text these are in."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS) + len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=3,
        max_position_embeddings=40,
        initializer_range=0.5,
    )
    module = BertForSequenceClassification(config)
    embeddings, attention = module.bert.embeddings, module.bert.encoder.layer[0].attention.self
    head = slice(0, 16)
    with torch.no_grad():
        for table in (embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings):
            table.weight.zero_()
        for i in range(len(WORDS)):
            embeddings.word_embeddings.weight[len(SPECIAL) + i, i] = 1
        embeddings.token_type_embeddings.weight[:, SEGMENT] = torch.tensor([-1.0, 1.0])
        for projection in (attention.query, attention.key, attention.value):
            projection.weight[head] = 0
            projection.bias[head] = 0
        attention.query.weight[head, :16] = 3 * torch.eye(16)
        attention.key.weight[head, :16] = 3 * torch.eye(16)
        attention.value.weight[0, SEGMENT] = 1
        module.bert.encoder.layer[0].output.dense.weight.zero_()  # the MLP carries nothing past a cut path
    return module


@pytest.fixture(scope="session")
def model() -> HookedModel:
    return load(make_module(), tokenizer=make_tokenizer(), labels=["entailment", "neutral", "contradiction"])


def make_examples(n_sources: int, per_source: int = 1, seed: int = 0) -> Examples:
    """Premises of six words; hypotheses of four words, each from the premise or not by a coin."""
    rng = np.random.default_rng(seed)
    first, second = [], []
    for _ in range(n_sources):
        inside = rng.choice(WORDS, size=6, replace=False)
        outside = [word for word in WORDS if word not in inside]
        for _ in range(per_source):
            chosen = [rng.choice(inside if rng.random() < 0.5 else outside) for _ in range(4)]
            first.append(" ".join(rng.permutation(inside)) + ".")
            second.append(" ".join(chosen) + ".")
    source = [str(i // per_source) for i in range(len(first))]
    return Examples(tuple(first), tuple(second), source=tuple(source))


@pytest.fixture(scope="session")
def examples() -> Examples:
    return make_examples(120)


@pytest.fixture(scope="session")
def many_per_source() -> Examples:
    """30 sources with 20 examples each."""
    return make_examples(30, per_source=20, seed=1)
