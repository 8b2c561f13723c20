"""`target_of`: whether the values of a user's feature are two classes or numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.errors import DataError

# Names that pandas gives to types of values: those of classes, with their plural, and those of numbers.
CLASS_TYPES = {"integer": "integers", "boolean": "booleans", "string": "text", "categorical": "categories"}
NUMBER_TYPES = ("floating", "mixed-integer-float", "decimal", "empty")
CLASS_PAIRS = ({0, 1}, {-1, 1})  # floats of these two values are classes
MOST_SHOWN = 4  # values that an error names


class Target(NamedTuple):
    """The value to predict at each place, NaN for no value: a number, or 0 and 1 for the two classes of `names`."""

    value: Float[np.ndarray, " place"]
    names: tuple[str, ...] = ()


def target_of(values: Sequence[Any], categories: Sequence[Any] | None = None) -> Target:
    """Read values as classes or numbers.

    Integers, booleans, text and pandas' categories are classes. Floats are numbers, unless all of them are 0 or 1, or
    all are -1 or +1. Class 1 is the higher value (of text the later in the alphabet, of `categories` the later of
    them). None, NaN and pandas' NA are no value. Raises `DataError` for more than two classes, for a single class other
    than 0 or 1, and for values of other types.
    """
    column = np.empty(len(values), dtype=object)
    column[:] = values
    defined = ~pd.isna(column)
    present = column[defined]
    kind = "categorical" if categories is not None else pd.api.types.infer_dtype(present, skipna=False)
    if kind not in CLASS_TYPES and kind not in NUMBER_TYPES:
        raise DataError(
            f"A feature was given whose values cannot be read as numbers or classes: they are {kind} (such "
            f"as {present[0]!r}). Pass integers, booleans or text for two classes, floats for numbers, None where "
            "there is no value."
        )
    value = np.full(len(column), np.nan)
    if kind in NUMBER_TYPES:
        value[defined] = present.astype(float)
        if not any(np.isin(value[defined], list(pair)).all() for pair in CLASS_PAIRS):
            return Target(value)
    classes = sorted(set(present)) if categories is None else [item for item in categories if item in set(present)]
    if set(classes) <= {0, 1}:
        classes = [False, True] if kind == "boolean" else [0, 1]
    _check(classes, CLASS_TYPES.get(kind, "numbers"), len(present))
    value[defined] = present == classes[1]
    return Target(value, (_name(classes[0]), _name(classes[1])))


def _check(classes: Sequence[Any], what: str, n: int) -> None:
    if len(classes) == 1:
        raise DataError(
            f"The feature is {classes[0]!r} at all {n} places, so there is nothing to tell apart. Expected two "
            "classes; use examples that vary in it."
        )
    if len(classes) > 2:
        shown = ", ".join(map(repr, classes[:MOST_SHOWN])) + ", ..." * (len(classes) > MOST_SHOWN)
        floats = "" if what == "text" else ", or floats to predict the numbers by regression"
        raise DataError(
            f"A feature was given as {what} of {len(classes)} values ({shown}), which are classes; a probe tells two "
            f"apart. Pass one class against the rest, [value == {classes[0]!r} for value in values], once for each "
            f"class{floats}."
        )


def _name(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
