"""A series gives its checkpoints when asked for, to the last bit, and refuses a damaged file by name."""

import json
import shutil

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from shell import call
from texts import WORDS, word_tokenizer
from tiny import tiny_module
from training_start import TASK, same, start_of, texts, weights

import hc_interp as hc
from hc_interp.checksum import read_checked, write_checked
from hc_interp.errors import ModelError, TrainingError
from hc_interp.models import zoo_cards
from hc_interp.models.low_rank import added, factored
from hc_interp.training.checks import checkpoint_steps
from hc_interp.training.folder import STATE, TrainingFolder


def test_a_series_is_read_from_its_folder(finished) -> None:
    series = hc.load_series(finished.folder)
    assert (series.steps, list(series), len(series)) == (finished.steps, [0, 1, 2, 4, 5], 5)
    assert 4 in series
    assert 3 not in series
    assert series.card == finished.card
    pd.testing.assert_frame_equal(series.metrics, finished.metrics, check_exact=True)
    assert repr(series) == f"ModelSeries({finished.folder}: 5 checkpoints, steps 0 to 5, full weights)"
    assert "separation_heuristic" in series._repr_html_()


def test_a_checkpoint_gives_the_same_logits_each_time_it_is_loaded(finished, start) -> None:
    batch = start.tokenize(TASK.validation)
    logits = finished[4].logits(batch)
    assert torch.equal(logits, finished[4].logits(batch))
    assert torch.equal(logits, hc.load(f"{finished.folder}@4").logits(batch))
    assert torch.equal(hc.load(f"{finished.folder}@0").logits(batch), start.logits(batch))
    assert not torch.equal(logits, finished[5].logits(batch))
    assert finished[4] is not finished[4]
    assert finished[4].labels == start.labels
    assert finished[4].name == f"{finished.folder}@4"


def test_labels_and_dtype_can_be_chosen(finished) -> None:
    model = hc.load(f"{finished.folder}@5", dtype="float64")
    assert model.dtype == torch.float64
    assert same(weights(model), {name: value.double() for name, value in weights(finished[5]).items()})


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("step-0000004.safetensors", "step-0000004.safetensors .* has SHA-256"),
        ("start/model.safetensors", "start/model.safetensors has SHA-256"),
        ("start/config.json", "start/config.json has SHA-256"),
        ("start/tokenizer.json", "start/tokenizer.json has SHA-256"),
        ("card.json", "card.json is not a card of a series any more"),
    ],
)
def test_a_damaged_file_is_refused_by_name(copied, file, message) -> None:
    content = bytearray((copied / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / file).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        hc.load_series(copied)[4]


@pytest.mark.parametrize("file", ["step-0000004.safetensors", "start/model.safetensors", "card.json"])
def test_a_missing_file_is_named(copied, file) -> None:
    (copied / file).unlink()
    with pytest.raises(ModelError, match=file.split("/")[-1]):
        hc.load_series(copied)[4]


def test_only_the_damaged_checkpoint_is_lost(copied) -> None:
    (copied / "step-0000004.safetensors").write_bytes(b"no weights")
    assert hc.load_series(copied)[5].labels


def test_a_damaged_state_is_refused_by_name_and_can_be_deleted(train, monkeypatch, tmp_path, finished) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TrainingFolder, "finish", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train()
    path = tmp_path / "out" / STATE
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=STATE):
        train()
    path.unlink()
    assert same(weights(train()[5]), weights(finished[5]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{folder}@3", "no checkpoint at step 3. It has: 0, 1, 2, 4, 5"),
        ("{folder}", "a series of 5 checkpoints. Expected one of them: '.*@STEP'"),
        ("{folder}/start@3", "holds no series of checkpoints"),
        ("zoo:large-overlap@3", "The zoo has no series 'large-overlap'"),
        ("zoo:minilm-nli@3", "zoo:minilm-nli is a single model"),
    ],
)
def test_a_name_without_a_checkpoint_is_refused(name, message, finished) -> None:
    with pytest.raises(ModelError, match=message):
        hc.load(name.format(folder=finished.folder))


