"""The commands of README and site, one after the other on a tiny model: each leaves a result that its class loads."""

import glob
import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from shell import call

import hc_interp as hc
from hc_interp.cli.shell import COMMANDS
from hc_interp.figures.images import NoBrowser
from hc_interp.reading.decision import Answer

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/real_data.md", "docs/command_line.md")  # in the order in which their commands are run
SMALL = """
mean-examples = 40
train-examples = 120
comparison-sets = 2
premise-examples = 4
[run]
seeds = 2
search-steps = 3
exchanges = 1
eval-per-case = 4
select-pairs = 16
test-pairs = 12
permutations = 9
probe-examples = 60
[search]
seeds = 2
steps = 3
exchanges = 1
[subnetworks]
chains = 2
sweeps = 10
warm-up = 10
rows = 16
epsilon = 1.0
[evaluate]
max-per-case = 6
cases = ["lexical_overlap_ln_passive", "subsequence_sn_NP/S"]
[generalizing]
max-pairs = 24
cases = ["lexical_overlap_ln_subject/object_swap", "lexical_overlap_ln_passive"]
[patch]
pairs = 6
senders = "L0H1,L0MLP,embed"
receivers = "L1H1,L2H0,mlps"
[probe]
examples = 60
[finetune]
batch-size = 4
max-per-case = 4
pull-pairs = 4
[over-training]
max-per-case = 6
[reads-from]
pairs = 12
permutations = 9
"""
# `demo` takes minutes (`test_demo_is_a_run_of_the_zoo`), `extremes` needs more examples (tests/cli/test_extremes.py),
# the last one changes the user's shell (`test_completion`).
NOT_HERE = ("demo", "extremes", "--install-completion")


def commands() -> list[list[str]]:
    """The hc-interp commands of the pages, in order, each once."""
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    lines = re.findall(r"^    (hc-interp .+?)(?:  +#.*)?$", text, re.MULTILINE)
    return [shlex.split(line) for line in dict.fromkeys(lines)]


