"""`as_frame`: a table in any usual form (pandas, `datasets`, rows, columns, a file) as a pandas frame."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hc_interp.data.label_evidence import class_names, names_in_parquet
from hc_interp.errors import DataError

EXPECTED = (
    "a pandas DataFrame, a datasets.Dataset, a list of dicts (one for each row), a dict of columns, or the path of a "
    "csv, tsv, parquet, json or jsonl file"
)
# Also a `datasets.Dataset`, which is an iterable of rows.
TableLike = pd.DataFrame | Mapping[str, Any] | Iterable[Mapping[str, Any]] | str | Path
READERS = {
    ".csv": pd.read_csv,
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".parquet": pd.read_parquet,
    ".json": pd.read_json,
    ".jsonl": lambda path: pd.read_json(path, lines=True),
}


def as_frame(table: TableLike, where: str, *, named: bool = False) -> pd.DataFrame:
    """The table as a pandas frame; errors call it `where`.

    `named` turns class numbers into class names in columns whose class names the table contains: a `ClassLabel` feature
    of `datasets`, or of a parquet file that `datasets` wrote. Raises `DataError` for anything but a table, and for a
    file that is missing, unreadable or of an unknown suffix.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if isinstance(table, str | Path):
        return _from_file(Path(table), where, named)
    if isinstance(table, Mapping) and any(hasattr(part, "column_names") for part in table.values()):
        raise DataError(
            f"{where} was given as a dict of data sets ({', '.join(map(str, table))}); expected one of them. Choose: "
            f"dataset[{next(iter(table))!r}]."
        )
    try:
        features = getattr(table, "features", None)  # of a datasets.Dataset
        if isinstance(features, Mapping):
            names = {column: class_names(feature) for column, feature in features.items()}
            return _with_names(pd.DataFrame(list(table)), names if named else {})
        if (convert := getattr(table, "to_pandas", None)) is not None:
            return convert()
        if isinstance(table, Mapping):
            return pd.DataFrame(dict(table))
    except ValueError as error:
        raise DataError(f"{where} cannot be read as a table ({error}). Expected {EXPECTED}.") from error
    rows = list(table) if isinstance(table, Iterable) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise DataError(f"{where} was given as {type(table).__name__}: {str(table)[:60]}. Expected {EXPECTED}.")
    return pd.DataFrame(rows)


def _from_file(path: Path, where: str, named: bool) -> pd.DataFrame:
    import pyarrow.parquet

    reader = READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        problem = "is no file" if reader is not None else f"has the suffix {path.suffix!r}"
        raise DataError(f"{where} was given as {path}, which {problem}. Expected {EXPECTED}.")
    try:
        frame = reader(path)
        if named and path.suffix.lower() == ".parquet":
            metadata = pyarrow.parquet.read_schema(path).metadata
            return _with_names(frame, {column: names_in_parquet(metadata, column) for column in frame})
    except (
        OSError,
        ValueError,
        pd.errors.ParserError,
    ) as error:  # the last two cover undecodable text and pyarrow's errors
        raise DataError(
            f"{path}, given as {where}, cannot be read as {path.suffix.removeprefix('.')} "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). It may be truncated, of another format, or not "
            "UTF-8 text: write it again."
        ) from error
    return frame


def _with_names(frame: pd.DataFrame, names: Mapping[Any, tuple[str, ...] | None]) -> pd.DataFrame:
    """Replace class numbers by class names. A number without a name (like -1, no label) stays; it is no valid label."""
    for column, classes in names.items():
        if classes is not None and column in frame:
            by_number = dict(enumerate(classes))
            frame = frame.assign(**{column: [by_number.get(value, value) for value in frame[column]]})
    return frame