@pytest.mark.parametrize("step", [3, -1, "4", True, 4.5])
def test_a_step_without_a_checkpoint_is_refused(step, finished) -> None:
    with pytest.raises(ModelError, match="no checkpoint at step"):
        finished[step]


def test_a_series_of_the_zoo_is_found_by_name(finished, monkeypatch) -> None:
    monkeypatch.setattr(zoo_cards, "SERIES", {"mine": zoo_cards.FolderEntry("mine", "a test", finished.folder)})
    assert hc.load_series("zoo:mine").steps == finished.steps
    assert same(weights(hc.load("zoo:mine@4")), weights(finished[4]))
    with pytest.raises(ModelError, match="It has: mine"):
        hc.load_series("zoo:other")


def test_a_series_that_only_the_repository_holds_is_named(tmp_path, monkeypatch) -> None:
    entry = zoo_cards.FolderEntry("mine", "a test", tmp_path / "missing")
    monkeypatch.setattr(zoo_cards, "SERIES", {"mine": entry})
    with pytest.raises(ModelError, match="does not come with the installed package"):
        hc.load_series("zoo:mine")


def test_a_series_can_be_moved(finished, tmp_path) -> None:
    moved = shutil.copytree(finished.folder, tmp_path / "a folder @ home")
    assert same(weights(hc.load_series(moved)[4]), weights(finished[4]))


def test_a_card_of_a_newer_format_is_refused(copied) -> None:
    record, _ = read_checked(copied / "card.json", "card", "")
    write_checked(copied / "card.json", {**record, "series": 2})
    with pytest.raises(ModelError, match="format 2"):
        hc.load_series(copied)


def test_a_language_model_keeps_its_label_words(tmp_path) -> None:
    start = hc.load(tiny_module("gpt2-lm", dtype=torch.float32), tokenizer=word_tokenizer(WORDS), labels=["red", "old"])
    task = hc.Task("words", texts(8, 0, groups=None, classes=("red", "old")))
    series = hc.finetune(start, task, tmp_path / "out", steps=2, batch_size=4)
    assert series[2].labels == ("red", "old")
    batch = start.tokenize(["red doctor"])
    assert torch.allclose(series[0].logits(batch), start.logits(batch), atol=1e-6)
    assert series.metrics.columns.tolist() == ["step", "loss", "system"]


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_low_rank_export_is_as_near_as_its_rank_allows(family, tmp_path) -> None:
    """Of each matrix the error, in spectral norm, is the first singular value left out, and fp16's rounding."""
    start, options = start_of(family), {"steps": 4, "batch_size": 6, "lr": 3e-3, "checkpoints": []}
    full = weights(hc.finetune(start, TASK, tmp_path / "full", **options)[4])
    series = hc.finetune(start, TASK, tmp_path / "low", export_rank=3, **options)
    before, exported = weights(start), weights(series[4])
    factors = load_file(series.folder / "step-0000004.safetensors")
    assert {name for name in factors if name.endswith(".U")}
    for name, value in full.items():
        change = (value - before[name]).double()
        error = (exported[name] - value).double()
        if f"{name}.U" in factors:
            assert factors[f"{name}.U"].shape == (len(change), 3)
            values = torch.linalg.svdvals(change)
            assert torch.linalg.matrix_norm(error, 2) <= values[3] + 2e-3 * values[0]
            assert torch.linalg.matrix_norm(error, 2) >= 0.99 * values[3] - 2e-3 * values[0]
        else:
            assert error.abs().max() <= 1e-3 * change.abs().max() + 1e-6
    sizes = [item.card["checkpoints"]["4"]["bytes"] for item in (series, hc.load_series(tmp_path / "full"))]
    assert sizes[0] < 0.5 * sizes[1]


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_files_in_half_precision_hold_the_rounded_weights_and_change_nothing_in_training(stored, tmp_path) -> None:
    start, options = start_of("bert"), {"steps": 4, "batch_size": 6, "lr": 3e-3, "checkpoints": [2]}
    whole = hc.finetune(start, TASK, tmp_path / "whole", **options)
    series = hc.finetune(start, TASK, tmp_path / "half", export_dtype=stored, **options)
    for step in series:
        half, full = weights(series[step]), weights(whole[step])
        assert series[step].dtype == start.dtype
        rounded = {name: value.to(getattr(torch, stored)).to(value) for name, value in full.items()}
        assert same(half, rounded)
        assert not same(half, full)
    sizes = [item.card["checkpoints"]["4"]["bytes"] for item in (series, whole)]
    assert sizes[0] < 0.6 * sizes[1]
    starts = [(item.folder / "start" / "model.safetensors").stat().st_size for item in (series, whole)]
    assert starts[0] < 0.6 * starts[1]
    assert series.metrics["loss"].tolist()[1:] == whole.metrics["loss"].tolist()[1:]


