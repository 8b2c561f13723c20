"""Pieces that an executor's workers make: the same files, tried again where they were lost, named where they failed."""

import errno
import json
import pickle
import re
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pieces_work import Inline, Jobs, SquareNumber, Squares, SquareStore

from hc_interp.errors import HCError
from hc_interp.progress import SILENT, Stage
from hc_interp.records import dispatch
from hc_interp.records.dispatch import FAILURES, LOSSES, make_missing
from hc_interp.records.ledger import Status
from hc_interp.records.pieces import Runner, make_ordered

WORK = Squares(torch.arange(5.0))


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("square-*.json")}


def run(work, folder, executor, progress=SILENT):
    return dict(make_missing(work, work.keys, SquareStore(folder, "settings"), Runner(executor), progress))


@pytest.fixture
def here(tmp_path):
    """The files that are made without an executor."""
    run(WORK, tmp_path / "here", None)
    return files(tmp_path / "here")


@pytest.mark.parametrize("executor", [Inline(), Jobs()], ids=["futures", "submitit"])
def test_workers_write_the_same_files(executor, here, tmp_path) -> None:
    progress = Stage("", len(WORK.keys))
    found = run(WORK, tmp_path / "there", executor, progress)
    assert [piece.value for piece in found.values()] == [0, 1, 4, 9, 16]
    assert files(tmp_path / "there") == here
    assert progress.done == 5
    status = Status.of(tmp_path / "there")
    assert (len(status.finished), status.running, status.failed, status.waiting) == (5, (), {}, ())


def test_workers_make_pieces_at_the_threads_of_the_call(tmp_path) -> None:
    before = torch.get_num_threads()
    runner = Runner(Inline(), threads=before + 1)
    found = dict(make_missing(WORK, WORK.keys, SquareStore(tmp_path, "settings"), runner, SILENT))
    assert {piece.threads for piece in found.values()} == {before + 1}
    assert torch.get_num_threads() == before


def test_jobs_of_one_batch_are_one_array_and_adapters_may_give_a_job_many_pieces(here, tmp_path) -> None:
    jobs = Jobs()
    run(WORK, tmp_path / "one", jobs)
    assert list(map(len, jobs.arrays)) == [5]
    jobs.n_jobs = 2  # type: ignore[attr-defined]
    run(WORK, tmp_path / "many", jobs)
    assert [len(job.call[1][0].pieces) for job in jobs.arrays[-1]] == [3, 2]
    assert files(tmp_path / "one") == files(tmp_path / "many") == here


def test_pieces_with_the_executor_are_bounded(monkeypatch, here, tmp_path) -> None:
    monkeypatch.setattr(dispatch, "WINDOW", 2)
    jobs = Jobs()
    run(WORK, tmp_path / "there", jobs)
    assert max(map(len, jobs.arrays)) == 2
    assert files(tmp_path / "there") == here


def test_lost_pieces_are_tried_again(here, tmp_path) -> None:
    executor = Inline(lambda number: RuntimeError("preempted") if number <= LOSSES else None)
    run(WORK, tmp_path / "there", executor)
    assert files(tmp_path / "there") == here
    assert len({order.attempt for order in executor.orders}) == len(executor.orders)  # no cache can answer


def test_a_piece_that_is_always_lost_is_named_and_the_others_are_kept(tmp_path) -> None:
    class LosesOne(Inline):
        def submit(self, fn, /, *args):
            self.lost = lambda number: RuntimeError("preempted") if args[0].pieces[0][1] == 3 else None
            return super().submit(fn, *args)

    executor = LosesOne()
    with pytest.raises(HCError, match=r"1 of 5 pieces could not be made: square-003\. lost 6 times, at last: R"):
        run(WORK, tmp_path, executor)
    assert len(files(tmp_path)) == 4
    assert executor.submitted == 4 + LOSSES + 1
    assert list(Status.of(tmp_path).failed) == ["square-003"]
    run(WORK, tmp_path, Inline())  # the same call makes it
    assert len(files(tmp_path)) == 5
    assert Status.of(tmp_path).failed == {}


