"""Files that appear whole or not at all: everything is written to a temporary name beside its target, then renamed."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hc_interp.errors import HCError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it becomes `path`, on any failure it is removed.

    Raises `HCError` when the folder cannot be written or the disk is full.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem[:40]}-", suffix=target.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise HCError(
            f"{target} could not be written ({error.strerror or error}). Nothing was left behind. "
            "Free some space or choose a folder that you may write to, then run again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
