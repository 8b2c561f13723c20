"""`--read-at`: a token classifier on the command line is read at the token that the option names."""

import pytest
import torch
import transformers

import hc_interp as hc
from hc_interp.cli.shell import COMMANDS

CASE = "lexical_overlap_ln_passive"


@pytest.fixture(scope="module")
def token_folder(tiny_folder, tmp_path_factory):
    """The tiny BERT with a classifier of tokens."""
    whole = hc.load(tiny_folder, device="cpu")
    torch.manual_seed(1)
    module = transformers.BertForTokenClassification(whole.module.config)
    module.bert.load_state_dict(whole.module.bert.state_dict(), strict=False)
    folder = tmp_path_factory.mktemp("tokens")
    module.save_pretrained(folder)
    whole.tokenizer.save_pretrained(folder)
    return str(folder)


def evaluate(call, model, out, *more):
    few = ("--cases", CASE, "--max-per-case", "8", "--replace", "zero", "--device", "cpu")
    return call("evaluate", "--model", model, "--task", "overlap-grammar", "--out", str(out), *few, *more)


def test_every_command_that_loads_a_model_has_the_option() -> None:
    keys = {name: {setting.key for setting in settings} for name, settings in COMMANDS.items()}
    assert [name for name in keys if "read-at" in keys[name]] == [name for name in keys if "labels" in keys[name]]


def test_the_answer_is_at_the_position(hc_interp_call, small_task, token_folder, tmp_path) -> None:
    answers = {}
    for position in (-2, 1):
        out = tmp_path / f"at{position}.json"
        found = evaluate(hc_interp_call, token_folder, out, "--read-at", str(position))
        assert found.code == 0, found.err
        examples = hc.load_task("overlap-grammar").case(CASE)
        model = hc.load(token_folder, read_at=position, device="cpu")
        task = hc.load_task("overlap-grammar")
        expected = hc.evaluate(model, task, (), cases=[CASE], max_per_case=8).to_frame()
        assert hc.Evaluation.load(out).to_frame().equals(expected)
        answers[position] = model.logits(model.tokenize(examples))
    assert not torch.allclose(answers[-2], answers[1])


def test_a_missing_or_needless_position_is_said_with_the_option(
    hc_interp_call, small_task, token_folder, tiny_folder, tmp_path
) -> None:
    missing = evaluate(hc_interp_call, token_folder, tmp_path / "o.json")
    assert missing.code == 2
    assert "which token is the answer was not said" in missing.err
    assert "On the command line: --read-at -2 (-1 is a row's last token, 0 the first)." in missing.err
    needless = evaluate(hc_interp_call, tiny_folder, tmp_path / "o.json", "--read-at", "1")
    assert needless.code == 2
    assert "which is no token classifier" in needless.err
    assert "On the command line" not in needless.err
    assert not (tmp_path / "o.json").exists()


def test_a_run_is_read_there(hc_interp_call, monkeypatch, tiny_folder, grammar_task, tmp_path) -> None:
    given = {}
    monkeypatch.setattr(hc, "run", lambda *args, **options: given.update(options) or pytest.fail("stop"))
    with pytest.raises(pytest.fail.Exception, match="stop"):
        hc_interp_call(
            "run", "--model", "m", "--task", "overlap-grammar", "--out", str(tmp_path / "r"), "--read-at", "-2"
        )
    assert given["read_at"] == -2
    monkeypatch.undo()
    with pytest.raises(hc.ModelError, match="which is no token classifier"):
        hc.run(tiny_folder, grammar_task, tmp_path / "r", read_at=-2, device="cpu")
    with pytest.raises(hc.HCError, match="labels, read_at, device or dtype"):
        hc.run(hc.load(tiny_folder, device="cpu"), grammar_task, tmp_path / "r", read_at=-2)
    assert not (tmp_path / "r").exists()
