"""`Table`: a file of texts as a frame, with the columns that the task's file names for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from hc_interp.data.as_frame import as_frame
from hc_interp.data.examples import Examples
from hc_interp.data.frames import CASE_COLUMNS, examples_from_frame
from hc_interp.data.labels import group_numbers
from hc_interp.data.task_file.description import Description, TableFile, near
from hc_interp.data.units import Levels
from hc_interp.errors import DataError, LabelError

TEXT_SEPARATORS = {",": ",", ";": ";", "\t": "\\t", "|": "|"}
EXAMPLE_FIELDS = ("first", "second", "label", "id", "source", "answer", "foil")
TOLD = ("first", "second", "label")  # where [columns] names them, every table of examples must have them
ROWS = "rows count from 0"


@dataclass(frozen=True)
class Table:
    """A table that a task's file names, with its rows.

    `column(key)` is the name of the column that holds `key`. Columns that were used are collected in `used`.
    """

    file: TableFile
    frame: pd.DataFrame
    task: Description
    used: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, file: TableFile, task: Description, used: set[str]) -> "Table":
        """Read the file. Raises `DataError` naming file and mend where it cannot be read or has no rows."""
        path = file.path
        if path.suffix.lower() in (".csv", ".tsv"):
            frame = _text_table(file)
        else:
            frame = as_frame(path, file.where, named=task.classes is not None)
        if len(frame) == 0:
            raise DataError(f"{path} has no rows below its header. Expected at least one.")
        return cls(file, frame, task, used)

    def column(self, key: str, *, needed: bool = False) -> str | None:
        """The name of the column that holds `key`; None where the table has none.

        Raises `DataError` for a column that was named for this table and is not in it, and for one that is `needed`.
        """
        named = self.file.columns.get(key)
        name = named or self.task.columns.get(key, key)
        if name in self.frame:
            self.used.add(name)
            return name
        if needed or named is not None:
            raise self.lacks(name, key)
        return None

    def lacks(self, name: str, key: str) -> DataError:
        columns = list(map(str, self.frame.columns))
        if hint := _separator_hint(self.file, columns):
            return DataError(f"{self.file.path} has no column {name!r} ({key}): {hint}")
        return DataError(
            f"{self.file.path} has no column {name!r} ({key}); {near(name, columns)} Say in [columns] which column "
            f'holds what, like {key} = "{columns[0]}".'
        )

    def rows_of(self, case: str) -> "Table":
        """The rows of one case. Raises `DataError` for a case that no row has."""
        by_case = self.by_case()
        if case not in by_case:
            raise DataError(f"{self.file.path} has no row of case {case!r}; {near(case, by_case)}")
        return by_case[case]

    def by_case(self) -> "dict[str, Table]":
        """The rows of each case, in order of appearance. Raises `DataError` for a row without a case."""
        column = self.column("case", needed=True)
        assert column is not None
        self.check_filled(column)
        names = self.texts(column)
        return {
            case: replace(self, frame=self.frame.loc[[name == case for name in names]].reset_index(drop=True))
            for case in dict.fromkeys(names)
        }

    def texts(self, column: str) -> list[str]:
        """A column's entries as text."""
        return [str(value) for value in self.frame[column].tolist()]

    def check_filled(self, *columns: str) -> None:
        """Raise `DataError` naming the first row without an entry in one of the columns."""
        for column in columns:
            for row, value in enumerate(self.frame[column].tolist()):
                if value is None or (isinstance(value, float) and value != value) or value is pd.NA:
                    raise DataError(
                        f"{self.file.path} has nothing in column {column!r}, row {row} ({ROWS}). Fill it, or delete "
                        "the row."
                    )

    def examples(self) -> Examples:
        """The rows as `Examples`, after all checks."""
        columns = {key: self.column(key, needed=self._is_told(key)) for key in EXAMPLE_FIELDS}
        return self.side({key: column for key, column in columns.items() if column is not None}, CASE_COLUMNS)

    def _is_told(self, key: str) -> bool:
        return key == "first" or (key in TOLD and key in self.task.columns)

    def side(self, columns: Mapping[str, str], more: Sequence[str] = ()) -> Examples:
        """`Examples` whose fields are these columns. Columns of `more` are compared with the labels.

        Raises `DataError` naming file, column and row of an entry that is missing, `LabelError` for a label that is
        not among the classes.
        """
        self.check_filled(*columns.values())
        frame = self.frame
        if "label" in columns:
            frame = frame.assign(**{columns["label"]: self._labels(columns["label"])})
        kept = dict.fromkeys([*columns.values(), *(name for name in more if name in frame)])
        examples = examples_from_frame(
            frame.loc[:, list(kept)], str(self.file.path), columns, None, self.task.groups, self.task.classes
        )
        return replace(examples, units=self.units())

    def _labels(self, column: str) -> list[Any]:
        """The labels, numbers as whole numbers. Raises `LabelError` naming the row of one that is unknown."""
        values, classes, groups = self.frame[column].tolist(), self.task.classes, self.task.groups
        texts = [str(value).strip() for value in values]
        if set(texts) <= set(classes or ()):
            number_of = {c: number for number, group in enumerate(groups or ()) for c in group}
            by_name = {name: number_of.get(c, c) for c, name in enumerate(classes or ())}
            return [by_name[text] for text in texts]
        if all(text.removeprefix("-").isdecimal() for text in texts):
            numbers = [int(text) for text in texts]
            n = len(groups or classes or ())
            for row, number in enumerate(numbers):
                if number < 0 or (n and number >= n):
                    last = f"0 to {n - 1}" if n else "0 or more"
                    raise LabelError(
                        f"{self.file.path} has label {number} in column {column!r}, row {row} ({ROWS}). Expected {last}"
                        ", or names of classes."
                    )
            return numbers
        if classes is None:
            raise LabelError(
                f"{self.file.path} has label {values[0]!r} in column {column!r}, row 0. Name the classes in "
                f"{self.task.path.name}, in the order of their numbers, like classes = {sorted(set(texts))}."
            )
        known = {text: group_numbers([text], classes, groups) is not None for text in dict.fromkeys(texts)}
        if row := next((row + 1 for row, text in enumerate(texts) if not known[text]), None):
            text = texts[row - 1]
            raise LabelError(
                f"{self.file.path} has label {text!r} in column {column!r}, row {row - 1} ({ROWS}), which is no name "
                f"of a class; {near(text, classes)} Mend the row, or classes in {self.task.path.name}."
            )
        return texts

    def units(self) -> dict[str, Levels] | None:
        """What rows share by unit; None where the table has none of the columns. An empty entry is no level."""
        own: Mapping[str, tuple[str, ...]] = self.file.columns.get("units", {})
        shared: Mapping[str, tuple[str, ...]] = self.task.columns.get("units", {})
        found = {}
        for unit, columns in {**shared, **own}.items():
            present = [column for column in columns if column in self.frame]
            if unit in own and len(present) < len(columns):
                raise self.lacks(next(column for column in columns if column not in self.frame), "units")
            self.used.update(present)
            if present:
                rows = zip(*(self.frame[column] for column in present), strict=True)
                found[unit] = tuple(tuple(dict.fromkeys(str(v) for v in row if not pd.isna(v))) for row in rows)
        return found or None


