"""Files appear whole or not at all."""

import errno
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from hc_interp.errors import HCError
from hc_interp.files import atomic, check_destination, json_text, new_folder, plain, write_json, write_text
from hc_interp.writer import Writer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path) -> Path:
    path = tmp_path / "result.json"
    path.write_text("old")
    return path


def test_write_makes_folders_and_replaces(tmp_path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    assert write_text(path, "one é\n") == path
    assert write_text(str(path), "two é\n") == path
    assert path.read_text(encoding="utf-8") == "two é\n"
    assert names(path.parent) == ["c.txt"]
    assert path.stat().st_mode & stat.S_IRGRP


def test_the_temporary_stands_beside_its_target_under_its_suffix(target) -> None:
    with atomic(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".json"
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(target.parent) == ["result.json"]


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failure_half_way_leaves_the_old_file(target, error) -> None:
    def write() -> None:
        with atomic(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_text() == "old"
    assert names(target.parent) == ["result.json"]


def test_a_full_disk(target, monkeypatch) -> None:
    def full(self, *args, **kwargs):
        with open(self, "w") as file:
            file.write("ha")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(HCError, match=r"result\.json could not be written \(No space left on device\)"):
        write_text(target, "half")
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert names(target.parent) == ["result.json"]


def test_a_rename_that_fails(target, monkeypatch) -> None:
    def refuse(self, other):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(HCError, match="Permission denied"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert names(target.parent) == ["result.json"]


def test_a_folder_that_may_not_be_written(target, monkeypatch) -> None:
    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # file modes do not stop root
    with pytest.raises(HCError, match=r"Permission denied.*choose a folder that you may write to"):
        write_text(target, "new")
    assert target.read_text() == "old"


def test_impossible_targets(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x.json", tmp_path / "folder"):
        with pytest.raises(HCError, match="could not be written"):
            write_text(path, "new")
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


def test_json_of_what_numbers_come_in(tmp_path) -> None:
    record = {
        "nan": float("nan"),
        "inf": np.float64("inf"),
        "f32": np.float32(0.5),
        "i64": np.int64(3),
        "flag": np.bool_(True),
        "tensor": torch.tensor([1.5, 2.5]),
        "scalar": torch.tensor(2),
        "array": np.eye(2),
        "tuple": (1, None),
        3: Path("a/b"),
        "exact": 0.1 + 0.2,
    }
    read = json.loads(write_json(tmp_path / "x.json", record).read_text())
    assert read == {
        "nan": None,
        "inf": None,
        "f32": 0.5,
        "i64": 3,
        "flag": True,
        "tensor": [1.5, 2.5],
        "scalar": 2,
        "array": [[1.0, 0.0], [0.0, 1.0]],
        "tuple": [1, None],
        "3": "a/b",
        "exact": 0.1 + 0.2,
    }
    assert list(read)[:3] == ["nan", "inf", "f32"]


def test_plain_is_what_json_gives_back() -> None:
    value = {1: (Path("a"), float("nan"), np.float32(0.5)), "b": torch.arange(2), "c": {"d": {3}, "e": None, "f": True}}
    assert plain(value) == {"1": ["a", None, 0.5], "b": [0, 1], "c": {"d": [3], "e": None, "f": True}}
    assert plain(value) == json.loads(json_text(value))


def test_a_link_stays_and_what_it_points_to_is_replaced(target, tmp_path) -> None:
    link, deep, empty = tmp_path / "link.json", tmp_path / "deep", tmp_path / "new.json"
    deep.mkdir()
    link.symlink_to(target)
    (deep / "again.json").symlink_to(Path("..") / "link.json")
    empty.symlink_to(deep / "made.json")
    write_text(deep / "again.json", "new")
    assert target.read_text() == "new"
    write_text(empty, "made")
    assert (deep / "made.json").read_text() == "made"
    assert all(path.is_symlink() for path in (link, deep / "again.json", empty))
    assert names(tmp_path) == ["deep", "link.json", "new.json", "result.json"]
    assert names(deep) == ["again.json", "made.json"]


def test_what_is_no_file_is_refused_and_left(tmp_path) -> None:
    pipe, loop, folder = tmp_path / "pipe", tmp_path / "loop", tmp_path / "folder"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    folder.mkdir()
    to_device = tmp_path / "to-device"
    to_device.symlink_to("/dev/null")
    said = {pipe: "a pipe", folder: "a folder", Path("/dev/null"): "a device", to_device: "a device", loop: "Too many"}
    for path, reason in said.items():
        before = path.lstat()
        with pytest.raises(HCError, match=rf"{path.name} could not be written \(.*{reason}.*Choose another name"):
            write_text(path, "new")
        assert path.lstat().st_ino == before.st_ino
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert names(tmp_path) == ["folder", "loop", "pipe", "to-device"]


def test_a_destination_is_tried_before_the_work_and_nothing_is_left(tmp_path, monkeypatch) -> None:
    check_destination(tmp_path / "new" / "folder" / "result.json")
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "result.json"):
        with pytest.raises(HCError, match="could not be written"):
            check_destination(path)
    monkeypatch.setattr("hc_interp.files.tempfile.TemporaryFile", refuse)
    with pytest.raises(HCError, match=r"result\.json could not be written \(Read-only file system\)"):
        check_destination(tmp_path / "new" / "result.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def refuse(**given):
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_folder_of_a_killed_process_is_removed(tmp_path) -> None:
    gone = Writer(2**22 + 7, "123456", Writer.this().host)
    left = tmp_path / gone.name("model")
    left.mkdir()
    (left / "config.json").write_text("{}")
    with new_folder(tmp_path / "model") as temporary:
        (temporary / "config.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
