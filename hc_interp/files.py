"""Atomic files: each is written under a temporary name beside its target and renamed, so it appears whole or not."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hc_interp.errors import HCError
from hc_interp.writer import Writer, remove_leftovers_at_times

FILE_TYPES = {stat.S_IFDIR: "a folder", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe"}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder. After success it becomes `path`; after a failure it is removed.

    A symbolic link stays a link, and the file that it points to is replaced. Temporary files of killed processes are
    removed from the folder. Raises `HCError` if `path` is not a file, if the folder cannot be written, and if the disk
    is full.
    """
    target = file_at(path)
    with _in_place_of(target, path, target.stem, target.suffix) as temporary:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, and rename it to `path` after success. After a failure it is removed.

    Raises `HCError` if something is at `path` already (an empty folder is replaced), and if it cannot be written.
    """
    target = Path(path)
    if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
        raise HCError(f"{path} is there already. Expected a folder that is new or empty. Choose another name.")
    with _in_place_of(target.absolute(), path, target.name) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def _in_place_of(target: Path, path: str | Path, stem: str, suffix: str = "") -> Iterator[Path]:
    """Yield a name beside `target` for what takes its place after success, and is removed after a failure."""
    temporary = target.parent / Writer.this().name(stem, suffix)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers_at_times(target.parent)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise HCError(
            f"{path} could not be written ({error.strerror or error}). Nothing was left behind. "
            "Free some space or choose a folder that you may write to, then run again."
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.exists():
            temporary.unlink(missing_ok=True)


def file_at(path: str | Path) -> Path:
    """The file that a path names, with links followed. The file need not exist yet.

    Raises `HCError` for a folder, a device, a pipe or anything else that is not a file, and for a circular link.
    """
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        kind = stat.S_IFREG
    except OSError as error:
        raise _no_file(path, str(error.strerror)) from error
    if kind != stat.S_IFREG:
        raise _no_file(path, f"it is {FILE_TYPES.get(kind, 'no file')}")
    return Path(os.path.realpath(path))


def check_destination(path: str | Path) -> None:
    """Raise now the `HCError` that writing this file would raise later, after the work. Nothing is left on disk."""
    try:
        try_folder(file_at(path).parent)
    except OSError as error:
        raise _no_file(path, error.strerror or str(error)) from error


def try_folder(folder: Path) -> None:
    """Raise `OSError` if no file can be written into a folder. The folder need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    tempfile.TemporaryFile(dir=existing).close()


def _no_file(path: str | Path, reason: str) -> HCError:
    return HCError(
        f"{path} could not be written ({reason}). Expected a file, or a name that is free, in a folder that you may "
        "write to. Choose another name."
    )


def write_text(path: str | Path, text: str) -> Path:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, record: Any) -> Path:
    """Write JSON. Keys keep the order of the caller's dictionaries. NaN and infinities become null."""
    return write_text(path, json_text(record) + "\n")


def json_text(record: Any) -> str:
    """The text that `write_json` writes, without the last line break."""
    return json.dumps(plain(record), indent=1, allow_nan=False)


def plain(value: Any) -> Any:
    """A value in JSON's types: text, numbers, None, lists, dictionaries with text keys. Any other becomes its text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:  # numpy and torch scalars
        return plain(value.item())
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)
