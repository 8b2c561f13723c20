"""One live run for each folder: a lock that names its process, and is taken over where that is gone."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from hc_interp.errors import HCError
from hc_interp.writer import SILENCE, Writer, last_seen, remove_leftovers

LOCK = "lock"
BEAT = 60.0  # seconds between signs of life


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a folder, which is made where it is not there, and show a sign of life every minute.

    The lock is a file of its own for each process, so that removing one that is left can never hit a live one. It is
    written before others are looked for: of two runs that begin at once, at most one goes on. Raises `HCError` for a
    folder that another run holds; says whose lock was taken over.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / Writer.this().name(LOCK)
    over = Event()
    beats = Thread(target=_beat, args=(lock, over), daemon=True)
    try:
        lock.write_text(time.strftime("%Y-%m-%d %H:%M"))
        locks = {writer for path in folder.glob(f".{LOCK}~*") if (writer := Writer.of(path.name))}
        for writer in remove_leftovers(folder):
            if writer in locks:
                say(f"took over {folder} from {writer}, which is gone")
        refuse_if_held(folder, lock)
        beats.start()
        yield
    finally:
        over.set()
        if beats.ident is not None:
            beats.join()
        lock.unlink(missing_ok=True)
        if made:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def refuse_if_held(folder: Path, own: Path | None = None) -> None:
    """Raise `HCError` for a folder that a live run holds, other than by the lock `own`."""
    for path in sorted(folder.glob(f".{LOCK}~*")):
        writer = Writer.of(path.name)
        if path == own or writer is None or writer.is_gone(last_seen(path)):
            continue
        with suppress(FileNotFoundError):
            begun = path.read_text() or "just now"
            raise HCError(
                f"{folder} is in use: {writer} runs there since {begun}. Expected a folder that no other run writes "
                "to. Wait until it ends or stop it, or choose another folder. A killed run gives its folder free, on "
                f"another machine {SILENCE / 60:.0f} minutes later, or at once if you delete {path.name} there."
            )


def _beat(lock: Path, over: Event) -> None:
    while not over.wait(BEAT):
        with suppress(OSError):  # a disk that is away for a while; ten beats may fail
            lock.touch()
