"""Tokenizers for tiny models: word-level for given texts, byte pairs like GPT-2's for prompts. No download."""

import re
from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

import hc_interp as hc
from hc_interp.data.prompts.ioi import NAMES

WORDS = [
    "doctor",
    "lawyer",
    "actor",
    "judge",
    "saw",
    "called",
    "near",
    "red",
    "old",
    "new",
    "big",
    "tall",
    "sad",
    "shy",
]


def word_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Every word of the texts is one token; anything else is [UNK]."""
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    core = Tokenizer(models.WordLevel({name: i for i, name in enumerate([*special, *words])}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def byte_pairs(names=NAMES[:9], years=range(100)) -> PreTrainedTokenizerFast:
    """Splits words like GPT-2's: these names and these years after a century are one token, other names are not."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    words = [f" {name}" for name in names] + [" 17", " 18"] * 9 + [f"{year:02d}" for year in years]
    core.train_from_iterator(words * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


class Tokens:
    """A stand-in for a model: its tokenizer alone."""

    tokenizer, labels, max_positions, device = byte_pairs(), None, 200, "cpu"

    def tokenize(self, first, second=None):
        encoded = self.tokenizer(first, padding=True, padding_side="right", return_tensors="pt")
        return hc.Batch(encoded["input_ids"], encoded["attention_mask"])
