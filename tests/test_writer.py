"""Whose a file is that a killed process left, and when it may be removed."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hc_interp import writer
from hc_interp.files import write_text
from hc_interp.writer import SILENCE, Writer, remove_leftovers, remove_leftovers_at_times


def ended(code: str = "") -> Writer:
    """A process of this machine that has ended."""
    say = "from hc_interp.writer import Writer; print(Writer.this().name('x'))"
    run = subprocess.run([sys.executable, "-c", code or say], capture_output=True, text=True, check=True)
    writer_of_name = Writer.of(run.stdout.strip())
    assert writer_of_name is not None
    return writer_of_name


def test_a_name_tells_its_writer() -> None:
    this = Writer.this()
    names = {this.name("a.b~c" * 20, ".json") for _ in range(5)}
    assert len(names) == 5
    for name in names:
        assert Writer.of(name) == this
        assert name.startswith(".")
        assert name.endswith(".json")
        assert len(name) < 200
    assert Writer.of(this.name("lock")) == this
    for other in ("x.json", ".x.json", ".x~1~2~host.json", "x~1~2~host~01234567.json", ".x~a~2~h~01234567"):
        assert Writer.of(other) is None


def test_a_process_is_gone_when_it_has_ended_or_its_number_is_anothers() -> None:
    now, this = time.time(), Writer.this()
    assert not this.is_gone(now - 1e6)
    assert ended().is_gone(now)
    assert replace(this, started="1").is_gone(now)
    assert not replace(this, started=writer.UNKNOWN).is_gone(now)  # that its number is another's cannot be known
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert zombie.stdout is not None
    zombie.stdout.read()  # it has ended, but nobody has asked how
    deadline = time.time() + 10
    while not replace(this, pid=zombie.pid, started=writer.UNKNOWN).is_gone(now) and time.time() < deadline:
        time.sleep(0.01)
    assert replace(this, pid=zombie.pid, started=writer.UNKNOWN).is_gone(now)
    zombie.wait()


def test_on_another_machine_it_is_gone_after_ten_silent_minutes() -> None:
    assert SILENCE == 600
    other = replace(Writer.this(), host="elsewhere")
    assert not other.is_gone(time.time() - SILENCE + 30)
    assert other.is_gone(time.time() - SILENCE - 30)


def test_only_what_is_left_is_removed(tmp_path) -> None:
    gone, this = ended(), Writer.this()
    left, live, old = tmp_path / gone.name("a", ".json"), tmp_path / this.name("a", ".json"), tmp_path / ".a~mine"
    for path in (left, live, old):
        path.write_text("half")
    assert remove_leftovers(tmp_path) == [gone]
    assert sorted(tmp_path.iterdir()) == sorted([live, old])


def test_the_next_write_into_the_folder_removes_what_is_left(tmp_path) -> None:
    code = (
        "import os, sys\nfrom hc_interp.files import atomic\n"
        "with atomic(sys.argv[1]) as path:\n    path.write_text('half')\n    os.kill(os.getpid(), 9)"
    )
    target = tmp_path / "deep" / "x.json"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert [Writer.of(path.name) is not None for path in target.parent.iterdir()] == [True]
    write_text(target.parent / "y.json", "whole")
    assert [path.name for path in target.parent.iterdir()] == ["y.json"]


def test_what_another_user_left_is_no_reason_to_fail(tmp_path, monkeypatch) -> None:
    left = tmp_path / ended().name("a", ".json")
    left.write_text("half")
    unlink = Path.unlink

    def refuse(self, *args, **options):
        if self == left:
            raise PermissionError(1, "Operation not permitted")
        unlink(self, *args, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert write_text(tmp_path / "x.json", "whole").read_text() == "whole"


def test_a_process_that_cannot_be_looked_at_is_taken_for_a_live_one(monkeypatch) -> None:
    def hidden(pid, number):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", hidden)
    other = replace(Writer.this(), pid=2**22 + 5)  # a number that no process has
    assert not other.is_gone(time.time())
    monkeypatch.undo()
    assert other.is_gone(time.time())


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_file_that_is_replaced_keeps_who_may_read_it(tmp_path, mode) -> None:
    path = write_text(tmp_path / "x.json", "old")
    path.chmod(mode)
    write_text(path, "new")
    assert path.stat().st_mode & 0o777 == mode


def test_a_folder_of_many_files_is_looked_through_at_most_once_a_minute(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(writer, "MANY", 2)
    process = subprocess.Popen(["true"])
    process.wait()
    left = tmp_path / Writer(process.pid, "1", Writer.this().host).name("x")
    for number in range(3):
        left.touch()
        remove_leftovers_at_times(tmp_path)
        assert not left.exists()  # few files: each time
        (tmp_path / str(number)).touch()
    left.touch()
    remove_leftovers_at_times(tmp_path)
    assert left.exists()
    now = time.monotonic()
    monkeypatch.setattr(writer.time, "monotonic", lambda: now + writer.PAUSE + 1)
    remove_leftovers_at_times(tmp_path)
    assert not left.exists()
