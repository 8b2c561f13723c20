"""Worker processes: the same bytes as without them, and the work goes on when one is killed."""

import os
from importlib import import_module
from multiprocessing import get_context

import pytest
import torch
from path_pairs import make_pairs
from pieces_work import Squares, SquareStore
from tiny import tiny_batch

import hc_interp as hc
from hc_interp.errors import HCError
from hc_interp.progress import SILENT
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Runner

processes_module = import_module("hc_interp.spread.processes")  # the package's attribute of this name is the function


@pytest.fixture(scope="module")
def pool():
    with hc.spread.processes(2) as pool:
        yield pool


def test_a_sweep_and_a_search_have_the_same_bytes(pool, tiny_bert, tmp_path) -> None:
    for place, executor in (("here", None), ("there", pool)):
        to = {"resume": tmp_path / place, "executor": executor}
        hc.path_effects(tiny_bert, make_pairs(7), "heads", ["L2H1", "L2MLP"], batch_size=4, **to)
        hc.search_masks(
            tiny_bert, tiny_batch(48), 0.5, 2, steps=2, batch_size=4, **to | {"resume": tmp_path / f"{place}-s"}
        )
    for folder in ("", "-s"):
        names = [path.name for path in (tmp_path / f"here{folder}").glob("*.json")]
        assert len(names) >= 2
        for name in names:
            one, other = (tmp_path / f"{place}{folder}" / name for place in ("here", "there"))
            assert one.read_bytes() == other.read_bytes()


def test_a_killed_worker_is_replaced_and_its_piece_is_made(pool, tmp_path) -> None:
    work = Squares(torch.arange(6.0), {2: "killed once"}, tmp_path)
    store = SquareStore(tmp_path / "pieces", "settings")
    found = dict(make_missing(work, work.keys, store, Runner(pool), SILENT))
    assert (tmp_path / "killed-2").exists()
    assert [piece.value for piece in found.values()] == [0, 1, 4, 9, 16, 25]


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
    assert repr(found) == "Processes(2 workers on 2 GPUs)"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert hc.spread.processes(3).gpus == ["0", "1"]


def test_a_worker_sees_its_own_gpu(monkeypatch) -> None:
    numbers = get_context("spawn").Value("i", 0)
    monkeypatch.setattr(processes_module.signal, "signal", lambda *_: None)
    monkeypatch.setattr(processes_module, "_end_with_parent", lambda: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    seen = []
    for _ in range(3):
        processes_module._start(numbers, ["4", "7"])
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == ["4", "7", "4"]
