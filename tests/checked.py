"""Run-time checks of tensors in the numeric rooms: dtype and shape, as annotated, by jaxtyping and beartype.

`--jaxtyping-packages` in pyproject.toml names the rooms, and `typechecked` as what checks their annotations. jaxtyping
wraps every function and dataclass of a room. Nine of ten calls are of functions that name no shape, and the wrapper
would double the time of the tests, so importing this module makes it leave these alone.
"""

from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray

_jaxtyped = jaxtyping.jaxtyped


def typechecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`beartype` for the arguments and results that are arrays of a named shape.

    All other annotations are the type checker's. Public functions check their other arguments themselves, with errors
    that say the mend, and tests of those errors give wrong types on purpose.
    """
    hints = getattr(function, "__annotations__", {})
    for name in [name for name, hint in hints.items() if not _names_shape(hint)]:
        del hints[name]
    return beartype(function) if hints else function


def _where_shapes_are_named(**settings: Any) -> Callable[[Any], Any]:
    """`jaxtyping.jaxtyped` for functions and dataclasses with an array of a named shape; others stay as they are."""
    decorate = _jaxtyped(**settings)
    return lambda item: decorate(item) if any(map(_names_shape, item.__annotations__.values())) else item


def _names_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_names_shape(part) for part in get_args(hint))


jaxtyping.jaxtyped = _where_shapes_are_named
