"""Files that appear whole or not at all: everything is written to a temporary name beside its target, then renamed."""

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
from hc_interp.writer import Writer, remove_left

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe"}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes `path`, on any failure it is removed.

    A link stays, and what it points to is replaced. What processes left there that were killed as they wrote is
    removed. Raises `HCError` for what is no file, and when the folder cannot be written or the disk is full.
    """
    target = file_at(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_left(target.parent)
        name = target.parent / Writer.this().name(target.stem, target.suffix)
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        temporary = name
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise HCError(
            f"{path} could not be written ({error.strerror or error}). Nothing was left behind. "
            "Free some space or choose a folder that you may write to, then run again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def file_at(path: str | Path) -> Path:
    """The file that is meant by a path, links followed; it need not be there yet.

    Raises `HCError` for a folder, a device, a pipe and whatever else is no file, and for a link without an end.
    """
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        kind = stat.S_IFREG
    except OSError as error:
        raise _no_file(path, str(error.strerror)) from error
    if kind != stat.S_IFREG:
        raise _no_file(path, f"it is {KINDS.get(kind, 'no file')}")
    return Path(os.path.realpath(path))


def check_destination(path: str | Path) -> None:
    """Raise the `HCError` that writing this file would raise, before there is work to lose. Leaves nothing behind."""
    try:
        try_folder(file_at(path).parent)
    except OSError as error:
        raise _no_file(path, error.strerror or str(error)) from error


def try_folder(folder: Path) -> None:
    """Raise `OSError` where no file can be written into a folder, which need not be there yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    tempfile.TemporaryFile(dir=there).close()


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
    """Write JSON with sorted keys only where the caller sorted them; NaN and infinities become null."""
    return write_text(path, json_text(record) + "\n")


def json_text(record: Any) -> str:
    """JSON as `write_json` writes it."""
    return json.dumps(plain(record), indent=1, allow_nan=False)


def plain(value: Any) -> Any:
    """A value as JSON gives it back: text, numbers, lists, dictionaries by text; what has none of these is its text."""
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