def test_factors_of_full_rank_give_the_difference_back() -> None:
    torch.manual_seed(0)
    base = {"w": torch.randn(30, 40), "b": torch.randn(7), "small": torch.randn(3, 2)}
    thin = torch.randn(30, 2) @ torch.randn(2, 40)
    difference = {"w": thin, "b": torch.randn(7), "small": torch.randn(3, 2)}
    stored = factored(difference, 2)
    assert set(stored) == {"w.U", "w.V", "b", "small"}
    assert all(value.dtype == torch.float16 for value in stored.values())
    state = added(base, {**stored, "head": torch.ones(2).half()})
    assert (state["w"] - base["w"] - thin).abs().max() < 1e-2
    assert state["head"].dtype == torch.float32


def test_checkpoints_in_log_spacing() -> None:
    assert checkpoint_steps("log", 1) == (0, 1)
    assert checkpoint_steps("log", 8) == (0, 1, 2, 4, 8)
    assert checkpoint_steps("log", 1000) == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
    assert checkpoint_steps([7, 3, 3], 9) == (3, 7, 9)
    with pytest.raises(TrainingError, match="checkpoints=3"):
        checkpoint_steps(3, 9)


def test_the_command_line_makes_and_resumes_the_same_series(tmp_path, monkeypatch, capsys, finished, start) -> None:
    start.module.save_pretrained(tmp_path / "start")
    start.tokenizer.save_pretrained(tmp_path / "start")
    monkeypatch.setattr(hc, "load_task", lambda *given, **named: TASK)
    words = ["finetune", "--model", str(tmp_path / "start"), "--task", "mine", "--out", str(tmp_path / "out")]
    words += ["--labels", "entailment,neutral,contradiction", "--steps", "5", "--batch-size", "6", "--lr", "0.003"]
    done = call(monkeypatch, capsys, *words, "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert [row["step"] for row in record["rows"]] == [0, 1, 2, 4, 5]
    assert same(weights(hc.load_series(tmp_path / "out")[5]), weights(finished[5]))
    again = call(monkeypatch, capsys, *words)
    assert again.code == 2
    assert "--resume" in again.err
    resumed = call(monkeypatch, capsys, *words, "--resume")
    assert resumed.code == 0
    assert "5 checkpoints, steps 0 to 5" in resumed.out
    other = call(monkeypatch, capsys, *words, "--resume", "--freeze", "L1H1,L2MLP")
    assert other.code == 2
    assert "freeze was [] and is" in other.err


def test_the_command_line_reads_a_file_and_lists_of_steps(tmp_path, monkeypatch, capsys, start) -> None:
    start.module.save_pretrained(tmp_path / "start")
    start.tokenizer.save_pretrained(tmp_path / "start")
    monkeypatch.setattr(hc, "load_task", lambda *given, **named: TASK)
    (tmp_path / "c.toml").write_text(
        '[finetune]\nsteps = 3\nbatch-size = 4\ncheckpoints = "0,2"\nlora = 2\nheld-out = ["hard"]\ndropout = false\n'
    )
    words = ["--model", str(tmp_path / "start"), "--task", "mine", "--out", str(tmp_path / "out")]
    words += ["--labels", "entailment,neutral,contradiction", "--config", str(tmp_path / "c.toml")]
    done = call(monkeypatch, capsys, "finetune", *words)
    assert done.code == 0, done.err
    series = hc.load_series(tmp_path / "out")
    assert series.steps == (0, 2, 3)
    assert series.card["held_out"] == ["hard"]
    assert series.card["lora"]["rank"] == 2
    assert series.card["recipe"]["dropout"] is False
