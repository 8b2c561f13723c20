"""The part of a model that encoding needs: a device, and a WordPiece tokenizer made here."""

import string
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hc_interp.data.batch import Batch
from hc_interp.errors import DataError

WORDS = ["the", "a", "doctor", "lawyer", "actor", "judge", "saw", "called", "near", ".", "of", "red", "old", "not"]


class TinyModel:
    """The given words are one piece, all others a piece for each letter."""

    def __init__(self, words=WORDS, max_positions: int = 64, labels=("entailment", "neutral", "contradiction")) -> None:
        letters = list(string.ascii_lowercase + string.digits)
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        names = [*special, *dict.fromkeys([*words, *letters]), *(f"##{letter}" for letter in letters)]
        core = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
        core.normalizer = normalizers.BertNormalizer()
        core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        core.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
        )
        self.labels, self.max_positions, self.device, self.name = labels, max_positions, "cpu", "tiny"

    def tokenize(self, first, second=None) -> Batch:
        texts = (list(first),) if second is None else (list(first), list(second))
        encoded = self.tokenizer(*texts, padding=True, return_tensors="pt", return_token_type_ids=True)
        if encoded["input_ids"].shape[1] > self.max_positions:
            raise DataError("too long")
        return Batch(encoded["input_ids"], encoded["attention_mask"], encoded["token_type_ids"])


@pytest.fixture(scope="session")
def tiny_model() -> type[TinyModel]:
    return TinyModel


@pytest.fixture(scope="session")
def model() -> TinyModel:
    return TinyModel()


@pytest.fixture(scope="session")
def short_model() -> TinyModel:
    return TinyModel(max_positions=12)


@pytest.fixture(scope="session")
def no_pad_model() -> SimpleNamespace:
    """A model whose tokenizer has neither a padding nor an end token."""
    tiny = TinyModel()
    bare = SimpleNamespace(pad_token_id=None, eos_token_id=None)
    return SimpleNamespace(tokenizer=bare, tokenize=tiny.tokenize, max_positions=64, device="cpu")
