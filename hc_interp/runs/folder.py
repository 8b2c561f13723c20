"""The folder of a run: files are written atomically, a manifest records the progress, and the run can be resumed."""

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
    """The finished parts of a run, one file for each."""

    work: ClassVar[str] = "run"
    shaped_by: ClassVar[str] = "model, task, settings or versions"
    piece: ClassVar[str] = "part"
    kind: ClassVar[type[Result]] = Result
    argument: ClassVar[str] = "out"


@dataclass
class ExperimentFolder:
    """The folder of a run. `manifest` records arguments, settings, status and seconds; `say` prints progress."""

    parts: Parts
    manifest: dict[str, Any]
    say: Callable[[str], None]
    before: float = 0.0  # seconds of earlier calls that this call resumes
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def open(
        cls, out: str | Path, record: dict[str, Any], *, overwrite: bool, resume: bool, say: Callable[[str], None]
    ) -> "ExperimentFolder":
        """Open a new folder, or with `resume` the folder of an earlier call of the same run.

        `record` identifies the run: its arguments, settings, model and data. Raises `HCError` for a folder of another
        run, naming the differences.
        """
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
        """Record the seconds of a stage in the manifest, or in which stage the run stopped."""
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
        """A part of the run: read from the folder if an earlier call finished it, otherwise made and written."""
        earlier = self.parts.get(name, kind)
        if earlier is not None:
            self.say(f"  {name}: kept from before")
            return earlier
        result = make()
        self.keep(name, result)
        return result

    def keep(self, name: str, result: Result) -> None:
        """Write a result as a CSV table and then as JSON. The JSON file is last: its presence means a finished part."""
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
    """Raise `HCError` for a folder that cannot be written, or that has files which this call may not change.

    A folder may have files only if they are of an earlier run and `overwrite` or `resume` is True.
    """
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
    """The manifest of the run in a folder, or None without a run. A folder without a manifest is never emptied.

    Raises `ChecksumError` for a manifest that is damaged.
    """
    mend = "Restore it from a copy, or choose a new folder: hc.read still reads this one's results."
    try:
        manifest, _ = read_checked(folder / MANIFEST, "manifest of a run", mend)
    except (OSError, ValueError):
        return None
    return manifest if {"status", "arguments", "settings", "versions"} <= set(manifest) else None


def _empty(folder: Path) -> None:
    """Remove the files of an earlier run. The manifest stays, so that a half-emptied folder still counts as a run's."""
    for path in [path for path in folder.iterdir() if path.name != MANIFEST and Writer.of(path.name) is None]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_same(path: Path, earlier: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise `HCError` if the manifest `earlier` differs from the record `now` of this run."""
    before, after = (dict(_flat({name: record.get(name) for name in now})) for record in (earlier, now))
    if changed := [name for name in {**before, **after} if before.get(name) != after.get(name)]:
        shown = "; ".join(f"{name} was {before.get(name)!r} and is {after.get(name)!r}" for name in changed[:3])
        raise HCError(
            f"{path} holds a run that is not this one: {shown}. Expected the same model, task, settings and versions, "
            "so that its parts belong together. Give what it was begun with, or choose a new folder."
        )


def _flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested dicts, with names joined by dots."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
