"""Prompts on the command line: paths into the logits of a local GPT-2, and a template for pairs of sentences."""

import json

import pytest
import torch
from answers import bpe_tokenizer, tiny_gpt2
from shell import call
from texts import word_tokenizer
from tokenizers import processors

import hc_interp as hc

QUESTION = "{first} Question: {second} True or false?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A stand-in for GPT-2: its class and a byte-level tokenizer, which has the names of six people."""
    path = tmp_path_factory.mktemp("gpt2")
    tokenizer = bpe_tokenizer()
    tiny_gpt2(tokenizer).float().save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_the_path_of_every_head_into_the_logits(folder, tmp_path, monkeypatch, capsys) -> None:
    """The README's command."""
    out = tmp_path / "movers.json"
    done = call(
        monkeypatch, capsys, "patch", "--model", str(folder), "--task", "ioi", "--case", "ABBA", "--kind", "abc",
        "--receivers", "output", "--route", "mlps", "--pairs", "6", "--out", str(out),
    )  # fmt: skip
    assert done.code == 0, done.err
    found = hc.PathEffects.load(out)
    model = hc.load(folder)
    task = hc.load_task("ioi", tokenizer=model)
    assert {word for row in task.train.answer for word in row} == {" Mary", " John", " Anna", " Paul", " Emma", " Mark"}
    pairs = task.contrast_pairs("ABBA", "abc", split="test").sample(6, 0)
    again = hc.path_effects(model, pairs, "heads", "output", route="mlps")
    assert len(found.to_frame()) == 12
    assert torch.equal(found.effects, again.effects)
    assert float(found.effects.abs().max()) > 1e-4


def test_a_template_from_an_option_or_a_file(tmp_path, monkeypatch, capsys) -> None:
    texts = hc.load_task("overlap-grammar", max_per_case=20)
    words = [*texts.train.first, *texts.train.second, *texts.validation.first, *texts.validation.second]
    cases = [text for part in texts.cases.values() for text in (*part.first, *part.second)]
    tokenizer = word_tokenizer([*words, *cases, "Question: True or false?"])
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    module = tiny_gpt2(tokenizer).float()
    module.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    command = [
        "patch", "--model", str(tmp_path / "model"), "--task", "overlap-grammar", "--labels", "true,false",
        "--pairs", "4", "--senders", "L0H0", "--receivers", "L1H1", "--out", str(tmp_path / "edges.json"),
    ]  # fmt: skip
    refused = call(monkeypatch, capsys, *command)
    assert refused.code == 2
    assert "On the command line: --template" in " ".join(refused.err.split())
    config = tmp_path / "run.toml"
    config.write_text(f"template = {json.dumps(QUESTION)}\n")
    effects = []
    for given in (["--template", QUESTION], ["--config", str(config)]):
        done = call(monkeypatch, capsys, *command, *given)
        assert done.code == 0, done.err
        effects.append(hc.PathEffects.load(tmp_path / "edges.json").effects)
    assert torch.equal(*effects)
    bad = call(monkeypatch, capsys, *command, "--template", "{first}")
    assert bad.code == 2
    assert "with the fields {first} and {second}" in " ".join(bad.err.split())
