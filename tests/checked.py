"""Run-time checks of tensors in the numeric rooms: dtype and shape, as annotated, by jaxtyping and beartype.

`--jaxtyping-packages` in pyproject.toml names the rooms.
"""

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def typechecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`beartype` for the arguments and results that are arrays of a named shape.

    The type checker covers all other annotations. Public functions check their other arguments themselves, with errors
    that say what to do, and the tests of these errors pass wrong types on purpose.
    """
    hints = getattr(function, "__annotations__", {})
    for name in [name for name, hint in hints.items() if not _names_shape(hint)]:
        del hints[name]
    return beartype(function) if hints else function


def _names_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_names_shape(part) for part in get_args(hint))