def _text_table(file: TableFile) -> pd.DataFrame:
    """A csv or tsv file whose entries are all text; an empty entry is missing, and words like "NA" are words."""
    separator = file.separator or ("\t" if file.path.suffix.lower() == ".tsv" else ",")
    try:
        frame = pd.read_csv(
            file.path, sep=separator, dtype=str, keep_default_na=False, na_values=[""], encoding=file.encoding
        )
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(
            f'{file.path} is not {file.encoding} text ({error}). Say its encoding, like encoding = "latin-1", or write '
            "it again as UTF-8."
        ) from error
    except (ValueError, pd.errors.ParserError) as error:
        hint = _separator_hint(file, [])
        message = str(error).splitlines()[0]
        raise DataError(f"{file.path} cannot be read as a table ({message}). {hint or 'Mend this line.'}") from error
    if not isinstance(frame.index, pd.RangeIndex):
        hint = _separator_hint(file, [])
        raise DataError(
            f"{file.path} has rows with more entries than its header has columns. "
            f"{hint or 'Put texts that hold the separator into quotes.'}"
        )
    return frame


def _separator_hint(file: TableFile, columns: Sequence[str]) -> str:
    """Which separator the header seems to have, where it is another than the one that was used; else ""."""
    if file.path.suffix.lower() not in (".csv", ".tsv") or len(columns) > 1:
        return ""
    used = file.separator or ("\t" if file.path.suffix.lower() == ".tsv" else ",")
    with file.path.open(encoding=file.encoding) as lines:
        header = lines.readline().rstrip("\n")
    best = max(TEXT_SEPARATORS, key=header.count)
    if header.count(best) == 0 or best == used:
        return ""
    return (
        f"its header {header!r} seems to be separated by {TEXT_SEPARATORS[best]!r}, and {used!r} was expected. Write "
        f'separator = "{TEXT_SEPARATORS[best]}".'
    )
