"""`load_task_file`: the `Task` that a TOML file describes, and `content_of`, by which changed files are noticed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.grammar import case_key
from hc_interp.data.task import Task
from hc_interp.data.task_file.description import Description, TableFile, near, read_description
from hc_interp.data.task_file.pairs import read_pairs
from hc_interp.data.task_file.tables import Table
from hc_interp.errors import DataError


def load_task_file(path: str | Path, seed: int = 0, max_per_case: int | None = None) -> Task:
    """The task that a TOML file describes. Paths in it begin at its folder.

    At most `max_per_case` examples of each case are drawn, by `seed`. Raises `DataError` and `LabelError` naming file,
    key, column and row of what is wrong, before any model is loaded.
    """
    description, used = read_description(path), set()

    def examples(file: TableFile) -> Examples:
        table = Table.read(file, description, used)
        return (table if file.case is None else table.rows_of(file.case)).examples()

    splits = {name: examples(file) for name, file in description.splits.items()}
    cases = _cases(description, used)
    pairs = read_pairs(description, used)
    _check_columns_used(description, used)
    _check_cases(description, cases, pairs)
    if max_per_case is not None:
        cases = {case: part.sample(max_per_case, seed) for case, part in cases.items()}
    return Task(
        description.name,
        cases=cases or None,
        groups=description.groups,
        pairs=pairs or None,
        classes=description.classes,
        stands_for={entry.kind: entry.stands_for for entry in description.pairs if entry.stands_for} or None,
        **splits,
        **_heuristics(description),
    )


def content_of(path: str | Path) -> dict[str, str]:
    """The first 16 hex digits of SHA-256 of a task's file and of each table that it names, by path."""
    description = read_description(path)
    folder = description.path.parent
    files = [description.path, *(file.path for file in description.tables)]
    names = [str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file) for file in files]
    return {name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for name, file in zip(names, files, strict=True)}


def _cases(description: Description, used: set[str]) -> dict[str, Examples]:
    if description.cases is None:
        return {}
    if isinstance(description.cases, TableFile):
        table = Table.read(description.cases, description, used)
        return {case: part.examples() for case, part in table.by_case().items()}
    tables = {case: Table.read(file, description, used) for case, file in description.cases.items()}
    return {
        case: (table if table.file.case is None else table.rows_of(table.file.case)).examples()
        for case, table in tables.items()
    }


def _check_columns_used(description: Description, used: set[str]) -> None:
    """Raise `DataError` for a column of [columns] that no table has."""
    for key, value in description.columns.items():
        columns = [name for names in value.values() for name in names] if key == "units" else [value]
        for name in columns:
            if name not in used:
                raise DataError(
                    f"{description.path}: [columns] says {key} = {name!r}, which no table has; "
                    f"{near(name, _columns_of(description))}"
                )


def _columns_of(description: Description) -> list[str]:
    tables = [Table.read(file, description, set()) for file in description.tables]
    return list(dict.fromkeys(str(name) for table in tables for name in table.frame.columns))


def _check_cases(
    description: Description, cases: Mapping[str, Examples], pairs: Mapping[tuple[str, str], ContrastPairs]
) -> None:
    """Raise `DataError` for a case that pairs or heuristics name and that no row has."""
    mentions = [(f"[heuristics.{name}]", case) for name, part in description.heuristics.items()
                for names in part.values() for case in names]  # fmt: skip
    if cases:  # a task may have pairs alone
        mentions += [("[[pairs]]", case) for case, _ in pairs]
    known = {case_key(case) for case in cases}
    for where, case in mentions:
        if case_key(case) not in known:
            raise DataError(
                f"{description.path}: {where} names the case {case!r}, which no row has; {near(case, cases)}"
            )


def _heuristics(description: Description) -> dict[str, Any]:
    """The fields of `Task` about heuristics."""
    if not description.heuristics:
        return {}
    right = {
        case: key == "right"
        for part in description.heuristics.values()
        for key, cases in part.items()
        for case in cases
    }
    names = {case: name for name, part in description.heuristics.items() for cases in part.values() for case in cases}
    return {"heuristic": right, "heuristic_names": names, "heuristic_label": description.heuristic_label}
