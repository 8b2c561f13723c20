"""Worker processes: how many, what each of them has, and that the work goes on when one is killed."""

import warnings
from importlib import import_module

import pytest
import torch
from pieces_work import Squares, SquareStore, read_kept, seen_together

import hc_interp as hc
from hc_interp.errors import HCError, HCWarning
from hc_interp.progress import SILENT
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Runner
from hc_interp.records.value_cache import ValueCache
from hc_interp.spread import Processes

processes_module = import_module("hc_interp.spread.processes")  # the package's attribute of this name is the function


def test_a_worker_killed_five_times_changes_nothing(tmp_path) -> None:
    trouble = dict.fromkeys((1, 2, 4, 5, 7), "killed once")
    work, same = (Squares(torch.arange(8.0), own, tmp_path) for own in (trouble, {}))
    stores = [SquareStore(tmp_path / place, "settings") for place in ("here", "there")]
    dict(make_missing(same, same.keys, stores[0], Runner(), SILENT))
    with hc.spread.processes(1) as pool:
        dict(make_missing(work, work.keys, stores[1], Runner(pool), SILENT))
    assert sorted(path.name for path in tmp_path.glob("killed-*")) == [f"killed-{key}" for key in sorted(trouble)]
    for name in work.keys:
        assert stores[1].path(name).read_bytes() == stores[0].path(name).read_bytes()


def test_workers_have_a_gpu_each_their_threads_and_what_others_computed(tmp_path) -> None:
    cache = ValueCache(tmp_path / "activations", 10_000)
    cache.put("x", {"a": torch.arange(300.0)})
    with Processes(2, ["4", "7"], threads=3) as pool:
        answers = [pool.submit(seen_together, tmp_path, 2) for _ in range(2)]
        assert sorted(answer.result() for answer in answers) == [("4", 3), ("7", 3)]
        assert pool.submit(read_kept, cache, "x").result() == sum(range(300))


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"jobs": 1.5}, {"jobs": True}, {"jobs": 2, "threads": 0}])
def test_numbers_without_meaning_are_refused(wrong) -> None:
    with pytest.raises(HCError, match="Expected a whole number from 1"):
        hc.spread.processes(**wrong)


def test_one_worker_for_each_gpu_or_for_each_core(monkeypatch) -> None:
    monkeypatch.setattr(processes_module, "_cores", lambda: 8)
    assert hc.spread.processes(threads=3).jobs == 2
    assert hc.spread.processes(threads=9).jobs == 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    found = hc.spread.processes()
    assert (found.jobs, found.gpus) == (2, ["4", "7"])
    assert repr(found) == "Processes(2 workers of 1 thread, each with one of 2 GPUs)"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert hc.spread.processes(3).gpus == ["0", "1"]


def test_more_threads_than_cores_are_warned_of(monkeypatch) -> None:
    monkeypatch.setattr(processes_module, "_cores", lambda: 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.warns(HCWarning, match=r"3 workers of 2 threads share 4 cores\."):
        found = hc.spread.processes(3, threads=2)
    assert repr(found) == "Processes(3 workers of 2 threads, on the CPU)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hc.spread.processes(2, threads=2)