def test_what_failed_in_a_temporary_folder_is_not_said_to_be_kept() -> None:
    runner = Runner.of(Inline(lambda number: RuntimeError("preempted")), 1, None)
    assert runner.folder is not None
    store = SquareStore(runner.folder, "settings")
    with pytest.raises(
        HCError, match=r"5 of 5 pieces could not be made: .*Nothing is kept: give resume= a folder"
    ) as e:
        dict(make_missing(WORK, WORK.keys, store, runner, SILENT))
    assert "The same call" not in str(e.value)


def test_a_piece_that_fails_is_tried_once_more_and_one_that_is_refused_is_not(tmp_path) -> None:
    executor = Inline()
    with pytest.raises(HCError, match=r"2 of 5 pieces could not be made: square-001, square-003\. number 1 is wrong"):
        run(replace(WORK, trouble={3: "bug", 1: "mendable"}), tmp_path, executor)
    assert len(files(tmp_path)) == 3
    assert executor.submitted == 5 + FAILURES
    failed = Status.of(tmp_path).failed
    assert failed["square-003"] == "failed 2 times, at last: ValueError: number 3 has a bug"


@pytest.mark.parametrize("full_from", ["square-003", "parcels", "pieces.json"])
def test_a_full_disk_is_one_error_and_loses_nothing(full_from, tmp_path, monkeypatch) -> None:
    """The disk is full when a piece is written, or what workers are to read, or the list of pieces."""
    store = SquareStore(tmp_path, "settings")
    store.put("square-001", SquareNumber(1.0, 1))
    replace_file = Path.replace

    def full(self, target):
        if full_from in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(HCError, match=r"No space left on device") as e:
        run(WORK, tmp_path, Inline())
    assert full_from != "square-003" or re.search(r"1 of 5 pieces.*The other 4 are in", str(e.value))
    monkeypatch.undo()
    assert len(files(tmp_path)) == (4 if full_from == "square-003" else 1)
    assert not list(tmp_path.rglob(".*~*"))  # no half-written file is left
    assert run(WORK, tmp_path, Inline())["square-001"].value == 1


@pytest.mark.parametrize(
    "error", [pickle.PicklingError("Can't pickle <function>"), TypeError("cannot pickle '_io' object")]
)
def test_an_executor_that_cannot_pickle_is_one_error_at_once(error, tmp_path) -> None:
    executor = Inline(lambda number: error)
    with pytest.raises(HCError, match=r"cannot send a piece \(.*an.?.?t pickle.*0 of 5 pieces are in"):
        run(WORK, tmp_path, executor)
    assert executor.submitted == 5  # none is tried again


def test_a_worker_of_another_version_stops_the_call_at_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(dispatch, "versions", lambda: {"torch": "0.1"})
    executor = Inline()
    with pytest.raises(HCError, match=r"A worker on .* has torch .*, and this process has 0\.1\. Expected the same"):
        run(WORK, tmp_path, executor)
    assert files(tmp_path) == {}


def wrapped(error: Exception) -> Exception:
    """As an executor reports it that has errors of its own (Dask)."""
    try:
        raise RuntimeError("Error during deserialization of the task graph") from error
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize("wrap", [lambda error: error, wrapped], ids=["plain", "wrapped"])
def test_a_worker_without_the_package_stops_the_call_at_once(wrap, tmp_path) -> None:
    executor = Inline(lambda number: wrap(ModuleNotFoundError("No module named 'hc_interp'")))
    with pytest.raises(HCError, match=r"A worker lacks hc_interp\. .* 0 of 5 pieces are in"):
        run(WORK, tmp_path, executor)
    assert executor.submitted == 5


@pytest.mark.parametrize("inside", [False, True], ids=["client", "hc.spread.dask"])
def test_dask_workers_are_asked_for_the_package_before_anything_is_sent(inside, tmp_path) -> None:
    class Client(Inline):
        scheduler_info = None

        def run(self, fn, *args, on_error):
            assert (fn("json"), args, on_error) == (json, ("hc_interp",), "return")
            return {"tcp://one:1": json, "tcp://two:2": ModuleNotFoundError("No module named 'hc_interp'")}

    client = executor = Client()
    if inside:
        executor = Inline()
        executor.client = client  # type: ignore[attr-defined]
    with pytest.raises(HCError, match=r"The worker tcp://two:2 cannot import hc_interp \(.*Start the workers in"):
        run(WORK, tmp_path, executor)
    assert executor.submitted == 0


