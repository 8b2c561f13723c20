"""`hc.run`, the command line and Python test the same pairs, with the same sources, and get the same numbers."""

from dataclasses import replace

import pandas as pd
import pytest
from shell import call

import hc_interp as hc

SETTINGS = {
    "seeds": 2, "search_steps": 3, "exchanges": 1, "mean_examples": 30, "train_examples": 80, "eval_per_case": 4,
    "select_pairs": 16, "test_pairs": 12, "permutations": 9, "probe_examples": 60, "seed": 3,
}  # fmt: skip
SENDERS = (hc.Head(0, 1), hc.Head(1, 2))
RECEIVERS = (hc.Head(2, 0), hc.Head(2, 1))


@pytest.fixture
def finished(monkeypatch, small_task, tiny_folder, tmp_path):
    """A run whose core is in layer 0 and 1 and whose generalizing heads are two: a random model has neither."""
    from hc_interp.experiment import run

    def core_of(subnetworks):
        return hc.heuristic_core([hc.Subnetwork(SENDERS, item.universe) for item in subnetworks])

    def two(*given, **named):
        return replace(hc.generalizing_heads(*given, **named), heads=RECEIVERS, relay=())

    monkeypatch.setattr(run, "heuristic_core", core_of)
    monkeypatch.setattr(run, "generalizing_heads", two)
    monkeypatch.setattr(run, "draw_run", lambda results, folder: {})
    out = tmp_path / "run"
    return hc.run(tiny_folder, "overlap-grammar", out, settings=SETTINGS), out


def same(one: hc.Verdict, other: hc.Verdict) -> None:
    assert list(one.records) == list(other.records) == ["order", "overlap"]
    for kind, record in one.records.items():
        assert len(record.ids) == 12
        assert record.ids == other.records[kind].ids
        assert record.necessity == other.records[kind].necessity
        assert record.sufficiency == other.records[kind].sufficiency
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())


def test_one_seed_is_one_verdict(monkeypatch, capsys, finished, tiny_folder) -> None:
    results, out = finished
    words = ["reads-from", "--model", tiny_folder, "--task", "overlap-grammar", "--core", str(out / "core.json")]
    words += ["--generalizing", str(out / "generalizing.json"), "--pairs", "12", "--permutations", "9"]
    words += ["--mean-examples", "30", "--seed", "3", "--out", str(out / "again.json")]
    assert call(monkeypatch, capsys, *words).code == 0
    same(results.verdict, hc.Verdict.load(out / "again.json"))

    model, task = hc.load(tiny_folder), hc.load_task("overlap-grammar")
    pairs = task.test_pairs(hc.RunSettings().case, 12, seed=3)
    means = hc.mean_activations(model, task.train.sample(30, 3))
    ends = {"core": results.core, "generalizing": results.generalizing}
    same(results.verdict, hc.reads_from(model, pairs, **ends, means=means, n_permutations=9, seed=3))
    train = hc.Donors(model, task.train.sample(30, 3), 3)
    other = hc.reads_from(model, pairs, **ends, means=means, donors=train, n_permutations=9, seed=3)
    necessity = [{kind: item.necessity["donors"] for kind, item in v.records.items()} for v in (results.verdict, other)]
    assert necessity[0] != necessity[1]  # so that where donors come from was seen


def test_the_random_cut_of_a_run_is_that_of_probe_paths(finished, tiny_folder) -> None:
    results, _ = finished
    model, task = hc.load(tiny_folder), hc.load_task("overlap-grammar")
    receiver = results.probes["clean"].site
    means = hc.mean_activations(model, task.train.sample(30, 3))
    probed = hc.probe_paths(
        model, task.overlap.sample(60, 3), hc.Head(receiver.layer, receiver.head), senders=results.core, source=means,
        inputs=("v",), n_random=1, seed=3,
    )  # fmt: skip
    (_, senders), = probed.random_senders[0]  # fmt: skip
    assert [head.layer for head in senders] == [0, 1]
    cut = results.probes["random paths cut"].provenance["settings"]["interventions"]
    assert f"senders={senders}" in str(cut)


def test_a_number_of_seeds_is_that_many(monkeypatch, capsys, small_task, tiny_folder, tmp_path) -> None:
    """In Python, on the command line and in a file, where they begin at `--seed`."""
    model, task = hc.load(tiny_folder), hc.load_task("overlap-grammar")
    found = hc.search_masks(model, task.train.sample(60), seeds=2, means=0, steps=1, exchanges=0)
    assert found.seeds == (0, 1)
    (tmp_path / "two.toml").write_text("[search]\nseeds = 2\n")
    words = ["search", "--model", tiny_folder, "--task", "overlap-grammar", "--steps", "1", "--exchanges", "0"]
    words += ["--replace", "zero", "--train-examples", "60", "--out", str(tmp_path / "s.json")]
    for more, seeds in ((["--seeds", "2"], (0, 1)), (["--config", str(tmp_path / "two.toml"), "--seed", "4"], (4, 5))):
        assert call(monkeypatch, capsys, *words, *more).code == 0
        assert hc.MaskSearch.load(tmp_path / "s.json").seeds == seeds
