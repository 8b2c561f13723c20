"""The folder of a run: every file appears whole, the manifest says how far the run came, and a run can go on there."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hc_interp.checksum import read_checked, write_checked
from hc_interp.errors import HCError
from hc_interp.files import atomic, plain
from hc_interp.records.digest import digest
from hc_interp.records.provenance import versions
from hc_interp.records.result import Result
from hc_interp.records.store import Store, check_writable
from hc_interp.writer import Writer

MANIFEST = "manifest.json"
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Parts(Store):
    """A file for each finished part of a run."""

    work: ClassVar[str] = "run"
    shaped_by: ClassVar[str] = "model, task, settings or versions"
    piece: ClassVar[str] = "part"
    kind: ClassVar[type[Result]] = Result
    argument: ClassVar[str] = "out"


@dataclass
class Folder:
    """The run's folder: every file appears whole, and the manifest says how far the run came."""

    parts: Parts
    manifest: dict[str, Any]
    say: Callable[[str], None]
    before: float = 0.0  # seconds that earlier calls took
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def open(
        cls, out: str | Path, record: dict[str, Any], *, overwrite: bool, resume: bool, say: Callable[[str], None]
    ) -> "Folder":
        """A new folder, or with `resume` the one of an earlier run, which must have been the same: `record` holds what
        makes it so (arguments, settings, model, data). Raises `HCError` for one that is not, naming what differs."""
        path = Path(out)
        check_free(path, overwrite, resume)
        shaped_by = plain({**record, "versions": versions()})
        manifest = {"status": "running", **shaped_by, "seconds": {}}
        earlier = _earlier(path)
        if resume and earlier is not None:
            _check_same(path, earlier, shaped_by)
            manifest = {**earlier, "status": "running", "seconds": earlier.get("seconds", {})}
        elif earlier is not None:
            _empty(path)
        parts = Parts(path, digest(sorted(_flat(shaped_by))))
        folder = cls(parts, manifest, say, manifest["seconds"].pop("all", 0.0))
        folder.write_manifest()
        return folder

    @property
    def path(self) -> Path:
        return self.parts.folder

    def write_manifest(self) -> None:
        write_checked(self.path / MANIFEST, self.manifest)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; a failure leaves its name in the manifest."""
        self.say(name)
        begun = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self.manifest["status"] = f"stopped in '{name}' ({type(error).__name__})"
            self.manifest["seconds"]["all"] = self._seconds()
            self.write_manifest()
            raise
        self.manifest["seconds"][name] = round(time.perf_counter() - begun, 2)
        self.write_manifest()

    def part(self, name: str, kind: type[R], make: Callable[[], R]) -> R:
        """A part of the run: made and kept, or read back where an earlier call finished it."""
        earlier = self.parts.get(name, kind)
        if earlier is not None:
            self.say(f"  {name}: kept from before")
            return earlier
        result = make()
        self.keep(name, result)
        return result

    def keep(self, name: str, result: Result) -> None:
        """A result as a table and, last, as JSON: where that is there, the part is whole."""
        with atomic(self.path / f"{name}.csv") as temporary:
            result.to_frame().to_csv(temporary, index=False)
        self.parts.put(name, result)

    def finish(self) -> None:
        self.manifest["status"] = "finished"
        self.manifest["seconds"]["all"] = self._seconds()
        self.write_manifest()

    def _seconds(self) -> float:
        return round(self.before + time.perf_counter() - self.started, 2)


def check_free(path: Path, overwrite: bool, resume: bool) -> None:
    """Raises `HCError` for a folder that holds anything which this call may not touch, or that cannot be written."""
    if overwrite and resume:
        raise HCError("overwrite and resume were both given. Expected one: to replace the earlier run, or to go on.")
    taken = path.exists() and (not path.is_dir() or any(Writer.of(item.name) is None for item in path.iterdir()))
    if taken and not ((overwrite or resume) and _earlier(path) is not None):
        raise HCError(
            f"{path} already exists and is not empty. A run is not written over other files: choose a new folder, or, "
            "where it holds an earlier run, pass --resume (resume=True) to go on with it or --overwrite "
            "(overwrite=True) to replace it."
        )
    check_writable(path, Parts.piece, Parts.argument)


def _earlier(folder: Path) -> dict[str, Any] | None:
    """The manifest of the run that a folder holds, None where it holds none: nothing else is ever removed.

    Raises `ChecksumError` for a manifest that is damaged.
    """
    mend = "Restore it from a copy, or choose a new folder: hc.read still reads this one's results."
    try:
        manifest, _ = read_checked(folder / MANIFEST, "manifest of a run", mend)
    except (OSError, ValueError):
        return None
    return manifest if {"status", "arguments", "settings", "versions"} <= set(manifest) else None


def _empty(folder: Path) -> None:
    """Remove what an earlier run left, its manifest last: a folder that is half empty is still known as a run's."""
    for path in [path for path in folder.iterdir() if path.name != MANIFEST and Writer.of(path.name) is None]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_same(path: Path, earlier: dict[str, Any], now: dict[str, Any]) -> None:
    before, after = (dict(_flat({name: record.get(name) for name in now})) for record in (earlier, now))
    if changed := [name for name in {**before, **after} if before.get(name) != after.get(name)]:
        shown = "; ".join(f"{name} was {before.get(name)!r} and is {after.get(name)!r}" for name in changed[:3])
        raise HCError(
            f"{path} holds a run that is not this one: {shown}. Expected the same model, task, settings and versions, "
            "so that its parts belong together. Give what it was begun with, or choose a new folder."
        )


def _flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
