"""The command `extremes`, on a task with enough examples of each case to divide their words."""

from functools import partial

import hc_interp as hc
from hc_interp.data.load import load_task


def test_extremes_are_written_and_shown(monkeypatch, hc_interp_call, tiny_folder, tmp_path) -> None:
    task = load_task("overlap-grammar")
    monkeypatch.setattr(hc, "load_task", lambda name, data_dir=None, **options: task)
    monkeypatch.setattr(hc, "search_extremes", partial(hc.search_extremes, steps=4))  # no option; 120 in a real search
    out = tmp_path / "extremes.json"
    words = ["--rounds", 1, "--rows", 16, "--epsilon", 1, "--fresh", 40, "--max-per-case", 5, "--mean-examples", 40]
    words += ["--train-examples", 60]
    words += ["--model", tiny_folder, "--task", "overlap-grammar", "--out", out]
    done = hc_interp_call("extremes", *map(str, words))
    assert done.code == 0, done.err
    found = hc.Extremes.load(out)
    assert found.heuristic == "lexical_overlap"
    assert len(found.settings["held_out"]) == 2
    assert min(n for part in found.settings["rows_of"].values() for n in part.values()) >= 5
    assert repr(found)[:40] in done.out
