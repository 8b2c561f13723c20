"""The whole way on a tiny random model: every file is whole, nothing is written over, errors leave a trace."""

import dataclasses
import json
import shutil

import pandas as pd
import pytest
import torch
from good_sample import good_sample
from pieces_work import Inline
from small_task import part_of
from texts import word_tokenizer
from tiny import LABELS
from transformers import BertConfig, BertForSequenceClassification

import hc_interp as hc
from hc_interp.experiment import run as run_module
from hc_interp.experiment.run import RunSettings, run
from hc_interp.figures.images import NoBrowser
from hc_interp.runs.folder import ExperimentFolder
from hc_interp.search.sampling.sample import SubnetworkSample

SETTINGS = RunSettings(
    seeds=2, search_steps=5, exchanges=1, mean_examples=40, train_examples=120, eval_per_case=6, select_pairs=24,
    test_pairs=20, permutations=19, probe_examples=150, comparison_sets=2, premise_examples=4, demo=True,
)  # fmt: skip
# Least work, for tests that look at what a run does and not at its numbers.
QUICK = {
    "search_steps": 2, "exchanges": 0, "mean_examples": 20, "train_examples": 60, "eval_per_case": 2,
    "select_pairs": 16, "test_pairs": 12, "probe_examples": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole_task():
    return hc.load_task("overlap-grammar", seed=0, max_per_case=60)


@pytest.fixture(scope="module")
def task(whole_task):
    return part_of(whole_task)


@pytest.fixture(scope="module")
def model(whole_task):
    task = whole_task
    splits = [task.train, task.validation, *task.cases.values(), task.overlap]
    tokenizer = word_tokenizer(text for part in splits for text in (*part.first, *part.second))
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=32, num_labels=3,
        vocab_size=len(tokenizer), max_position_embeddings=64, initializer_range=0.4,
    )  # fmt: skip
    return hc.load(BertForSequenceClassification(config), tokenizer=tokenizer, labels=LABELS)


@pytest.fixture
def without_pictures(monkeypatch):
    """No browser is started: the pictures of the run `finished` are drawn by one."""

    def no_browser(figures):
        raise NoBrowser("not for this run")

    monkeypatch.setattr("hc_interp.reports.report.write_images", no_browser)


