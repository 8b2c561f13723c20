"""The folder of a run: every file appears whole, the manifest says how far the run came, and a run can go on there."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hc_interp.errors import HCError
from hc_interp.files import atomic, plain, write_json
from hc_interp.records.digest import digest
from hc_interp.records.provenance import versions
from hc_interp.records.result import Result
from hc_interp.records.store import Store, check_writable

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
        if resume and _is_run(path):
            earlier = json.loads((path / MANIFEST).read_text())
            _check_same(path, earlier, shaped_by)
            manifest = {"seconds": {}, **earlier, "status": "running"}
        elif path.exists() and _is_run(path):
            shutil.rmtree(path)
        parts = Parts(path, digest(sorted(_flat(shaped_by))))
        folder = cls(parts, manifest, say, manifest["seconds"].pop("all", 0.0))
        folder.write_manifest()
        return folder

    @property
    def path(self) -> Path:
        return self.parts.folder

    def write_manifest(self) -> None:
        write_json(self.path / MANIFEST, self.manifest)

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
    taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if taken and not ((overwrite or resume) and _is_run(path)):
        raise HCError(
            f"{path} already exists and is not empty. A run is not written over other files: choose a new folder, or, "
            "where it holds an earlier run, pass --resume (resume=True) to go on with it or --overwrite "
            "(overwrite=True) to replace it."
        )
    check_writable(path, Parts.piece, Parts.argument)


def _is_run(folder: Path) -> bool:
    """Whether a folder holds what an earlier run wrote: nothing else is ever removed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"status", "arguments", "settings", "versions"} <= set(manifest)


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
