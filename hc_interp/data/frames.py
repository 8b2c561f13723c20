"""Tables of text to `Examples`. Errors name the table, the column and the row."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hc_interp.data.examples import Examples, LabelGroups
from hc_interp.data.label_evidence import check_case_labels, check_label_map
from hc_interp.data.labels import is_name, is_named, numbers_of_names
from hc_interp.errors import DataError

WORD_FIELDS = ("answer", "foil")  # read where a table has both
UNITS = "units"  # from one or several columns
Columns = Mapping[str, str | Sequence[str]]
EXAMPLE_FIELDS = ("first", "second", "label", "id", "source", *WORD_FIELDS)  # each from one column of a table
CASE_COLUMNS = ("subcase", "case")  # the names of columns in which ids of HANS' cases are looked for


def examples_from_frame(
    frame: pd.DataFrame,
    where: str,
    columns: Columns | None = None,
    label_map: Mapping[object, int] | None = None,
    groups: LabelGroups | None = None,
    classes: Sequence[str] | None = None,
) -> Examples:
    """Turn a table into `Examples`; errors call the table `where` (a path or the name of a split).

    `columns` names the column for each field of `Examples` (`first`, `second`, `label`, `id`, `source`, `answer`,
    `foil`); a field that it leaves out is read from the column of the field's name, if there is one (`answer` and
    `foil` only if both are there). Its `units` are one column or a list of columns, each of which is a unit of the
    column's name; a cell holds a level, a list of levels, or nothing. `label_map` maps the table's labels to label
    numbers. Without it, labels are integers, or names that are looked up in `classes`. A column "subcase" or
    "case" with ids of HANS' cases is compared with the labels.
    Raises `DataError` for a missing column, an empty table, a text or label that is missing or of the wrong type.
    Raises `LabelError` for names that are not among `classes`, and for labels that contradict names or cases.
    """
    check_filled(frame, where)
    chosen: dict[str, Any] = dict(columns or {})
    if unknown := set(chosen) - {*EXAMPLE_FIELDS, UNITS}:
        raise DataError(
            f"columns names {sorted(unknown)}, which is not one of {[*EXAMPLE_FIELDS, UNITS]}. Correct the mapping."
        )
    units = chosen.pop(UNITS, None)
    if several := [name for name, column in chosen.items() if isinstance(column, list | tuple)]:
        raise DataError(f"columns names {chosen[several[0]]!r} for {several[0]!r}. Expected the name of one column.")
    own = [name for name in EXAMPLE_FIELDS if name in frame and name not in chosen.values()]
    if not set(WORD_FIELDS) <= {*own, *chosen}:  # a column "answer" alone is something else
        own = [name for name in own if name not in WORD_FIELDS]
    fields = {name: name for name in own} | chosen
    if "first" not in fields and _separator(frame.columns) is not None:
        check_columns(frame.columns, ["first"], where)
    if "first" not in fields:
        raise DataError(f"{where} has no text: pass columns={{'first': ..., 'second': ..., 'label': ...}}.")
    check_columns(frame.columns, fields.values(), where)
    if label_map is not None and "label" not in fields:
        raise DataError(
            f"label_map was given, but {where} has no column 'label'; it has {', '.join(map(repr, frame.columns))}. "
            "Say which one holds the labels, columns={'label': ...}, or leave label_map out."
        )
    for name in ("first", "second"):
        if name in fields:
            check_texts(frame, fields[name], where)
    values: dict[str, Any] = {
        name: tuple(values_of(frame, column, where)) for name, column in fields.items() if name != "label"
    }
    label = None
    if "label" in fields:
        label = check_labels_column(frame, fields["label"], where, label_map, classes=classes, groups=groups)
        for column in [name for name in CASE_COLUMNS if name in frame and classes is not None]:
            check_case_labels(list(map(str, values_of(frame, column, where))), label, classes or (), groups, where)
    levels = None if units is None else _units(frame, [units] if isinstance(units, str) else list(units), where)
    return Examples(**values, label=label, groups=groups, classes=classes, units=levels)


def _units(frame: pd.DataFrame, columns: Sequence[str], where: str) -> dict[str, list[list[str]]]:
    """The levels of each row by the name of the column. An empty cell is no level."""
    check_columns(frame.columns, columns, where)

    def levels(cell: Any) -> list[str]:
        cells = cell if isinstance(cell, list | tuple | np.ndarray) else [cell]
        return [str(level) for level in cells if not pd.isna(level)]

    return {name: [levels(cell) for cell in values_of(frame, name, where)] for name in columns}


def check_columns(columns: Collection[str], required: Collection[str], where: str) -> None:
    """Raise `DataError` naming the required columns that a table lacks."""
    if missing := [column for column in required if column not in columns]:
        lacks = f"{where} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, columns))}."
        if (separator := _separator(columns)) is not None:
            raise DataError(
                f"{lacks} The columns seem to be separated by {separator!r}: pass a frame, pd.read_csv(path, "
                f"sep={separator!r})."
            )
        raise DataError(f"{lacks} Rename the columns of the table, or say which column holds what (columns=).")


def _separator(columns: Collection[str]) -> str | None:
    """What separates the columns of a table that was read as if it had one; None if it does not look so."""
    header = str(next(iter(columns))) if len(columns) == 1 else ""
    return next((separator for separator in (";", "\t", "|") if separator in header), None)


def check_filled(frame: pd.DataFrame, where: str) -> None:
    """Raise `DataError` for a table without rows."""
    if len(frame) == 0:
        raise DataError(f"{where} has no rows; expected at least one example. Check the file or filter it came from.")


def values_of(frame: pd.DataFrame, column: str, where: str) -> list[Any]:
    """A column's values. Raises `DataError` for bytes that are not text, which pandas decodes only here."""
    import pyarrow

    try:
        return frame[column].tolist()
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{where} holds bytes in column {column!r} that are not UTF-8 text ({error}). Write the table again from "
            "its source, as UTF-8."
        ) from error


