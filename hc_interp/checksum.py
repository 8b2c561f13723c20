"""JSON files with a checksum of their content, so that damage is noticed when a file is read.

The first entry, on a line of its own, is the SHA-256 of all bytes after that line. The second entry is the number of
the file's format. Files of format 1 had no checksum. A file of a later format without a checksum is damaged: one
flipped bit cannot turn a later format into format 1.
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
_MARKS = re.compile(rf'"sha256"|"format": {FORMAT}|[0-9a-f]{{20}}'.encode())  # traces of damaged first entries


def write_checked(path: str | Path, record: dict[str, Any]) -> Path:
    """Write a record as JSON with its checksum and format. Raises `ResultError` if the record has entries so named."""
    if taken := {"sha256", "format"} & record.keys():
        raise ResultError(
            f"{path} cannot hold an entry {min(taken)!r}: the file has one of its own. Give the entry another name."
        )
    text = json_text({"format": FORMAT, **record}).removeprefix("{\n") + "\n"
    return write_text(path, f'{{\n "sha256": "{hashlib.sha256(text.encode()).hexdigest()}",\n{text}')


def read_checked(path: str | Path, what: str, mend: str) -> tuple[dict[str, Any], bool]:
    """The record that `write_checked` wrote, and whether the file has a checksum.

    Raises `ChecksumError` if the checksum does not fit, and for a newer format. Its message names the file's kind,
    `what`, and ends with `mend`, which says what to do. Raises `ValueError` or `OSError` for any other unreadable file.
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
        raise ValueError("it is not a JSON object")
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
    """Warn that a file has no checksum."""
    warn(
        f"{path} was written by an earlier hc_interp, without a checksum: damage to it would not be noticed. Load it "
        "and save it again to give it one."
    )
