"""`read_table`: a table of a public data set, from a directory of parquet files or from the Hugging Face hub."""

from pathlib import Path

import numpy as np
import pandas as pd

from hc_interp.data.frames import check_columns, check_filled, check_labels_column, check_texts
from hc_interp.data.label_evidence import class_names, names_in_parquet
from hc_interp.data.labels import group_numbers, is_named, numbers_of_names
from hc_interp.data.tables import Table
from hc_interp.errors import DataError


def read_table(table: Table, data_dir: str | Path, seed: int = 0) -> pd.DataFrame:
    """Read a table's columns from `data_dir`, or with `datasets` if `data_dir` is "hub", and check every row.

    `seed` draws the rows where the hub's table has more than are read. Labels index `table.classes`: text labels, and
    numbers whose names the file or the hub gives, are mapped by name; numbers without names are used unchanged.
    Raises `DataError` naming the path, column and row of what is missing, unreadable, empty or of the wrong type, and
    `LabelError` for unknown names of labels.
    """
    frame, names, where = _from_hub(table, seed) if str(data_dir) == "hub" else _from_directory(table, Path(data_dir))
    check_filled(frame, where)
    for column in (*table.texts, *table.tags):
        check_texts(frame, column, where)
    allowed = table.labels if names is None else range(len(names))
    labels = check_labels_column(frame, "label", where, allowed=allowed, classes=table.classes)
    if names is not None and not is_named(frame["label"]):
        used = [names[label] for label in labels]  # a name without rows, like "hidden", may be unknown
        numbers = group_numbers(names, table.classes, None) or numbers_of_names(used, table.classes, None, where)
        labels = [numbers[names[label]] for label in labels]
    return frame.assign(label=np.array(labels))


def _from_directory(table: Table, directory: Path) -> tuple[pd.DataFrame, tuple[str, ...] | None, str]:
    import pyarrow.parquet

    if not directory.is_dir():
        raise DataError(
            f"The data directory {directory} does not exist or is a file; expected a directory that holds "
            f"{table.file}.parquet. Pass its path as data_dir=, or data_dir='hub' to download the data."
        )
    path = directory / f"{table.file}.parquet"
    if not path.is_file():
        raise DataError(
            f"{path} is missing; expected a parquet file with columns {', '.join(table.columns)}. Put it there, or "
            "pass data_dir='hub' to download the data."
        )
    try:
        schema = pyarrow.parquet.read_schema(path)
        check_columns(schema.names, table.columns, str(path))
        frame = pd.read_parquet(path, columns=table.columns)
        return frame, names_in_parquet(schema.metadata, "label"), str(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are subclasses of these
        raise DataError(
            f"{path} cannot be read as parquet ({str(error).splitlines()[0]}). It may be truncated or of another "
            "format: copy it again, or write it with DataFrame.to_parquet."
        ) from error


def _from_hub(table: Table, seed: int) -> tuple[pd.DataFrame, tuple[str, ...] | None, str]:
    import datasets

    hub = table.hub
    where = f"hub:{hub.path}{f'/{hub.name}' if hub.name else ''} ({hub.split})"
    try:
        loaded = datasets.load_dataset(hub.path, hub.name, split=hub.split, revision=hub.revision)
    except (
        Exception
    ) as error:  # network, cache, hub and format errors come from several libraries without a common base
        raise DataError(
            f"{where} could not be loaded ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}). Check the connection and HF_HUB_OFFLINE, or pass "
            "data_dir= with local parquet files."
        ) from error
    check_columns(loaded.column_names, table.columns, where)
    if hub.limit is not None and len(loaded) > hub.limit:
        loaded = loaded.select(np.sort(np.random.default_rng(seed).choice(len(loaded), hub.limit, replace=False)))
    frame = pd.DataFrame(loaded.select_columns(table.columns).to_dict())
    return frame, class_names(loaded.features["label"]), where
