"""A word-level tokenizer for given texts, so that tiny models can read the grammar without a download."""

import re
from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

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
