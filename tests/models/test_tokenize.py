"""Texts to tokens that the model reads as it was trained to."""

import warnings

import pytest
from texts import word_tokenizer
from tiny import LABELS, tiny_module
from tokenizers.normalizers import Lowercase

from hc_interp.errors import DataError, HCWarning
from hc_interp.models.load import load
from hc_interp.models.tokenize import tokenization


def test_token_types_are_there_where_the_tokenizer_leaves_them_out() -> None:
    tokenizer = word_tokenizer(["the judge saw"])
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    batch = load(tiny_module("bert"), tokenizer=tokenizer, labels=LABELS).tokenize("the judge", "saw")
    assert batch.token_type_ids is not None
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 0, 1, 1]]


def test_the_last_token_is_known_and_the_next_is_not() -> None:
    words = [f"w{i:02d}" for i in range(57)]  # 4 special tokens before them: the last is one too many for 60
    model = load(tiny_module("bert"), tokenizer=word_tokenizer(words), labels=LABELS)
    assert int(model.tokenize(words[-2]).input_ids.max()) == 59
    with pytest.raises(DataError, match=r"The tokenizer gave token 60; .* knows tokens 0 to 59"):
        model.tokenize(words[-1])


def test_words_that_the_tokenizer_does_not_know_are_said() -> None:
    model = load(tiny_module("bert"), tokenizer=word_tokenizer(["the judge saw"]), labels=LABELS)
    with pytest.warns(HCWarning, match=r"3 of 14 tokens are \[UNK\]: .*row 1 begins 'the lawyer met'"):
        model.tokenize(["the judge saw", "the lawyer met"], ["judge", "him"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.tokenize(["the judge saw the", "the judge saw him"])  # one of eighteen


def test_an_end_of_text_that_is_also_unknown_is_no_unknown_word() -> None:
    tokenizer = word_tokenizer(["the judge"])
    tokenizer.eos_token = "[UNK]"  # as GPT-2's
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tiny_module("bert"), tokenizer=tokenizer, labels=LABELS).tokenize("him")


def test_the_rules_of_a_tokenizer_are_its_identity_and_padding_and_truncation_are_not() -> None:
    one, other = word_tokenizer(["a b c"]), word_tokenizer(["a b d"])
    rules = tokenization(one)
    assert rules != tokenization(other)
    one.backend_tokenizer.enable_padding(length=9)
    one.backend_tokenizer.enable_truncation(4)
    assert tokenization(one) == rules
    one.backend_tokenizer.normalizer = Lowercase()  # a change in place is seen
    assert tokenization(one) != rules
