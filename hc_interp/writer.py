"""`Writer`: the process that writes a file. The file's name tells it, so that files of killed processes are recognised.

Temporary files and the locks of run folders have such names. A file whose writer has ended may be removed.
"""

import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

SILENCE = 600.0  # seconds without a sign of life after which a process on another machine counts as gone
UNKNOWN = "unknown"
MANY, PAUSE = 1000, 60.0  # files of a folder in which leftovers are looked for at most once in so many seconds
_looked: dict[Path, tuple[int, float]] = {}  # by folder: how many files it had when it was looked through, and when
_NAME = re.compile(r"\.[^~]*~(?P<pid>\d+)~(?P<started>\w+)~(?P<host>[\w.-]+)~[0-9a-f]{8}(\.[^~]*)?")


@dataclass(frozen=True)
class Writer:
    """A process: its id, the time at which the system started it (ids are used again), and its machine."""

    pid: int
    started: str
    host: str

    @classmethod
    def this(cls) -> Self:
        """This process."""
        return cls(os.getpid(), UNKNOWN if os.name == "nt" else _started(os.getpid()) or UNKNOWN, _host())

    @classmethod
    def of(cls, name: str) -> Self | None:
        """The writer of a file of this name. None if `Writer.name` did not make the name."""
        match = _NAME.fullmatch(name)
        return cls(int(match["pid"]), match["started"], match["host"]) if match else None

    def name(self, stem: str, suffix: str = "") -> str:
        """A name for a file of this process, a different one at each call."""
        return f".{stem.replace('~', '-')[:40]}~{self.pid}~{self.started}~{self.host}~{secrets.token_hex(4)}{suffix}"

    def is_gone(self, last_seen: float) -> bool:
        """Whether the process has ended. On another machine: whether `last_seen` (Unix time) is over `SILENCE` ago."""
        if self.host != _host() or os.name == "nt":  # where the system cannot be asked about the process
            return time.time() - last_seen > SILENCE
        started = _started(self.pid)
        return started is None or (UNKNOWN not in (started, self.started) and started != self.started)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def remove_leftovers(folder: Path) -> list[Writer]:
    """Remove the files and folders in a folder whose writers have ended. Returns these writers."""
    gone = []
    names = os.listdir(folder)
    _looked[folder] = len(names), time.monotonic()
    for path in [folder / name for name in names if name.startswith(".")]:
        writer = Writer.of(path.name)
        if writer is not None and writer.is_gone(last_seen(path)):
            with suppress(PermissionError):  # a file of another user, who may remove it
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            gone.append(writer)
    return gone


def remove_leftovers_at_times(folder: Path) -> None:
    """`remove_leftovers`, but in a folder of many files at most once a minute: looking through it takes long."""
    n_files, looked = _looked.get(folder, (0, 0.0))
    if n_files <= MANY or time.monotonic() - looked > PAUSE:
        remove_leftovers(folder)


def last_seen(path: Path) -> float:
    """When a file was last changed, in Unix time. The present time if the file was removed meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _started(pid: int) -> str | None:
    """When the system started a process, in clock ticks. None if it has ended, `UNKNOWN` if the system does not say."""
    try:
        with suppress(PermissionError):  # another user's process runs, and /proc may hide it
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
    """The machine's name, with the process namespace where there is one: a container has its own process ids."""
    try:
        space = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:
        space = ""
    return re.sub(r"[^\w.-]", "-", "-".join(filter(None, [socket.gethostname(), space])))
