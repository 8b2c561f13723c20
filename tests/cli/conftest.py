"""A tiny random model in a folder, and the grammar task read once."""

from functools import cache, partial

import pytest
import torch
from shell import call
from small_task import part_of
from texts import word_tokenizer
from tiny import LABELS
from transformers import BertConfig, BertForSequenceClassification

import hc_interp as hc
from hc_interp.data.load import load_task


@cache
def grammar():
    return part_of(load_task("overlap-grammar", max_per_case=40))


@pytest.fixture(scope="session")
def grammar_task():
    """Few examples of each case, read once."""
    return grammar()


@pytest.fixture
def small_task(monkeypatch):
    """`hc.load_task("overlap-grammar")` gives few examples, and is read once."""

    def load(name, data_dir=None, **options):
        return grammar() if name == "overlap-grammar" else load_task(name, data_dir, **options)

    monkeypatch.setattr(hc, "load_task", load)
    monkeypatch.setattr("hc_interp.experiment.run.load_task", load)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A three-layer BERT of three heads, as save_pretrained writes it."""
    task = load_task("overlap-grammar", max_per_case=40)
    splits = [task.train, task.validation, *task.cases.values(), task.overlap]
    tokenizer = word_tokenizer(text for part in splits for text in (*part.first, *part.second))
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=32, vocab_size=len(tokenizer),
        max_position_embeddings=64, initializer_range=0.4, id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def hc_interp_call(monkeypatch, capsys):
    """Call the command line in this process."""
    return partial(call, monkeypatch, capsys)
