"""`Ledger`: the file in a store's folder that says which pieces a call is about. `hc-interp status` reads it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hc_interp.checksum import read_checked, write_checked
from hc_interp.errors import ResultError
from hc_interp.records.lease import Lease, leases
from hc_interp.records.store import Store

LEDGER = "pieces.json"


@dataclass(frozen=True)
class Ledger:
    """The names of all pieces that calls with an executor asked of a folder, and the errors of the last call."""

    folder: Path

    def begin(self, store: Store, names: Sequence[str]) -> None:
        """Add the pieces of a call. Those of earlier calls of the same work stay."""
        before = self.read() or {}
        earlier = before.get("pieces", []) if before.get("settings") == store.settings else []
        record = {
            "work": store.work, "piece": store.piece, "settings": store.settings,
            "begun": time.strftime("%Y-%m-%d %H:%M:%S"), "failed": {},
            "pieces": list(dict.fromkeys([*earlier, *names])),
        }  # fmt: skip
        write_checked(self.folder / LEDGER, record)

    def end(self, failed: Mapping[str, str]) -> None:
        record = self.read()
        if failed and record:
            write_checked(self.folder / LEDGER, {**record, "failed": {**record["failed"], **failed}})

    def read(self) -> dict[str, Any] | None:
        """The record, or None if the folder has none. Raises `ChecksumError` for one that is damaged."""
        path = self.folder / LEDGER
        if not path.exists():
            return None
        try:
            record, _ = read_checked(path, "list of pieces", "Delete it; the next call writes it again.")
        except (OSError, ValueError) as error:
            raise ResultError(f"{path} is not a list of pieces ({error}). Delete it.") from error
        return {name: value for name, value in record.items() if name not in ("sha256", "format")}


@dataclass(frozen=True)
class Status:
    """What is known of a folder of pieces: the names by state, and who makes those that are being made."""

    work: str
    begun: str
    finished: tuple[str, ...]
    running: tuple[Lease, ...]
    failed: dict[str, str]
    waiting: tuple[str, ...]

    @property
    def record(self) -> dict[str, Any]:
        """What is known, in JSON's types."""
        running = [{"piece": lease.name, "by": str(lease.writer), "since": lease.since} for lease in self.running]
        return {
            "work": self.work, "begun": self.begun, "finished": len(self.finished), "running": running,
            "failed": self.failed, "waiting": len(self.waiting),
        }  # fmt: skip

    def __str__(self) -> str:
        """One line of counts, and one for each piece that is being made or has failed."""
        total = len(self.finished) + len(self.running) + len(self.failed) + len(self.waiting)
        lines = [
            f"{self.work}, begun {self.begun}: {len(self.finished)} of {total} pieces finished, {len(self.running)} "
            f"running, {len(self.failed)} failed, {len(self.waiting)} waiting"
        ]
        now = time.time()
        lines += [f"  {lease.name}: {lease.writer}, for {now - lease.since:.0f} s" for lease in self.running]
        lines += [f"  {name} failed: {error}" for name, error in self.failed.items()]
        return "\n".join(lines)

    @classmethod
    def of(cls, folder: Path) -> "Status":
        """Raises `ResultError` for a folder in which no pieces were ordered."""
        record = Ledger(folder).read()
        if record is None:
            raise ResultError(
                f"{folder} has no {LEDGER}. Expected the folder that a call with an executor keeps its pieces in "
                "(--resume FOLDER with --on)."
            )
        there = {path.stem for path in folder.glob("*.json")}
        running = tuple(lease for lease in leases(folder) if not lease.is_over)
        busy = {lease.name for lease in running}
        missing = [name for name in record["pieces"] if name not in there]
        return cls(
            record["work"],
            record["begun"],
            tuple(name for name in record["pieces"] if name in there),
            running,
            {name: error for name, error in record["failed"].items() if name not in there},
            tuple(name for name in missing if name not in busy and name not in record["failed"]),
        )
