"""A run's folder has one live run; a lock that was left is taken over."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hc_interp.errors import HCError
from hc_interp.files import write_text
from hc_interp.records import lock as locks
from hc_interp.records.lock import locked, refuse_if_held
from hc_interp.runs.folder import ExperimentFolder, check_free
from hc_interp.writer import SILENCE, Writer

RECORD = {"arguments": {}, "settings": {"seed": 0}}
HOLD = """
import sys, time
from hc_interp.records.lock import locked
with locked(__import__("pathlib").Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen:
    """Another process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_second_live_run_is_refused_and_a_killed_one_is_taken_over(tmp_path) -> None:
    folder, said = tmp_path / "run", []
    process = holder(folder)
    try:
        message = (
            rf"run is in use: process {process.pid} on .* runs there since 20\d\d-.*Expected a folder that no other"
        )
        with pytest.raises(HCError, match=message) as caught, locked(folder, said.append):
            pytest.fail("two runs hold one folder")
        assert "\n" not in str(caught.value)
        with pytest.raises(HCError, match="is in use"):
            refuse_if_held(folder)
        assert len(names(folder)) == 1
    finally:
        process.kill()
        process.wait()
    refuse_if_held(folder)
    with locked(folder, said.append):
        assert len(said) == 1
        assert said[0].startswith(f"took over {folder} from process {process.pid} on ")
        assert said[0].endswith(", which is gone")
        with pytest.raises(HCError, match="is in use"), locked(folder, said.append):  # a second one of this process
            pytest.fail("two runs hold one folder")
        write_text(folder / "x.json", "whole")
    assert names(folder) == ["x.json"]


def test_another_machines_lock_counts_for_ten_minutes_without_a_sign_of_life(tmp_path) -> None:
    left = tmp_path / replace(Writer.this(), host="elsewhere").name("lock")
    left.write_text("2026-01-01 10:00")
    os.utime(left, (0, time.time() - SILENCE + 30))
    with pytest.raises(HCError, match=r"on elsewhere runs there since 2026-01-01 10:00.*10 minutes later"):
        refuse_if_held(tmp_path)
    os.utime(left, (0, time.time() - SILENCE - 30))
    said: list[str] = []
    with locked(tmp_path, said.append):
        assert "elsewhere, which is gone" in said[0]
        assert not left.exists()


def test_a_live_lock_shows_signs_of_life(tmp_path, monkeypatch) -> None:
    assert locks.BEAT < SILENCE / 5
    monkeypatch.setattr(locks, "BEAT", 0.01)
    with locked(tmp_path, print):
        path = next(tmp_path.iterdir())
        os.utime(path, (0, 0))
        deadline = time.time() + 20
        while path.stat().st_mtime < time.time() - 60 and time.time() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > time.time() - 60
    assert names(tmp_path) == []


def test_a_failure_gives_the_folder_free(tmp_path) -> None:
    folder = tmp_path / "run"
    for error in (HCError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)), locked(folder, print):
            raise error
        assert not folder.exists()  # it was made for nothing


def test_a_kill_in_the_first_manifest_write_blocks_nothing(tmp_path) -> None:
    code = """
import os, sys
from pathlib import Path
from hc_interp.runs.folder import ExperimentFolder
from hc_interp.records.lock import locked
Path.replace = lambda *args: os.kill(os.getpid(), 9)
with locked(Path(sys.argv[1]), print):
    record = {"arguments": {}, "settings": {"seed": 0}}
    ExperimentFolder.open(sys.argv[1], record, overwrite=False, resume=False, say=print)
"""
    out = tmp_path / "out"
    subprocess.run([sys.executable, "-c", code, str(out)], check=False)
    assert len(names(out)) == 2  # a lock, and half a manifest
    for resume in (False, True):
        check_free(out, False, resume)
    with locked(out, print):
        ExperimentFolder.open(out, RECORD, overwrite=False, resume=True, say=print)
    assert names(out) == ["manifest.json"]


def test_a_kill_while_an_old_run_is_removed_leaves_a_run(tmp_path, monkeypatch) -> None:
    out = tmp_path / "out"
    ExperimentFolder.open(out, RECORD, overwrite=False, resume=False, say=print)
    for name in ("a.json", "b.json", "z.json"):
        (out / name).write_text("{}")
    (out / "figures").mkdir()
    (out / "figures" / "x.svg").write_text("")
    calls, unlink = [], Path.unlink

    def stop(self, **options):
        calls.append(self.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        unlink(self, **options)

    monkeypatch.setattr(Path, "unlink", stop)
    with pytest.raises(KeyboardInterrupt):
        ExperimentFolder.open(out, RECORD, overwrite=True, resume=False, say=print)
    ExperimentFolder.open(out, RECORD, overwrite=True, resume=False, say=print)
    assert "manifest.json" not in calls  # it is replaced, never removed
    assert names(out) == ["manifest.json"]


def test_a_damaged_manifest_is_called_damaged(tmp_path) -> None:
    ExperimentFolder.open(tmp_path / "a", RECORD, overwrite=False, resume=False, say=print)
    path = tmp_path / "a" / "manifest.json"
    path.write_text(path.read_text().replace("running", "finished"))
    for overwrite, resume in ((False, True), (True, False)):
        with pytest.raises(
            HCError, match=r"manifest\.json is not a manifest of a run any more.*Restore it from a copy"
        ):
            ExperimentFolder.open(tmp_path / "a", RECORD, overwrite=overwrite, resume=resume, say=print)
