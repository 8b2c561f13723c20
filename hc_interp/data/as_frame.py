"""What users have as a table, to a pandas frame: frames, `datasets.Dataset`, rows, columns, files."""

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
READERS = {
    ".csv": pd.read_csv,
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".parquet": pd.read_parquet,
    ".json": pd.read_json,
    ".jsonl": lambda path: pd.read_json(path, lines=True),
}


def as_frame(given: Any, where: str, *, named: bool = False) -> pd.DataFrame:
    """The table as a frame; `where` is what errors call it.

    With `named`, a column of numbers whose names the table itself knows (a `ClassLabel` feature of `datasets`, also in
    a parquet file that `datasets` wrote) holds these names. Raises `DataError` for what is no table and for a file that
    is missing, of an unknown kind or unreadable.
    """
    if isinstance(given, pd.DataFrame):
        return given
    if isinstance(given, str | Path):
        return _from_file(Path(given), where, named)
    if isinstance(given, Mapping) and any(hasattr(part, "column_names") for part in given.values()):
        raise DataError(
            f"{where} was given as a dict of data sets ({', '.join(map(str, given))}); expected one of them. Choose: "
            f"dataset[{next(iter(given))!r}]."
        )
    try:
        features = getattr(given, "features", None)  # a data set of datasets, where a row is a dict
        if isinstance(features, Mapping):
            names = {column: class_names(feature) for column, feature in features.items()}
            return _with_names(pd.DataFrame(list(given)), names if named else {})
        if (convert := getattr(given, "to_pandas", None)) is not None:
            return convert()
        if isinstance(given, Mapping):
            return pd.DataFrame(dict(given))
    except ValueError as error:
        raise DataError(f"{where} cannot be read as a table ({error}). Expected {EXPECTED}.") from error
    rows = list(given) if isinstance(given, Iterable) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise DataError(f"{where} was given as {type(given).__name__}: {str(given)[:60]}. Expected {EXPECTED}.")
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
    except (OSError, ValueError, pd.errors.ParserError) as error:  # broken text and pyarrow's own errors are these too
        raise DataError(
            f"{path}, given as {where}, cannot be read as {path.suffix.removeprefix('.')} "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). It may be truncated, of another format, or not "
            "UTF-8 text: write it again."
        ) from error
    return frame


def _with_names(frame: pd.DataFrame, names: Mapping[Any, tuple[str, ...] | None]) -> pd.DataFrame:
    """Numbers of classes as their names; a number without one (like -1, no label) stays, and is refused as a label."""
    for column, known in names.items():
        if known is not None and column in frame:
            by_number = dict(enumerate(known))
            frame = frame.assign(**{column: [by_number.get(value, value) for value in frame[column]]})
    return frame
