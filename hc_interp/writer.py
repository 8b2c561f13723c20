"""The process that writes a file, told by the file's name, so that what it leaves when it is killed is known as left.

Temporary files and the locks of run folders have such names. A file whose writer is gone belongs to nobody.
"""

import os
import re
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

SILENCE = 600.0  # seconds without a sign of life after which a process on another machine counts as gone
UNKNOWN = "unknown"
_NAME = re.compile(r"\.[^~]*~(?P<pid>\d+)~(?P<started>\w+)~(?P<host>[\w.-]+)~[0-9a-f]{8}(\.[^~]*)?")


@dataclass(frozen=True)
class Writer:
    """A process: its number, when its system started it (numbers are given out again), and its machine."""

    pid: int
    started: str
    host: str

    @classmethod
    def this(cls) -> Self:
        return cls(os.getpid(), UNKNOWN if os.name == "nt" else _started(os.getpid()) or UNKNOWN, _host())

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Who wrote a file of this name; None where the name is not one that `name` gives."""
        match = _NAME.fullmatch(name)
        return cls(int(match["pid"]), match["started"], match["host"]) if match else None

    def name(self, stem: str, suffix: str = "") -> str:
        """A name for a file of this process, another one at each call."""
        return f".{stem.replace('~', '-')[:40]}~{self.pid}~{self.started}~{self.host}~{secrets.token_hex(4)}{suffix}"

    def is_gone(self, last_seen: float) -> bool:
        """Whether the process has ended; on another machine, whether it was last seen (in Unix time) too long ago."""
        if self.host != _host() or os.name == "nt":  # where there is no asking whether a process is there
            return time.time() - last_seen > SILENCE
        started = _started(self.pid)
        return started is None or (UNKNOWN not in (started, self.started) and started != self.started)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def remove_left(folder: Path) -> list[Writer]:
    """Remove a folder's files whose writers are gone, and say who these were."""
    gone = []
    for path in folder.iterdir():
        writer = Writer.of(path.name)
        if writer is not None and writer.is_gone(last_seen(path)):
            with suppress(PermissionError):  # another user's, in a folder of many: theirs to remove
                path.unlink(missing_ok=True)
            gone.append(writer)
    return gone


def last_seen(path: Path) -> float:
    """When a file last changed, in Unix time; now, where it is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _started(pid: int) -> str | None:
    """When the system started a process, in its own ticks; None where it has ended, `UNKNOWN` if not told."""
    try:
        with suppress(PermissionError):  # another user's: it is there, and may be hidden below
            os.kill(pid, 0)
    except ProcessLookupError:
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return UNKNOWN
    return None if fields[0] in "ZX" else fields[19]


@cache
def _host() -> str:
    """The machine, and where a container numbers its processes by itself, which container."""
    try:
        space = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:
        space = ""
    return re.sub(r"[^\w.-]", "-", "-".join(filter(None, [socket.gethostname(), space])))
