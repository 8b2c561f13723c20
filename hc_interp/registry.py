"""`check_name`: in each registry (screens, kinds of evidence, figures) a name belongs to one function."""

from collections.abc import Callable
from typing import Any

from hc_interp.errors import HCError


def check_name(kind: str, name: str, function: Callable[..., Any], before: Callable[..., Any] | None) -> None:
    """Raise `HCError` if another function than `function` has the name; `before` is the one that has it, or None.

    A function that is defined again, as when a notebook's cell runs twice, has the same module and name. It may
    replace itself.
    """
    if before is not None and (before.__module__, before.__qualname__) != (function.__module__, function.__qualname__):
        raise HCError(
            f"The {kind} {name!r} was registered by {function.__module__}.{function.__qualname__}, but "
            f"{before.__module__}.{before.__qualname__} has that name. Choose another name."
        )