def check_texts(frame: pd.DataFrame, column: str, where: str) -> None:
    """Raise `DataError` naming the first row whose entry in `column` is not text."""
    for row, value in enumerate(values_of(frame, column, where)):
        if isinstance(value, str):
            continue
        if pd.isna(value):
            raise DataError(
                f"{where} has no text in column {column!r}, row {row}. Fill it, or drop the row: "
                f"frame.dropna(subset=[{column!r}])."
            )
        raise DataError(
            f"{where} holds {value!r} ({type(value).__name__}) in column {column!r}, row {row}; expected text. "
            f"Convert the column: frame[{column!r}].astype(str)."
        )


def check_labels_column(
    frame: pd.DataFrame,
    column: str,
    where: str,
    label_map: Mapping[object, int] | None = None,
    allowed: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    groups: LabelGroups | None = None,
) -> tuple[int, ...]:
    """The labels as integers, after the checks. If `allowed` is given, no other integer may occur.

    Where `classes` are known, a label that is the name of a class becomes the number of the group that holds the class.
    Raises `DataError` naming column and row of a label that is missing, unknown or not an integer; `LabelError` for
    names that are not among `classes` and for a `label_map` that contradicts them.
    """
    values = values_of(frame, column, where)
    if label_map is not None and classes is not None:
        check_label_map(label_map, classes, groups, where)
    if label_map is None and classes is not None and is_named(values):
        numbers = numbers_of_names(values, classes, groups, f"{where}, column {column!r},")
        return tuple(numbers[value] for value in values)
    named = [isinstance(value, str) and is_name(value) for value in values]
    if label_map is None and any(named) and not all(named):
        row = named.index(False)
        raise DataError(
            f"{where} has label {values[row]!r} in column {column!r}, row {row}, where others have names, like "
            f"{values[named.index(True)]!r}. Drop rows without a label (often -1), or pass label_map={{'name': 0}}."
        )
    if label_map is not None:
        for row, value in enumerate(values):
            if value not in label_map:
                raise DataError(
                    f"{where} has label {value!r} in column {column!r}, row {row}, which label_map does not know; it "
                    f"maps {list(label_map)}. Add the label to label_map, or drop the row."
                )
        return tuple(int(label_map[value]) for value in values)
    if not pd.api.types.is_integer_dtype(frame[column].dtype) or any(value is pd.NA for value in values):
        row = next((r for r, v in enumerate(values) if type(v) is not int), 0)
        raise DataError(
            f"{where} has labels of type {frame[column].dtype} in column {column!r} (row {row}: {values[row]!r}); "
            "expected integers without gaps. Pass label_map={'name': 0, ...}, or classes=[...] where labels are their "
            "names, or drop rows without a label and convert the rest."
        )
    for row, value in enumerate(values):
        if allowed is not None and value not in allowed:
            raise DataError(
                f"{where} has label {value} in column {column!r}, row {row}; expected one of {list(allowed)}. "
                "Drop the row, or map the labels to these before the file is written."
            )
    return tuple(values)
