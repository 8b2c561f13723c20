"""A wrong order of classes, in the model or in the data, is refused or said on the command line too."""

import json
from dataclasses import replace

import pandas as pd
import pytest

import hc_interp as hc

CASE = "lexical_overlap_ln_passive"


def evaluate(call, model, task, out, *more):
    return call("evaluate", "--model", model, "--task", task, "--out", str(out), *more)


@pytest.mark.parametrize("labels", ["contradiction,neutral,entailment", "Neutral,entailment,CONTRADICTION"])
def test_the_checkpoints_names_are_not_reordered(labels, hc_interp_call, small_task, tiny_folder, tmp_path) -> None:
    found = evaluate(hc_interp_call, tiny_folder, "overlap-grammar", tmp_path / "o.json", "--labels", labels)
    assert found.code == 2
    assert "in another order than the checkpoint does" in found.err
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problem_type": "regression"}, "does not choose one of several classes"),
        ({"label2id": {"entailment": 2, "neutral": 1, "contradiction": 0}}, "contradicts itself"),
    ],
)
def test_what_the_config_says_is_read(settings, message, hc_interp_call, small_task, tiny_folder, tmp_path) -> None:
    module = hc.load(tiny_folder, device="cpu").module
    module.config.update(settings)
    module.save_pretrained(tmp_path / "m")
    hc.load(tiny_folder, device="cpu").tokenizer.save_pretrained(tmp_path / "m")
    found = evaluate(hc_interp_call, str(tmp_path / "m"), "overlap-grammar", tmp_path / "o.json")
    assert found.code == 2
    assert message in found.err


def test_exchanged_labels_of_hans_are_refused(hc_interp_call, tiny_folder, tmp_path) -> None:
    rows = {"premise": ["the spy saw the judge"] * 4, "hypothesis": ["the spy slept"] * 4, "label": [0, 0, 1, 1]}
    tags = {"heuristic": "lexical_overlap", "subcase": ["ln_passive"] * 2 + ["le_passive"] * 2}
    for file, columns in {"mnli/train_sample": {}, "mnli/validation_matched": {}, "hans/validation": tags}.items():
        path = tmp_path / f"{file}.parquet"
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame({**rows, **columns}).to_parquet(path)
    found = evaluate(
        hc_interp_call, tiny_folder, "mnli-hans", tmp_path / "o.json", "--data-dir", str(tmp_path), "--cases", CASE
    )
    assert found.code == 2
    assert "4 of 4 labels that contradict the id of their case" in found.err
    assert "Traceback" not in found.err


def test_an_accuracy_below_the_majority_is_one_paragraph(
    hc_interp_call, small_task, monkeypatch, tiny_folder, tmp_path
) -> None:
    model, task = hc.load(tiny_folder, device="cpu"), hc.load_task("overlap-grammar")
    data = task.validation.sample(60)
    answers = model.logits(model.tokenize(data)).argmax(1)
    data = replace(data, label=((answers + 1) % 3).tolist())
    monkeypatch.setattr(hc, "load_task", lambda *args, **options: replace(task, validation=data))
    out = tmp_path / "o.json"
    found = evaluate(hc_interp_call, tiny_folder, "overlap-grammar", out, "--cases", CASE, "--json")
    assert found.code == 0
    assert f"hc-interp: warning: {hc.Evaluation.load(out).suspicion}\n" in found.err
    assert "HCWarning" not in found.err
    json.loads(found.out)
