"""A whole run on a language model: its results are those of the functions that answers and foils are tested in."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from answers import tiny_gpt2
from texts import byte_pairs

import hc_interp as hc
from hc_interp.errors import HCError, LabelError
from hc_interp.experiment import run as run_module

TOKENIZER = byte_pairs(("Mary", "John", "Anna", "Paul", "Emma", "Mark", "Alice"))
SMALL = {
    "case": "ABBA", "kinds": "names", "seeds": 2, "search_steps": 2, "exchanges": 0, "beside": 0, "eval_per_case": 6,
    "permutations": 3, "train_examples": 24, "mean_examples": 20, "test_pairs": 8, "select_pairs": 12,
    "comparison_sets": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return hc.load(tiny_gpt2(TOKENIZER, layers=2, heads=2, positions=100), tokenizer=TOKENIZER)


@pytest.fixture(scope="module")
def task():
    return hc.load_task("ioi", tokenizer=TOKENIZER, max_per_case=40)


def test_every_stage_scores_answers_against_foils(model, task, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(run_module, "draw_run", lambda *_: {})
    said: list[str] = []
    found = hc.run(model, task, tmp_path / "run", settings=SMALL, say=said.append)
    assert any(line.startswith("premises not checked: ioi does not say whether a heuristic") for line in said)
    assert "(they need a task that says where a heuristic is right)" in found.verdict.sentence()
    assert found.probes == {}
    assert any("no probes: ioi has no split overlap=" in line for line in said)
    train = task.train.sample(24, 0)
    means = hc.mean_activations(model, task.train.sample(20, 0))
    search = hc.search_masks(model, train, 0.5, range(2), means, steps=2, exchanges=0)
    assert [item.kept for item in found.search.subnetworks] == [item.kept for item in search.subnetworks]
    part = replace(task, cases={case: rows.sample(6, 0) for case, rows in task.cases.items()})
    again = hc.evaluate(model, part, search.subnetworks, means)
    for case in ("ABBA", "BABA"):
        torch.testing.assert_close(found.evaluation.by_words[case], again.by_words[case])
    core = hc.heuristic_core(search)
    heads = hc.generalizing_heads(
        model, part, core=core, found=search, means=means, kinds=("names",), max_pairs=12, seed=0
    )
    pd.testing.assert_frame_equal(found.generalizing.table, heads.table)
    assert len(heads.table) > 0
    assert found.verdict is not None


@pytest.mark.parametrize(
    ("change", "settings", "error", "message"),
    [
        ({"answer": "Zachary"}, {}, LabelError, "' Zachary' is .* tokens"),
        ({}, {"kinds": "overlap"}, HCError, "pairs of abc, names, order"),
        ({}, {"case": "lexical_overlap_ln_passive"}, HCError, "it has ABBA, BABA"),
    ],
)
def test_it_is_refused_before_the_folder_exists(model, task, tmp_path, change, settings, error, message) -> None:
    if change:
        validation = task.validation
        task = replace(task, validation=replace(validation, answer=[" Zachary"] * len(validation)))
    with pytest.raises(error, match=message):
        hc.run(model, task, tmp_path / "run", settings=SMALL | settings)
    assert not (tmp_path / "run").exists()