def test_an_executor_that_takes_nothing_is_one_error(tmp_path) -> None:
    class Refuses(Jobs):
        def submit(self, fn, /, *args):
            raise RuntimeError("sbatch: error: invalid partition specified: gpuu")

    with pytest.raises(HCError, match=r"takes no work \(RuntimeError: sbatch: error: invalid partition.*0 of 5 pieces"):
        run(WORK, tmp_path, Refuses())


def test_workers_that_end_before_they_begin_are_not_started_for_ever(tmp_path) -> None:
    executor = Inline(lambda number: BrokenExecutor("all ended"))
    with pytest.raises(HCError, match=r"All workers ended before they began.*__main__"):
        run(WORK, tmp_path, executor)
    assert executor.submitted == 5 * dispatch.BARREN


def test_only_pieces_that_were_being_made_count_as_tried_when_a_pool_breaks(here, tmp_path, monkeypatch) -> None:
    """Each piece is with the pool more often than it may be lost, each time while a sixth one is being made."""
    monkeypatch.setattr(dispatch, "remove_ended", lambda folder: {"square-005"})
    n_lost = 5 * (LOSSES + 1)
    executor = Inline(lambda number: BrokenExecutor("killed") if number <= n_lost else None)
    run(WORK, tmp_path / "there", executor)
    assert files(tmp_path / "there") == here


def test_a_piece_that_breaks_its_pool_each_time_is_named(tmp_path, monkeypatch) -> None:
    class BreaksOnOne(Inline):
        def submit(self, fn, /, *args):
            wrong = args[0].pieces[0][1] == 3
            self.lost = lambda number: BrokenExecutor("killed") if wrong else None
            return super().submit(fn, *args)

    monkeypatch.setattr(dispatch, "remove_ended", lambda folder: {"square-003"})
    with pytest.raises(HCError, match=r"1 of 5 pieces could not be made: square-003\. lost 6 times"):
        run(WORK, tmp_path, BreaksOnOne())
    assert len(files(tmp_path)) == 4


def test_ctrl_c_takes_back_what_is_queued_and_says_how_to_go_on(tmp_path) -> None:
    class Stopped(Jobs):
        def submit(self, fn, /, *args):
            job = super().submit(fn, *args)
            if len(self.arrays[-1]) == 4:
                job.done = self.interrupted  # type: ignore[method-assign]
            return job

        def interrupted(self):
            raise KeyboardInterrupt

    jobs = Stopped()
    with pytest.raises(KeyboardInterrupt, match=r"of 5 pieces are in .*The same call with the same resume= makes the"):
        run(WORK, tmp_path, jobs)
    assert all(job.cancelled for job in jobs.arrays[0])


def test_a_piece_that_another_call_has_made_is_not_made_again(tmp_path) -> None:
    store = SquareStore(tmp_path, "settings")
    store.put("square-002", SquareNumber(-1.0, 1))
    assert run(WORK, tmp_path, Inline())["square-002"].value == -1


def test_a_folder_that_workers_do_not_share_is_said(tmp_path, monkeypatch) -> None:
    class Elsewhere(Inline):
        def submit(self, fn, /, *args):
            future = super().submit(fn, *args)
            for path in tmp_path.glob("square-*.json"):
                path.unlink()
            return future

    monkeypatch.setattr(dispatch, "PATIENCE", 0)
    with pytest.raises(HCError, match="all workers and this process see under the same path"):
        run(WORK, tmp_path, Elsewhere())


def test_futures_without_a_worker_are_cancelled_when_the_call_ends_in_an_error(tmp_path) -> None:
    class Half(Inline):
        def submit(self, fn, /, *args):
            if self.submitted < 1:
                return super().submit(fn, *args)
            self.waiting = Future()
            return self.waiting

    executor = Half(lambda number: ImportError("No module named 'hc_interp'"))
    with pytest.raises(HCError, match="lacks hc_interp"):
        run(WORK, tmp_path, executor)
    assert executor.waiting.cancelled()


def test_an_order_is_small(tmp_path) -> None:
    executor = Inline()
    work = Squares(torch.arange(500.0))
    dict(make_missing(work, {"square-001": 1}, SquareStore(tmp_path, "settings"), Runner(executor), SILENT))
    assert len(pickle.dumps((make_ordered, executor.orders[0]))) < 1500
