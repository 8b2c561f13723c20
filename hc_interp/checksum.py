"""JSON files that are read back: each carries a checksum of its content, so that damage to it is noticed.

The checksum is the first entry, alone on its line, and of every byte behind that line; the second entry is the format.
Format 1 had no checksum. A file of a later format that lacks one is damaged: one flipped bit never gives format 1.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from hc_interp.errors import ChecksumError, ResultError, warn
from hc_interp.files import json_text, write_text

FORMAT = 2
_HEAD = re.compile(rb'\{\n "sha256": "([0-9a-f]{64})",\n(.*)', re.DOTALL)
_MARKS = re.compile(rf'"sha256"|"format": {FORMAT}|[0-9a-f]{{20}}'.encode())  # what is left of a head that is damaged


def write_checked(path: str | Path, record: dict[str, Any]) -> Path:
    """Write a record as JSON with its checksum and format."""
    if taken := {"sha256", "format"} & record.keys():
        raise ResultError(
            f"{path} cannot hold an entry {min(taken)!r}: the file has its own. Call the entry otherwise."
        )
    text = json_text({"format": FORMAT, **record}).removeprefix("{\n") + "\n"
    return write_text(path, f'{{\n "sha256": "{hashlib.sha256(text.encode()).hexdigest()}",\n{text}')


def read_checked(path: str | Path, what: str, mend: str) -> tuple[dict[str, Any], bool]:
    """The record that `write_checked` wrote, and whether it has a checksum.

    Raises `ChecksumError`, saying that this is no whole `what` and how to `mend` it, where the checksum does not fit,
    and for a newer format; `ValueError` or `OSError` for a file that is none of these.
    """
    content = Path(path).read_bytes()
    damaged = ChecksumError(
        f"{path} is not a {what} any more: it was damaged or changed after it was written (its checksum does not "
        f"fit). {mend}"
    )
    head = _HEAD.fullmatch(content)
    if head and hashlib.sha256(head[2]).hexdigest().encode() != head[1]:
        raise damaged
    if not head and _MARKS.search(content[:120]):
        raise damaged
    record = json.loads(content)
    if not isinstance(record, dict):
        raise ValueError("it holds no object")
    record.pop("sha256", None)
    number = record.pop("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise ChecksumError(
            f"{path} is of format {number}, which a newer hc_interp wrote; this one reads up to {FORMAT}. Update "
            "hc_interp: pip install --upgrade hc-interp."
        )
    if number == FORMAT and not head:
        raise damaged
    if number not in (1, FORMAT):
        raise ValueError(f"format {number}, this version reads 1 to {FORMAT}")
    return record, head is not None


def note_unchecked(path: str | Path) -> None:
    """Warn of a file without a checksum."""
    warn(
        f"{path} was written by an earlier hc_interp, without a checksum: damage to it would not be noticed. Load it "
        "and save it again to give it one."
    )
