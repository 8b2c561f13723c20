"""Leases: a process says which piece it makes, so that no other process makes the same one meanwhile."""

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hc_interp.errors import HCError
from hc_interp.records.lock import beating
from hc_interp.writer import Writer, last_seen

LEASES = "leases"
PAUSE = 0.05  # seconds, at least, before a lease is tried again


@dataclass(frozen=True)
class Lease:
    """A piece that a process makes: its name, the process, and since when (Unix time)."""

    name: str
    writer: Writer
    since: float
    path: Path

    @property
    def is_over(self) -> bool:
        """Whether its process has ended, or has given no sign of life for too long."""
        return _is_over(self.path)


@contextmanager
def leased(folder: Path, name: str) -> Iterator[bool]:
    """Whether this process may make the piece `name` of the folder: False while another process makes it.

    The lease ends with the context, with its process, and, where the process is on another machine, when it has not
    been renewed for ten minutes. Two processes that ask at the same time may both be refused. A file is written before
    the other leases are looked for, so at most one of them goes on.
    """
    there, stem = folder / LEASES, hashlib.sha256(name.encode()).hexdigest()[:16]
    own = _written(there, Writer.this().name(stem), f"{time.time()} {name}")
    try:
        others = [path for path in there.glob(f".{stem}~*") if path != own]
        over = {path for path in others if _is_over(path)}
        if len(over) < len(others):
            yield False
        else:
            for path in over:
                path.unlink(missing_ok=True)
            with beating(own):
                yield True
    finally:
        own.unlink(missing_ok=True)
        with suppress(OSError):  # other leases are there
            there.rmdir()


def leases(folder: Path) -> list[Lease]:
    """The leases of a folder, also those of processes that have ended."""
    result = []
    for path in sorted((folder / LEASES).glob(".*~*")):
        writer = Writer.of(path.name)
        with suppress(FileNotFoundError):  # it ended meanwhile
            if writer is not None:
                since, _, name = path.read_text().partition(" ")
                result.append(Lease(name, writer, float(since or last_seen(path)), path))
    return result


def remove_ended(folder: Path) -> set[str]:
    """Remove the leases of ended processes. Returns the names of the pieces that they were making."""
    ended = [lease for lease in leases(folder) if lease.is_over]
    for lease in ended:
        lease.path.unlink(missing_ok=True)
    return {lease.name for lease in ended}


def wait_a_little() -> None:
    """Wait for a random time, so that two processes that refused each other do not meet again."""
    time.sleep(PAUSE * (1 + 4 * random.random()))


def _is_over(path: Path) -> bool:
    writer = Writer.of(path.name)
    return writer is None or writer.is_gone(last_seen(path))


def _written(folder: Path, name: str, text: str) -> Path:
    """Write a new file. Another process may remove the folder, while it is empty, at any time."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
            return folder / name
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HCError(
                f"{folder} cannot be written ({error.strerror or error}). Free some space, or give resume= a folder "
                "that you may write to. Finished pieces are kept; the same call makes the others."
            ) from error
