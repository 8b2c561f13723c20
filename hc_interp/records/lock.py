"""A lock that lets one run at a time write to a folder. It names its process, and is removed if that has ended."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from hc_interp.errors import HCError
from hc_interp.writer import SILENCE, Writer, last_seen, remove_leftovers

LOCK = "lock"
BEAT = 60.0  # seconds between two updates of a lock's modification time


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Lock a folder, which is created if it does not exist, and update the lock's modification time every minute.

    Each process has its own lock file, so that removing the lock of an ended process never removes that of a running
    one. The file is written before other locks are looked for: of two runs that start at the same time, at most one
    continues. Raises `HCError` for a folder that another run has locked. `say` is told which ended run's lock was
    removed.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / Writer.this().name(LOCK)
    try:
        lock.write_text(time.strftime("%Y-%m-%d %H:%M"))
        locks = {writer for path in folder.glob(f".{LOCK}~*") if (writer := Writer.of(path.name))}
        for writer in remove_leftovers(folder):
            if writer in locks:
                say(f"took over {folder} from {writer}, which is gone")
        refuse_if_held(folder, lock)
        with beating(lock):
            yield
    finally:
        lock.unlink(missing_ok=True)
        if made:
            with suppress(OSError):  # the folder is not empty
                folder.rmdir()


def refuse_if_held(folder: Path, except_for: Path | None = None) -> None:
    """Raise `HCError` for a folder that a running process has locked, unless the lock is `except_for`."""
    for path in sorted(folder.glob(f".{LOCK}~*")):
        writer = Writer.of(path.name)
        if path == except_for or writer is None or writer.is_gone(last_seen(path)):
            continue
        with suppress(FileNotFoundError):
            begun = path.read_text() or "just now"
            raise HCError(
                f"{folder} is in use: {writer} runs there since {begun}. Expected a folder that no other run writes "
                "to. Wait until it ends or stop it, or choose another folder. A killed run gives its folder free, on "
                f"another machine {SILENCE / 60:.0f} minutes later, or at once if you delete {path.name} there."
            )


@contextmanager
def beating(lock: Path) -> Iterator[None]:
    """Update a file's modification time every minute, as a sign of life of this process."""
    finished = Event()
    beats = Thread(target=_beat, args=(lock, finished), daemon=True)
    beats.start()
    try:
        yield
    finally:
        finished.set()
        beats.join()


def _beat(lock: Path, finished: Event) -> None:
    while not finished.wait(BEAT):
        with suppress(OSError):  # the disk may be unavailable for a while: ten updates may fail
            lock.touch()
