"""`Store`: a folder with a file for each finished piece of a computation, so that the computation can be resumed."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from hc_interp.errors import ChecksumError, HCError, ResultError
from hc_interp.files import try_folder
from hc_interp.records.result import UNREADABLE, Result, read_file, write_result

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Store:
    """A folder with a file for each finished piece. A file appears whole or not: an interruption loses one piece.

    `settings` is the digest of everything that shaped the computation. Each file records it, so that a piece of another
    computation is refused. Subclasses define the words by which errors name the computation and its pieces.
    """

    folder: Path
    settings: str

    work: ClassVar[str]  # what errors call the computation: "search"
    shaped_by: ClassVar[str]  # the arguments that `settings` covers: "model, data, means or settings"
    piece: ClassVar[str]  # what errors call a piece: "run"; its file is run-*.json
    kind: ClassVar[type[Result]]
    argument: ClassVar[str] = "resume"  # the argument by which the user gives the folder

    def check(self) -> None:
        """Refuse an unsuitable folder before the computation begins. Nothing is left on disk.

        Raises `HCError` if pieces cannot be written, `ResultError` if the folder holds a piece of another computation.
        """
        check_writable(self.folder, self.piece, self.argument)
        for path in sorted(self.folder.glob(f"{self.piece}-*.json"))[:1]:
            self._read(path, self.kind)

    def get(self, name: str, kind: type[R]) -> R | None:
        """The piece of this name, or None if there is no such file.

        Raises `ResultError` for a piece of another computation and for a file that holds no `kind`.
        """
        path = self.path(name)
        return self._read(path, kind) if path.exists() else None

    def put(self, name: str, piece: Result) -> None:
        write_result(self.path(name), piece, settings=self.settings)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _read(self, path: Path, kind: type[R]) -> R:
        what = f"saved {kind.__name__} and cannot be read as a finished {self.piece}"
        mend = f"Delete this file, and the {self.piece} is made again."
        try:
            piece, record = read_file(path, what, mend)
            if not isinstance(piece, kind):
                raise ValueError(f"it holds a {type(piece).__name__}")
        except ChecksumError:
            raise
        except UNREADABLE as error:
            raise ResultError(f"{path} is not a {what} ({type(error).__name__}: {error}). {mend}") from error
        if record.get("settings") != self.settings:
            raise self.foreign(path)
        return piece

    def foreign(self, path: Path) -> ResultError:
        """The error for a piece of another computation."""
        return ResultError(
            f"{path} was written by a {self.work} of another {self.shaped_by}; expected {self.settings}. Give "
            f"{self.argument}= a folder of its own for each {self.work}, or delete this one to start again."
        )


def check_writable(folder: Path, piece: str, argument: str) -> None:
    """Raise `HCError` if pieces cannot be written to a folder, before there are any. Nothing is left on disk."""
    try:
        try_folder(folder)
    except OSError as error:
        raise HCError(
            f"{folder} cannot keep finished {piece}s ({error.strerror or error}). Give {argument}= a folder that you "
            "may write to."
        ) from error
