"""Every error that hc_interp raises on purpose, and its warning.

A message says three things, in this order: what was given, what was expected, what to do.
"""

import sys
import warnings
from pathlib import Path

_PACKAGE = Path(__file__).parent
# Files of the frames that decorators add: contextlib's, torch's, and those of jaxtyping where its checks are on.
_DECORATORS = ("contextlib.py", "_contextlib.py", "jaxtyping/_decorator.py")


class HCError(Exception):
    """Base of all errors that a user can mend. The command line turns it into one paragraph and exit code 2.

    A traceback ends with the command that explains the error; `str(error)` is the message alone.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.add_note(self.more)

    @property
    def more(self) -> str:
        """Where more is said of this kind of error: of the class of this file that it belongs to."""
        name = next(kind.__name__ for kind in type(self).__mro__ if kind.__module__ == __name__)
        return f"More: hc-interp explain {name}"


class ModelError(HCError):
    """A checkpoint, module or tokenizer that cannot be wrapped, or that is not what it claims to be."""


class LabelError(HCError):
    """The order or the names of a classifier's labels cannot be read, or data uses a label outside them."""


class DataError(HCError):
    """A data file, frame, batch or split that lacks what it needs."""


class AlignmentError(DataError):
    """A contrast pair whose two sides do not have the same layout. The message names the pair and the position."""


class ComponentError(HCError):
    """A component or site that cannot be parsed or that the model does not have."""


class InterventionError(HCError):
    """A list of interventions that has no meaning together, or on this model and batch."""


class SearchError(HCError):
    """A mask search that cannot be run as asked, or whose loss is not finite."""


class TrainingError(HCError):
    """A fine-tuning that cannot be run as asked, a folder of another one, or a loss that is not finite."""


class ResultError(HCError):
    """A result file that is missing, truncated, of another kind or of another version."""


class ChecksumError(ResultError):
    """A result file that was changed after it was written, or that a newer hc_interp wrote."""


class HCWarning(UserWarning):
    """Something that is allowed but probably not meant."""


def warn(message: str) -> None:
    """Issue an `HCWarning` that names the line of the caller outside the package."""
    depth, frame = 1, sys._getframe(0)
    while frame.f_back is not None and _is_inside(frame.f_code.co_filename):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, HCWarning, stacklevel=depth)


def _is_inside(filename: str) -> bool:
    path = Path(filename)
    return _PACKAGE in path.parents or any(path.match(name) for name in _DECORATORS)


def in_one_line(error: BaseException, limit: int = 300) -> str:
    """The type and message of another package's error, short enough for a message of this package."""
    text = " ".join(str(error).split())
    short = text if len(text) <= limit else f"{text[:limit]}..."
    return f"{type(error).__name__}: {short}" if short else type(error).__name__
