"""Prompts on the command line: paths into the logits of a local GPT-2, and a template for pairs of sentences."""

import json

import pytest
import torch
from answers import bpe_tokenizer, tiny_gpt2
from shell import call
from texts import Tokens, word_tokenizer
from tokenizers import processors

import hc_interp as hc
from hc_interp.cli.inputs import label_names

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" yes, no", [" yes", " no"]),
        (" yes", [" yes"]),
        ("entailment, neutral, contradiction", ["entailment", "neutral", "contradiction"]),
        ("true,false", ["true", "false"]),
        (" yes,no", [" yes", "no"]),
        (None, None),
    ],
)
def test_label_words_keep_their_spaces(text, expected) -> None:
    assert label_names(text) == expected


def test_words_with_spaces_and_paths_by_role_on_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    """The words are those of the model: without their spaces they are no tokens of it."""
    tokenizer = Tokens.tokenizer
    module = tiny_gpt2(tokenizer).float()
    module.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    model = hc.load(str(tmp_path / "model"), labels=[" 17", " 18"])
    texts = [f"From the year {year} to" for year in (1701, 1805, 1790, 1820)]
    spans = {"year": [(14, 18)] * 4}
    sides = [hc.Examples(rows, label=[0, 1, 0, 1], spans=spans) for rows in (texts, texts[1:] + texts[:1])]
    task = hc.Task("years", cases={"c": sides[0]}, pairs={("c", "order"): hc.ContrastPairs(*sides, gold=[0, 1, 0, 1])})
    monkeypatch.setattr("hc_interp.load_task", lambda *args, **options: task)
    command = [
        "patch", "--model", str(tmp_path / "model"), "--task", "mnli-hans", "--labels", " 17, 18", "--case", "c",
        "--split", "test", "--senders", "L0H0,L1MLP@year", "--receivers", "output", "--out", str(tmp_path / "e.json"),
    ]  # fmt: skip
    done = call(monkeypatch, capsys, *command)
    assert done.code == 0, done.err
    pairs = task.contrast_pairs("c", "order", "test")
    again = hc.path_effects(model, pairs, "L0H0, L1MLP@year", "output")
    assert torch.equal(hc.PathEffects.load(tmp_path / "e.json").effects, again.effects)
    command[command.index("L0H0,L1MLP@year")] = "L0H0"
    for given, roles in (("roles", {"first_text", "last", "year"}), ("year,last", {"year", "last"})):
        done = call(monkeypatch, capsys, *command, "--positions", given)
        assert done.code == 0, done.err
        assert set(hc.PathEffects.load(tmp_path / "e.json").to_frame()["sender_role"]) == roles
