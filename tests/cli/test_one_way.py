"""`hc.run`, the command line and Python test the same pairs, with the same sources, and get the same numbers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from shell import call

import hc_interp as hc
from hc_interp.experiment import run as experiment
from hc_interp.reading import one_direction
from hc_interp.records.digest import digest

SETTINGS = {
    "seeds": 1, "search_steps": 1, "exchanges": 0, "mean_examples": 30, "train_examples": 80, "eval_per_case": 1,
    "select_pairs": 16, "test_pairs": 12, "permutations": 9, "probe_examples": 60, "seed": 3,
    "comparison_sets": 1, "premise_examples": 4,
}  # fmt: skip
SENDERS = (hc.Head(0, 1), hc.Head(1, 2))
RECEIVERS = (hc.Head(2, 0), hc.Head(2, 1))


@pytest.fixture(scope="module")
def task():
    return hc.load_task("overlap-grammar", max_per_case=40)


@pytest.fixture
def sources(monkeypatch):
    """What each test of a kind of pairs took for ablation sources: the digest of its means, and its donors."""
    seen = []

    def spied(*given, real=one_direction.ablation_sources):
        result = real(*given)
        seen.append((digest(result["means"]), repr(result["donors"])))
        return result

    monkeypatch.setattr(one_direction, "ablation_sources", spied)
    return seen


@pytest.fixture
def finished(monkeypatch, task, sources, tiny_folder, tmp_path):
    """A run with a core and generalizing heads, which a random model lacks."""

    def core_of(subnetworks):
        return hc.heuristic_core([hc.Subnetwork(SENDERS, item.universe) for item in subnetworks])

    def generalizing(*given, **named):
        return replace(hc.generalizing_heads(*given, **named), heads=RECEIVERS, relay=())

    monkeypatch.setattr(experiment, "heuristic_core", core_of)
    monkeypatch.setattr(experiment, "generalizing_heads", generalizing)
    monkeypatch.setattr(experiment, "draw_run", lambda results, folder: {})
    monkeypatch.setattr(experiment, "VALIDATION_EXAMPLES", 4)
    return hc.run(tiny_folder, task, tmp_path / "run", settings=SETTINGS)


def same(one: hc.Verdict, other: hc.Verdict) -> None:
    assert list(one.records) == list(other.records) == ["order", "overlap"]
    records = [
        [part for kind in verdict.records.values() for part in kind.directions.values()] for verdict in (one, other)
    ]
    for record, again in zip(*records, strict=True):
        assert len(record.ids) == 12
        assert record.ids == again.ids
        for shares in ("necessity", "sufficiency"):
            numbers = [
                np.array([[i.value, i.low, i.high] for i in getattr(r, shares).values()]) for r in (record, again)
            ]
            np.testing.assert_array_equal(*numbers)
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())


def test_one_seed_is_one_verdict_and_one_random_cut(
    monkeypatch, capsys, finished, task, sources, tiny_folder, tmp_path
) -> None:
    out = tmp_path / "run"
    words = ["reads-from", "--model", tiny_folder, "--task", "overlap-grammar", "--core", str(out / "core.json")]
    words += ["--generalizing", str(out / "generalizing.json"), "--pairs", "12", "--permutations", "9"]
    words += ["--premises", str(out / "premises.json")]
    words += ["--mean-examples", "30", "--seed", "3", "--out", str(out / "again.json")]
    monkeypatch.setattr(hc, "load_task", lambda *given, **named: task)
    assert call(monkeypatch, capsys, *words).code == 0
    same(finished.verdict, hc.Verdict.load(out / "again.json"))

    model = hc.load(tiny_folder)
    means = hc.mean_activations(model, task.train.sample(30, 3))
    pairs = task.test_pairs(hc.RunSettings().case, 12, seed=3)
    ends = {"core": finished.core, "generalizing": finished.generalizing, "premises": finished.premises}
    same(finished.verdict, hc.reads_from(model, pairs, **ends, means=means, n_permutations=9, seed=3))
    directions = [found for record in finished.verdict.records.values() for found in record.directions.values()]
    measured = [found for found in directions if not found.why]
    assert (len(directions), len(measured)) == (4, 3)  # in one, the generalizing heads hardly matter
    # Both sides of 12 pairs, three times in every direction that is measured.
    assert sources == [(digest(means), "Donors(24 examples, seed 3)")] * 3 * len(measured)

    receiver = finished.probes["clean"].site
    probed = hc.probe_paths(
        model, task.overlap.sample(60, 3), hc.Head(receiver.layer, receiver.head), senders=finished.core, source=means,
        inputs=("v",), n_random=1, seed=3,
    )  # fmt: skip
    ((_, drawn),) = probed.random_senders[0]
    assert [head.layer for head in drawn] == [0, 1]
    cut = finished.probes["random paths cut"].provenance["settings"]["interventions"]
    assert f"senders={drawn}" in str(cut)


def test_a_number_of_seeds_is_that_many(monkeypatch, capsys, task, tiny_folder, tmp_path) -> None:
    """In Python, on the command line and in a file, where they begin at `--seed`."""
    monkeypatch.setattr(hc, "load_task", lambda *given, **named: task)
    found = hc.search_masks(hc.load(tiny_folder), task.train.sample(60), seeds=2, means=0, steps=1, exchanges=0)
    assert found.seeds == (0, 1)
    (tmp_path / "two.toml").write_text("[search]\nseeds = 2\n")
    words = ["search", "--model", tiny_folder, "--task", "overlap-grammar", "--steps", "1", "--exchanges", "0"]
    words += ["--replace", "zero", "--train-examples", "60", "--out", str(tmp_path / "s.json")]
    for more, seeds in ((["--seeds", "2"], (0, 1)), (["--config", str(tmp_path / "two.toml"), "--seed", "4"], (4, 5))):
        assert call(monkeypatch, capsys, *words, *more).code == 0
        assert hc.MaskSearch.load(tmp_path / "s.json").seeds == seeds
