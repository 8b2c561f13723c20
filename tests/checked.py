"""Run-time checks of tensors in the numeric rooms: dtype and shape, as annotated, by jaxtyping and beartype.

`--jaxtyping-packages` in pyproject.toml names the rooms, and `typechecked` as what checks their annotations. jaxtyping
wraps every function and dataclass of a room. Nine of ten calls are of functions that name no shape, and a few kernels
are called ten thousands of times, so that wrappers would double the time of the tests. Importing this module makes
jaxtyping leave functions without shapes alone. In each test it checks the first `ALWAYS` calls of each function, and
after these the calls with shapes or types that the function was not yet given in this test, `LIMIT` calls in all.
"""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

import jaxtyping
import numpy as np
import torch
from beartype import beartype
from jaxtyping import AbstractArray

ALWAYS, LIMIT = 5, 100

_jaxtyped = jaxtyping.jaxtyped
_checked: Counter[Callable[..., Any]] = Counter()
_forms: set[Any] = set()


def typechecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`beartype` for the arguments and results that are arrays of a named shape.

    All other annotations are the type checker's. Public functions check their other arguments themselves, with errors
    that say the mend, and tests of those errors give wrong types on purpose.
    """
    hints = getattr(function, "__annotations__", {})
    for name in [name for name, hint in hints.items() if not _names_shape(hint)]:
        del hints[name]
    return beartype(function) if hints else function


def begin_test() -> None:
    """From here on, the first calls of each function are checked again."""
    _checked.clear()
    _forms.clear()


def _where_shapes_are_named(**settings: Any) -> Callable[[Any], Any]:
    """`jaxtyping.jaxtyped` for functions and dataclasses with an array of a named shape; others stay as they are."""
    decorate = _jaxtyped(**settings)

    def apply(item: Any) -> Any:
        if not any(map(_names_shape, item.__annotations__.values())):
            return item
        return decorate(item) if isinstance(item, type) else _in_first_calls(decorate(item), item)

    return apply


def _in_first_calls(checking: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(plain)
    def either(*args: Any, **kwargs: Any) -> Any:
        if _checked[plain] >= LIMIT:
            return plain(*args, **kwargs)
        form = (plain, *map(_form, args), *((name, _form(value)) for name, value in kwargs.items()))
        if _checked[plain] >= ALWAYS and form in _forms:
            return plain(*args, **kwargs)
        _checked[plain] += 1
        _forms.add(form)
        return checking(*args, **kwargs)

    return either


def _form(value: Any) -> Any:
    """The type of an argument; of an array also its shape and the type of its numbers."""
    return (value.shape, value.dtype) if isinstance(value, torch.Tensor | np.ndarray) else type(value)


def _names_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_names_shape(part) for part in get_args(hint))


jaxtyping.jaxtyped = _where_shapes_are_named