def configuration(tiny_folder: str) -> str:
    """The configuration file of docs/command_line.md, on the tiny model and the grammar, with small amounts of work."""
    page = (ROOT / "docs/command_line.md").read_text(encoding="utf-8")
    found = re.search(r"^```toml\n# hc\.toml\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    assert found
    text = found[1].replace("zoo:minilm-nli", tiny_folder).replace("mnli-hans", "overlap-grammar")
    return re.sub(r"^data-dir.*", "", text, flags=re.MULTILINE) + SMALL


def adapted(words: list[str], tiny_folder: str) -> list[str]:
    """The command on the tiny model and the grammar."""
    words = [os.path.expandvars(word) for word in words[1:]]
    if "--data-dir" in words:
        place = words.index("--data-dir")
        del words[place : place + 2]
    swap = {"2000": "2", "zoo:minilm-nli": tiny_folder, "mnli-hans": "overlap-grammar", "L4H1.v": "L2H0.v"}
    swap |= {"slurm": "processes", "20": "1"}  # tests/spread/test_slurm.py sends jobs
    words = [swap.get(word, word) for word in words]
    words = [name for word in words for name in (sorted(glob.glob(word)) if "*" in word else [word])]
    takes = {setting.key for setting in COMMANDS.get(words[0], ())}
    return [*words, "--config", "hc.toml"] if "model" in takes and "--config" not in words else words


def test_every_command_of_the_pages_runs(monkeypatch, capsys, small_task, tiny_folder, tmp_path) -> None:
    def no_browser(figures):
        raise NoBrowser("not for this run")

    # the run's own pictures are left to tests/figures
    monkeypatch.setattr("hc_interp.reports.report.write_images", no_browser)
    monkeypatch.setattr("hc_interp.search.sampling.starts.BEST_ROUNDS", 2)  # no option of `subnetworks`
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hc.toml").write_text(configuration(tiny_folder))
    seen = set()
    for words in commands():
        if words[1] in NOT_HERE:
            continue
        tasks = ("1", "2") if any("SLURM_ARRAY_TASK_ID" in word for word in words) else ("1",)
        for number in tasks:
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", number)
            found = call(monkeypatch, capsys, *adapted(words, tiny_folder))
            assert found.code == 0, (words, found.err[-600:])
            seen.add(words[1])
            if words[1] == "generalizing":
                _choose_heads(tmp_path / "generalizing.json")
    check_results(tmp_path)
    assert seen == set(COMMANDS) - set(NOT_HERE)


def _choose_heads(path: Path) -> None:
    """A random model has no generalizing heads; the steps after this one need some."""
    found = hc.GeneralizingHeads.load(path)
    heads = [head for head in (hc.Head(2, 0), hc.Head(2, 1), hc.Head(2, 2)) if head not in found.core]
    replace(found, heads=tuple(heads)).save(path)


def check_results(folder: Path) -> None:
    """What the commands left is whole, and fits together."""
    search = hc.MaskSearch.load(folder / "search.json")
    core = hc.HeuristicCore.load(folder / "core.json")
    assert core.subnetworks == len(search) == 2
    evaluation = hc.Evaluation.load(folder / "evaluation.json")
    assert len(evaluation.names) == 3
    found = hc.GeneralizingHeads.load(folder / "generalizing.json")
    assert set(found.core) == set(core.heads)
    edges = hc.PathEffects.load(folder / "paths.json")
    assert edges.part == ()
    assert hc.Probe.load(folder / "probe.json").site == hc.Site(2, "v", 0)
    cuts = hc.PathProbes.load(folder / "cuts.json")
    assert cuts.sites == (hc.Site(2, "v", 0),)
    assert len(cuts.random_senders) == 5
    assert hc.Verdict.load(folder / "verdict.json").answer in get_args(Answer)
    assert json.loads((folder / "runs" / "first" / "manifest.json").read_text())["status"] == "finished"
    assert (folder / "report.html").stat().st_size > 1e6
    assert hc.load_series(folder / "series").steps == (0, 1, 2)
    assert hc.OverTraining.load(folder / "over_training.json").steps == (0, 1, 2)


def test_a_run_goes_on_where_it_was_stopped(monkeypatch, capsys, small_task, tiny_folder, tmp_path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(SMALL)
    out = tmp_path / "run"
    words = ["run", "--model", tiny_folder, "--task", "overlap-grammar", "--out", str(out), "--config", str(config)]

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("hc_interp.experiment.run.evaluate", stop)
        first = call(patched, capsys, *words)
    assert first.code == 130
    assert f"What was finished is in {out}. To go on:" in first.err
    line = first.err.strip().splitlines()[-1]
    assert shlex.split(line) == ["hc-interp", *words, "--resume"]
    kept = (out / "search.json").read_bytes()
    monkeypatch.setattr("hc_interp.experiment.run.search_masks", stop)  # what was finished is not made again
    other = call(monkeypatch, capsys, *words, "--resume", "--seed", "1")
    assert other.code == 2
    assert "settings.seed was 0 and is 1" in other.err
    monkeypatch.setattr(
        "hc_interp.experiment.run.evaluate", lambda *a, **k: (_ for _ in ()).throw(hc.HCError("far enough"))
    )
    second = call(monkeypatch, capsys, *words, "--resume")
    assert "search: kept from before" in second.err
    assert "far enough" in second.err
    assert (out / "search.json").read_bytes() == kept
    both = call(monkeypatch, capsys, *words, "--resume", "--overwrite")
    assert both.code == 2
    assert "Expected one" in both.err


def test_demo_is_a_run_of_the_zoo(monkeypatch, capsys, tmp_path) -> None:
    from hc_interp.experiment.settings import DEMO
    from hc_interp.runs.results import RunResults

    asked = []
    monkeypatch.setattr(hc, "run", lambda *a, **k: asked.append((a, k)) or RunResults(manifest={"seconds": {}}))
    found = call(monkeypatch, capsys, "demo", "--out", str(tmp_path), "--json")
    assert json.loads(found.out)["files"]["report"] == str(tmp_path / "report.html")
    (arguments, options), = asked  # fmt: skip
    assert arguments == ("zoo:minilm-nli", "overlap-grammar", tmp_path)
    assert options["settings"] == DEMO
    assert options["overwrite"]
    assert not options["resume"]


def test_machines_get_one_object_with_every_row(monkeypatch, capsys, small_task, tiny_folder, tmp_path) -> None:
    words = ["patch", "--model", tiny_folder, "--task", "overlap-grammar", "--pairs", "4", "--senders", "heads"]
    found = call(monkeypatch, capsys, *words, "--receivers", "heads", "--out", str(tmp_path / "p.json"), "--json")
    record = json.loads(found.out)
    assert record["result"] == "PathEffects"
    assert record["file"] == str(tmp_path / "p.json")
    frame = hc.PathEffects.load(record["file"]).to_frame()
    assert len(record["rows"]) == len(frame) == 81
    assert pd.DataFrame(record["rows"])["effect"].to_numpy() == pytest.approx(frame["effect"].to_numpy())
    core = call(monkeypatch, capsys, *words[:-1], str(tmp_path / "p.json"), "--out", str(tmp_path / "q.json"))
    assert core.code == 2
    assert "holds a PathEffects, which names no heads" in core.err


def test_a_stopped_search_says_where_finished_ones_are(monkeypatch, capsys, small_task, tiny_folder, tmp_path) -> None:
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("hc_interp.search.runs.run_once", stop)
    words = ["search", "--model", tiny_folder, "--task", "overlap-grammar", "--out", str(tmp_path / "found.json")]
    words += ["--mean-examples", "40", "--train-examples", "120"]
    lost = call(monkeypatch, capsys, *words)
    assert lost.code == 130
    assert shlex.split(lost.err.strip().splitlines()[-1]) == ["hc-interp", *words, "--resume", "searches"]
    words += ["--resume", str(tmp_path / "runs")]
    kept = call(monkeypatch, capsys, *words)
    assert f"Finished searches are in {tmp_path / 'runs'}. To go on:" in kept.err
    assert shlex.split(kept.err.strip().splitlines()[-1]) == ["hc-interp", *words]
