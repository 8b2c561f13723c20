"""What values of the user's own are: two classes, or numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.errors import DataError

CLASSES = {"integer": "integers", "boolean": "booleans", "string": "text", "categorical": "categories"}
NUMBERS = ("floating", "mixed-integer-float", "decimal", "empty")
PAIRS = ({0, 1}, {-1, 1})  # the numbers that floats are classes of, too
SHOWN = 4


class Target(NamedTuple):
    """Values to predict, NaN where there is none: numbers (no `names`), or 0 and 1 for the two classes named."""

    value: Float[np.ndarray, " place"]
    names: tuple[str, ...] = ()


def target_of(values: Sequence[Any], categories: Sequence[Any] | None = None) -> Target:
    """Integers, booleans, text and pandas' categories are classes; floats are numbers, unless all are 0/1 or -1/+1.

    The class of the higher value (text: the later in the alphabet; `categories`: the later of them) is 1. None, NaN and
    pandas' NA are no value. Raises `DataError` for more than two classes, for a single one other than 0 or 1, and for
    values that are none of these.
    """
    column = np.empty(len(values), dtype=object)
    column[:] = values
    defined = ~pd.isna(column)
    given = column[defined]
    kind = "categorical" if categories is not None else pd.api.types.infer_dtype(given, skipna=False)
    if kind not in CLASSES and kind not in NUMBERS:
        raise DataError(
            f"A feature was given whose values cannot be read as numbers or classes: they are {kind} (such as "
            f"{given[0]!r}). Pass integers, booleans or text for two classes, floats for numbers, None where there is "
            "no value."
        )
    found = np.full(len(column), np.nan)
    if kind in NUMBERS:
        found[defined] = given.astype(float)
        if not any(np.isin(found[defined], list(pair)).all() for pair in PAIRS):
            return Target(found)
    classes = sorted(set(given)) if categories is None else [item for item in categories if item in set(given)]
    if set(classes) <= {0, 1}:
        classes = [False, True] if kind == "boolean" else [0, 1]
    _check(classes, CLASSES.get(kind, "numbers"), len(given))
    found[defined] = given == classes[1]
    return Target(found, (_name(classes[0]), _name(classes[1])))


def _check(classes: Sequence[Any], what: str, n: int) -> None:
    if len(classes) == 1:
        raise DataError(
            f"The feature is {classes[0]!r} at all {n} places, so there is nothing to tell apart. Expected two "
            "classes; use examples that vary in it."
        )
    if len(classes) > 2:
        shown = ", ".join(map(repr, classes[:SHOWN])) + ", ..." * (len(classes) > SHOWN)
        floats = "" if what == "text" else ", or floats to predict the numbers by regression"
        raise DataError(
            f"A feature was given as {what} of {len(classes)} values ({shown}), which are classes; a probe tells two "
            f"apart. Pass one class against the rest, [value == {classes[0]!r} for value in values], once for each "
            f"class{floats}."
        )


def _name(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