@pytest.fixture(scope="module")
def finished(model, task, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "first"
    lines = []
    return run(model, task, out, settings=SETTINGS, say=lines.append), out, lines


def test_leaves_every_file(finished) -> None:
    results, out, lines = finished
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert len(lines) >= 5
    assert {line for line in lines[1:] if not line.startswith("no probes: ")} <= set(manifest["seconds"])
    assert manifest["settings"] == json.loads(json.dumps(SETTINGS.model_dump()))
    assert manifest["model"]["fingerprint"]
    assert manifest["data"]["train"]["sha256"]
    assert manifest["versions"]["torch"]
    for name in ("search", "evaluation", "core", "generalizing", "verdict"):
        assert len(pd.read_csv(out / f"{name}.csv")) or name in ("generalizing", "verdict")
    assert hc.Verdict.load(out / "verdict.json").answer == results.verdict.answer
    assert len(hc.Evaluation.load(out / "evaluation.json").to_frame()) == 5
    kept = [hc.Subnetwork.load(path) for path in sorted((out / "subnetworks").glob("*.json"))]
    assert kept == list(results.search.subnetworks)
    page = (out / "report.html").read_text()
    assert "demo" in page.lower()
    assert results.verdict.answer.replace("_", " ") in page.replace("_", " ")
    assert list((out / "figures").glob("core-*"))
    assert bool(list((out / "figures").glob("circuit-*"))) == (results.verdict.edges is not None)
    assert not [path for path in out.rglob(".*") if path.is_file()]
    summary = json.loads((out / "summary.json").read_text())
    assert summary == hc.reports.summary(hc.RunResults.load(out))
    assert summary["answer"] == results.verdict.answer
    assert summary["model_fingerprint"] == manifest["model"]["fingerprint"]
    assert summary["seconds"] == manifest["seconds"]["all"]


def test_a_second_sparsity_stands_beside_the_verdicts(finished, model) -> None:
    """The same seeds, evaluated together; the verdict's core is of the first sparsity, the other core an extra."""
    results, out, _ = finished
    names = ["50 %, seed 0", "50 %, seed 1", "70 %, seed 0", "70 %, seed 1"]
    assert list(results.evaluation.names[1:]) == names
    assert list(results.evaluation.by_sparsity.values()) == [names[:2], names[2:]]
    assert (results.search.sparsities, results.search.seeds) == ((0.5, 0.5, 0.7, 0.7), (0, 1, 0, 1))
    assert results.core.components == hc.heuristic_core(results.search.at(0.5)).components
    beside = results.extras["core at 70 %"]
    assert beside.components == hc.heuristic_core(results.search.at(0.7)).components
    assert hc.RunResults.load(out).extras["core at 70 %"].components == beside.components
    assert results.generalizing.core == results.core.heads
    assert list((out / "figures").glob("sparsity-*"))
    page = (out / "report.html").read_text()
    assert "HeuristicCore: core at 70" in page
    assert len({item.sparsity for item in results.search.subnetworks}) == 2


def test_without_a_second_sparsity(model, task, tmp_path, without_pictures) -> None:
    for name, changes in {"none": {"beside": 0}, "same": {"beside": 0.5}}.items():
        settings = SETTINGS.model_copy(update=QUICK | changes)
        assert settings.sparsities == (0.5,), name
    found = run(model, task, tmp_path / "out", settings=settings)
    assert found.extras == {}
    assert len(found.search) == 2


def test_does_not_write_over_a_run(finished, model, task) -> None:
    _, out, _ = finished
    with pytest.raises(hc.HCError, match="already exists"):
        run(model, task, out, settings=SETTINGS)


def test_overwrite_replaces_a_run_but_nothing_else(tmp_path) -> None:
    old, other = tmp_path / "old", tmp_path / "other"
    record = {"arguments": {}, "settings": SETTINGS.model_dump()}
    ExperimentFolder.open(old, record, overwrite=False, resume=False, say=print)
    (old / "stale.json").write_text("{}")
    ExperimentFolder.open(old, record, overwrite=True, resume=False, say=print)
    assert [path.name for path in old.iterdir()] == ["manifest.json"]
    other.mkdir()
    for name in ("manifest.json", "thesis.tex"):
        (other / name).write_text("{}")
    with pytest.raises(hc.HCError, match="already exists"):
        ExperimentFolder.open(other, record, overwrite=True, resume=False, say=print)
    assert (other / "thesis.tex").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_loaded(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(hc.HCError, match=r"cannot keep finished parts.*Give out= a folder that you may write to"):
        run("no/such/model", "no such task", tmp_path / "file" / "below", settings=SETTINGS)


def test_a_run_holds_its_folder_and_a_second_one_is_refused_before_anything_is_loaded(model, task, tmp_path) -> None:
    out, held = tmp_path / "out", []

    def second(line: str) -> None:
        if (out / "manifest.json").exists():
            with pytest.raises(hc.HCError, match=r"out is in use: process \d+ on .* runs there since"):
                run("no/such/model", "no such task", out, settings=SETTINGS, resume=True)
            held.append(line)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, task, out, settings=SETTINGS, say=second)
    assert held == ["taking means"]
    assert [path.name for path in out.iterdir()] == ["manifest.json"]


def test_a_part_of_another_run_is_not_taken_for_one_of_this(tmp_path, results) -> None:
    record, other = ({"arguments": {}, "settings": {"seed": seed}} for seed in (0, 1))
    lines: list[str] = []
    first = ExperimentFolder.open(tmp_path / "a", record, overwrite=False, resume=False, say=lines.append)
    core = first.part("core", hc.HeuristicCore, lambda: results.run().core)
    again = ExperimentFolder.open(tmp_path / "a", record, overwrite=False, resume=True, say=lines.append)
    kept = again.part("core", hc.HeuristicCore, lambda: pytest.fail("the part was made again"))
    assert kept.heads == core.heads
    assert lines == ["  core: kept from before"]
    second = ExperimentFolder.open(tmp_path / "b", other, overwrite=False, resume=False, say=print)
    (tmp_path / "b" / "core.json").write_bytes((tmp_path / "a" / "core.json").read_bytes())
    with pytest.raises(hc.ResultError, match=r"core\.json was written by a run of another model, task, settings"):
        second.part("core", hc.HeuristicCore, lambda: pytest.fail("the part was made again"))
    (tmp_path / "a" / "core.json").write_text("{")
    with pytest.raises(hc.ResultError, match=r"cannot be read as a finished part.*Delete this file"):
        again.part("core", hc.HeuristicCore, lambda: pytest.fail("the part was made again"))


def test_a_failure_is_in_the_manifest(model, task, tmp_path, monkeypatch) -> None:
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hc_interp.runs.folder.Parts.put", full)
    with pytest.raises(OSError, match="No space"):
        run(model, task, tmp_path / "out", settings=SETTINGS)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["status"].startswith("stopped in 'searching subnetworks'")
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_run_goes_on_only_with_the_same_pairs(model, task, tmp_path, monkeypatch) -> None:
    def stop(*given, **named):
        raise hc.HCError("stopped here")

    monkeypatch.setattr(run_module, "mean_activations", stop)
    case = RunSettings().case
    pairs = {kind: task.contrast_pairs(case, kind) for kind in task.pair_kinds(case)}
    given = dataclasses.replace(task, pairs={(case, kind): part for kind, part in pairs.items()})
    for resume in (False, True):
        with pytest.raises(hc.HCError, match="stopped here"):
            run(model, given, tmp_path / "out", settings=QUICK, resume=resume)
    fewer = {(case, kind): part.rows(slice(1, None)) for kind, part in pairs.items()}
    with pytest.raises(hc.HCError, match=r"not this one: given_pairs\.order pairs of .*\.n was \d+ and is \d+"):
        run(model, dataclasses.replace(task, pairs=fewer), tmp_path / "out", settings=QUICK, resume=True)


def test_a_task_without_pairs_or_splits(model, task, tmp_path) -> None:
    bare = dataclasses.replace(task, pairs=None)
    with pytest.raises(hc.HCError, match="no contrast pairs"):
        run(model, bare, tmp_path / "a", settings=SETTINGS)
    with pytest.raises(hc.HCError, match="lacks train"):
        run(model, dataclasses.replace(task, train=None), tmp_path / "b", settings=SETTINGS)


def test_workers_make_the_search_and_the_premises_and_leave_the_same_files(
    finished, model, task, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(run_module, "draw_run", lambda *_: {})
    _, first, _ = finished
    out = tmp_path / "run"
    shutil.copytree(first, out)
    for name in ("search", "premises"):
        (out / f"{name}.json").unlink()
    executor = Inline()
    run(model, task, out, settings=SETTINGS, resume=True, executor=executor)
    for name in ("search", "premises"):
        assert (out / f"{name}.json").read_bytes() == (first / f"{name}.json").read_bytes()
        assert hc.spread.status(out / "pieces" / name).waiting == ()
    assert executor.submitted == sum(
        len(list((out / "pieces" / name).glob("*-*.json"))) for name in ("search", "premises")
    )


def test_a_suspicion_of_wrong_labels_is_in_the_manifest_and_the_report(model, task, tmp_path, without_pictures) -> None:
    settings = SETTINGS.model_copy(update=QUICK | {"eval_per_case": SETTINGS.eval_per_case})
    data = task.validation.sample(200)
    answers = model.logits(model.tokenize(data)).argmax(1)
    wrong = dataclasses.replace(data, label=((answers + 1) % 3).tolist())
    turned, out, lines = dataclasses.replace(task, validation=wrong), tmp_path / "out", []
    with pytest.warns(hc.HCWarning, match="wrong label order"):
        found = run(model, turned, out, settings=settings, say=lines.append)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["warnings"] == [found.evaluation.suspicion]
    assert f"warning: {found.evaluation.suspicion}" in lines
    assert "This suggests a wrong label order" in (out / "report.html").read_text()
    again = []
    run(model, turned, out, settings=settings, say=again.append, resume=True)
    assert f"warning: {found.evaluation.suspicion}" in again
    assert json.loads((out / "manifest.json").read_text())["warnings"] == manifest["warnings"]


def test_a_run_without_suspicion_says_nothing_of_it(finished) -> None:
    results, _, lines = finished
    assert results.evaluation.suspicion == ""
    assert "warnings" not in results.manifest
    assert not any("warning" in line for line in lines)


def test_the_core_of_a_sample_is_what_all_good_subnetworks_share(
    model, task, tmp_path, monkeypatch, without_pictures
) -> None:
    """Sweeps are added while the sample has not mixed; the searches stay, for comparison."""
    sweeps = []

    def sampled(model, data, sparsity, **given):
        assert sparsity == settings.sparsity
        assert given["resume"] == tmp_path / "out" / "sample"
        sweeps.append(given["sweeps"])
        return good_sample(model.components, model.components[:2], mixed=len(sweeps) == 2)

    monkeypatch.setattr(run_module, "sample_subnetworks", sampled)
    settings = SETTINGS.model_copy(update=QUICK | {"core_from": "sample", "sweeps": 20, "beside": 0.0})
    found = run(model, task, tmp_path / "out", settings=settings)
    assert sweeps == [20, 40]
    assert found.core.components == model.components[:2]
    assert found.search is not None
    assert isinstance(hc.RunResults.load(tmp_path / "out").extras["sample of good subnetworks"], SubnetworkSample)
    assert "Which components good subnetworks keep" in (tmp_path / "out" / "report.html").read_text()
    unmixed = good_sample(model.components, model.components[:2], mixed=False)
    monkeypatch.setattr(run_module, "sample_subnetworks", lambda *_, **__: unmixed)
    with pytest.raises(hc.HCError, match="has not mixed, so its core is no result"):
        run(model, task, tmp_path / "other", settings=settings)
