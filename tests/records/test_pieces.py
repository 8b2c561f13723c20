"""Pieces that are made here: which, on how many threads, and what happens beside another process that makes them."""

import os
import subprocess
import threading
import time

import pytest
import torch
from pieces_work import Inline, SquareNumber, Squares, SquareStore

from hc_interp.errors import HCError
from hc_interp.progress import SILENT
from hc_interp.records.lease import LEASES, leased, leases, remove_ended
from hc_interp.records.pieces import Runner, make_here
from hc_interp.records.threads import at_threads
from hc_interp.writer import SILENCE, Writer

WORK = Squares(torch.arange(4.0))
VALUES = {"square-000": 0.0, "square-001": 1.0, "square-002": 4.0, "square-003": 9.0}


def made(work, store, threads=1, keys=None):
    return {name: piece.value for name, piece in make_here(work, keys or work.keys, store, threads, SILENT)}


def foreign_lease(folder, name, pid, started=None, host=None):
    """A lease on a piece by another process."""
    with leased(folder, name):
        own = next(lease for lease in leases(folder) if lease.name == name)
        this = own.writer
        other = Writer(pid, this.started if started is None else started, host or this.host)
        text = own.path.read_text()
        stem = own.path.name.removeprefix(".").partition("~")[0]
        path = folder / LEASES / other.name(stem)
        path.write_text(text)
    return path


def of_parent():
    """The writer of the process that started this one, which runs."""
    return os.getppid(), "unknown"


def test_pieces_are_made_with_and_without_a_store(tmp_path) -> None:
    assert made(WORK, None) == VALUES
    store = SquareStore(tmp_path, "settings")
    assert made(WORK, store) == VALUES
    assert sorted(path.stem for path in tmp_path.iterdir()) == list(VALUES)  # and no folder of leases is left
    assert made(Squares(WORK.numbers, {0: "bug"}), store) == VALUES  # which would fail if it were made again


def test_a_piece_runs_at_its_threads_and_the_number_is_put_back() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for threads in (1, 2):
            piece = next(piece for _, piece in make_here(WORK, WORK.keys, None, threads, SILENT))
            assert piece.threads == threads
            assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), at_threads(1):
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_piece_that_another_process_makes_is_waited_for_and_not_made_again(tmp_path) -> None:
    store = SquareStore(tmp_path, "settings")
    lease = foreign_lease(tmp_path, "square-001", *of_parent())
    order = []

    def other() -> None:
        time.sleep(0.3)
        store.put("square-001", SquareNumber(-1.0, 1))
        lease.unlink()

    thread = threading.Thread(target=other)
    thread.start()
    for name, piece in make_here(WORK, WORK.keys, store, 1, SILENT):
        order.append((name, piece.value))
    thread.join()
    assert order == [("square-000", 0.0), ("square-002", 4.0), ("square-003", 9.0), ("square-001", -1.0)]


def test_leases_end_with_their_process_or_after_a_silence(tmp_path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in ("a", "d"):
        foreign_lease(tmp_path, name, ended.pid, "unknown")
    foreign_lease(tmp_path, "b", *of_parent())
    elsewhere = foreign_lease(tmp_path, "c", 1, "1", "another-machine")
    for name, free in (("a", True), ("b", False), ("c", False)):
        with leased(tmp_path, name) as answer:
            assert answer is free
    os.utime(elsewhere, (time.time() - SILENCE - 5,) * 2)
    assert {lease.name: lease.is_over for lease in leases(tmp_path)} == {"b": False, "c": True, "d": True}
    with leased(tmp_path, "c") as answer:
        assert answer
    assert remove_ended(tmp_path) == {"d"}
    assert [lease.name for lease in leases(tmp_path)] == ["b"]


def test_a_lease_shows_its_holder_while_it_is_held(tmp_path) -> None:
    with leased(tmp_path, "run-sparsity-0.5-seed-0") as free:
        assert free
        (lease,) = leases(tmp_path)
        assert (lease.name, lease.writer.pid, lease.is_over) == ("run-sparsity-0.5-seed-0", os.getpid(), False)
        with leased(tmp_path, "run-sparsity-0.5-seed-0") as second:
            assert not second
    assert not (tmp_path / LEASES).exists()


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_a_number_of_threads_without_meaning_is_refused(threads) -> None:
    with pytest.raises(HCError, match=f"threads={threads!r} was given"):
        Runner.of(None, threads, None)


def test_an_executor_without_meaning_is_refused() -> None:
    with pytest.raises(HCError, match=r"executor=4 was given\. Expected an object with submit"):
        Runner.of(4, 1, "folder")  # type: ignore[arg-type]
    assert Runner.of(Inline(), 1, "folder").shaping == {}
    assert Runner.of(Inline(), 2, "folder").shaping == {"threads": 2}


def test_without_a_folder_workers_have_a_temporary_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert Runner.of(None, 1, None).folder is None
    assert not any(tmp_path.iterdir())
    runner = Runner.of(Inline(), 1, None)
    assert [runner.folder] == list(tmp_path.iterdir())
    del runner
    assert not any(tmp_path.iterdir())
    assert Runner.of(Inline(), 1, tmp_path / "mine").folder == tmp_path / "mine"


def test_a_folder_that_the_executor_brings_is_kept(tmp_path) -> None:
    executor = Inline(pieces=tmp_path / "brought")
    runner = Runner.of(executor, 1, None)
    assert (runner.folder, runner.kept, runner.temporary) == (tmp_path / "brought", tmp_path / "brought", False)
    assert Runner.of(executor, 1, tmp_path / "mine").folder == tmp_path / "mine"
    assert Runner.of(Inline(), 1, None).kept is None
