"""Contrast pairs of a task's file: of a table with both sides, or of two tables whose rows are matched by id."""

from collections import Counter
from collections.abc import Mapping

from hc_interp.data.contrast import ContrastPairs, split_of
from hc_interp.data.examples import Examples
from hc_interp.data.task_file.description import SIDE_FIELDS, SIDES, Description, PairsEntry, TableFile
from hc_interp.data.task_file.tables import ROWS, Table
from hc_interp.errors import DataError

SHARED = ("id", "source")  # columns that belong to both sides of a pair
LABELS = {"clean": "gold", "corrupt": "corrupt_label"}


def read_pairs(task: Description, used: set[str]) -> dict[tuple[str, str], ContrastPairs]:
    """The pairs by case and kind. Raises `DataError` for a source on both sides of the select/test split."""
    pairs = {(entry.case, entry.kind): _pairs(entry, task, used) for entry in task.pairs}
    _check_no_leak(task, pairs)
    return pairs


def _pairs(entry: PairsEntry, task: Description, used: set[str]) -> ContrastPairs:
    if entry.both is not None:
        table = Table.read(entry.both, task, used)
        table = table if entry.both.case is None else table.rows_of(entry.both.case)
        clean, corrupt = (_side(table, side) for side in SIDES)
    else:
        assert entry.clean is not None
        assert entry.corrupt is not None
        tables = [_table_by_id(file, task, used) for file in (entry.clean, entry.corrupt)]
        table, other = tables[0], _in_order_of(*tables)
        clean, corrupt = table.examples(), other.examples()
    if clean.label is None and clean.answer is None:
        label = "gold" if entry.both is not None else "label"
        raise DataError(
            f"{table.file.path} says nothing of what is right on the clean sides: it has no column {label!r}. Name the "
            f'column with the labels, like columns = {{ {label} = "..." }}.'
        )
    return ContrastPairs(clean, corrupt, clean.label, kind=entry.kind, splits=_splits(table))


def _side(table: Table, side: str) -> Examples:
    """One side of a table with both."""
    columns: dict[str, str | None] = {
        name: table.column(f"{side}_{name}", needed=name == "first") for name in SIDE_FIELDS
    }
    columns |= {"label": table.column(LABELS[side]), **{name: table.column(name) for name in SHARED}}
    return table.side({name: column for name, column in columns.items() if column is not None})


def _table_by_id(file: TableFile, task: Description, used: set[str]) -> Table:
    """A table of one side, its ids checked. Raises `DataError` for a table without ids, and an id that stands twice."""
    table = Table.read(file, task, used)
    table = table if file.case is None else table.rows_of(file.case)
    column = table.column("id", needed=True)
    assert column is not None
    table.check_filled(column)
    ids = table.texts(column)
    if twice := [name for name, n in Counter(ids).items() if n > 1]:
        raise DataError(
            f"{file.path} has the id {twice[0]!r} in column {column!r} more than once. Rows of both sides are "
            'matched by id: give each row an id of its own, or select the rows of one case, like { file = "...", '
            'case = "..." }.'
        )
    return table


def _in_order_of(clean: Table, corrupt: Table) -> Table:
    """The corrupt table's rows in the order of the clean table's ids. Raises `DataError` for an id of one side only."""
    ids = [table.texts(str(table.column("id"))) for table in (clean, corrupt)]
    for own, others, table, other in ((*ids, clean, corrupt), (*ids[::-1], corrupt, clean)):
        known = set(others)
        if alone := [row for row, name in enumerate(own) if name not in known]:
            raise DataError(
                f"{table.file.where} has the id {own[alone[0]]!r} in row {alone[0]} of {table.file.path} ({ROWS}), and "
                f"{other.file.where} ({other.file.path}) has no such id: {len(alone)} of {len(own)} rows have no "
                "partner. Add the partners, or delete the rows."
            )
    order = {name: row for row, name in enumerate(ids[1])}
    frame = corrupt.frame.iloc[[order[name] for name in ids[0]]].reset_index(drop=True)
    return Table(corrupt.file, frame, corrupt.task, corrupt.used)


def _splits(table: Table) -> tuple[str, ...] | None:
    """Column "split" of a table: "select" or "test" for each pair; None without the column."""
    if (column := table.column("split")) is None:
        return None
    table.check_filled(column)
    values = tuple(table.texts(column))
    for row, value in enumerate(values):
        if value not in ("select", "test"):
            raise DataError(
                f"{table.file.path} has {value!r} in column {column!r}, row {row} ({ROWS}). Expected 'select' (the "
                "pairs that choose heads) or 'test' (those of the verdict); rename the column if it means something "
                "else."
            )
    return values


def _check_no_leak(task: Description, pairs: Mapping[tuple[str, str], ContrastPairs]) -> None:
    """Raise `DataError` for a source that some pairs have in "select" and some in "test"."""
    if all(part.splits is None for part in pairs.values()):
        return  # the hash of a source is the same everywhere
    rows: dict[str, dict[str, str]] = {}  # for each source: its splits, and where each stands first
    for (case, kind), part in pairs.items():
        for row, source in enumerate(part.sources):
            split = part.splits[row] if part.splits else split_of(source)
            rows.setdefault(source, {}).setdefault(split, f"{kind} pairs of {case}, row {row}")
    if leaks := {source: splits for source, splits in rows.items() if len(splits) > 1}:
        first, splits = next(iter(leaks.items()))
        places = " and ".join(f"{split!r} ({row})" for split, row in splits.items())
        raise DataError(
            f"{task.path}: {len(leaks)} sources of pairs are in both splits, the first: "
            f"{first!r} in {places} ({ROWS}). Heads would be tested on sentences that chose them: "
            "put all pairs of a source into one split, in every table. The source of a pair is column 'source', or "
            "else the first text of its clean side; without a column 'split' it is divided by the source."
        )
