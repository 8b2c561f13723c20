"""`read_description`: what a task's TOML file says. Keys, types and paths are checked before any table is read."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hc_interp.data.task import ROLES
from hc_interp.errors import DataError

SPLITS = ("train", "validation", "overlap")
KEYS = ("name", *SPLITS, "cases", "pairs", "columns", "separator", "encoding", "classes", "groups", "heuristics",
        "heuristic_label")  # fmt: skip
FILE_KEYS = ("file", "columns", "separator", "encoding", "case")
PAIR_KEYS = ("case", "kind", "stands_for", "file", "clean", "corrupt", "columns", "separator", "encoding")
SIDES = ("clean", "corrupt")
SIDE_FIELDS = ("first", "second", "answer", "foil")
SIDE_COLUMNS = (*(f"{side}_{name}" for side in SIDES for name in SIDE_FIELDS), "gold", "corrupt_label")
COLUMNS = ("first", "second", "label", "id", "source", "answer", "foil", "case", "split", "units", *SIDE_COLUMNS)
SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")
EXAMPLE = 'train = "train.csv"'


@dataclass(frozen=True)
class TableFile:
    """A table that a task's file names.

    `columns` are those that hold for this table alone. `case` selects the rows of one case.
    """

    where: str
    path: Path
    columns: Mapping[str, Any] = field(default_factory=dict)
    separator: str | None = None
    encoding: str = "utf-8"
    case: str | None = None


@dataclass(frozen=True)
class PairsEntry:
    """One `[[pairs]]` of a task's file: a single table `both`, or a table for each side, matched by id.

    `stands_for` is what a kind of one's own shows, "order" or "overlap" (`Task.stands_for`).
    """

    case: str
    kind: str
    stands_for: str | None
    both: TableFile | None
    clean: TableFile | None
    corrupt: TableFile | None


@dataclass(frozen=True)
class Description:
    """What a task's file says: tables by split and case, columns, classes, heuristics."""

    path: Path
    name: str
    splits: Mapping[str, TableFile]
    cases: TableFile | Mapping[str, TableFile] | None
    pairs: tuple[PairsEntry, ...]
    columns: Mapping[str, Any]
    classes: tuple[str, ...] | None
    groups: tuple[tuple[int, ...], ...] | None
    heuristics: Mapping[str, Mapping[str, tuple[str, ...]]]
    heuristic_label: str | int | None

    @property
    def tables(self) -> list[TableFile]:
        """Every table that the file names."""
        cases = [] if self.cases is None else [self.cases] if isinstance(self.cases, TableFile) else self.cases.values()
        sides = [part for entry in self.pairs for part in (entry.both, entry.clean, entry.corrupt) if part is not None]
        return [*self.splits.values(), *cases, *sides]


def near(name: Any, known: Iterable[str]) -> str:
    """What an error says of a name that is not known: those that are spelled nearly so, or all."""
    names = list(known)
    matches = difflib.get_close_matches(str(name), names, n=2, cutoff=0.6)
    if matches:
        return f"did you mean {' or '.join(map(repr, matches))}?"
    return f"expected {'one of ' if len(names) > 1 else ''}{', '.join(map(repr, names)) or 'none'}."


def read_description(path: str | Path) -> Description:
    """What the TOML file of a task says. Raises `DataError` naming the file, the key and the mend."""
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"The task {str(path)!r} is no file. Expected a TOML file that names the tables of a task of your own, "
            f"like {EXAMPLE}, or the name of a task of the package."
        )
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not TOML ({error}). Expected lines like: {EXAMPLE}.") from error
    return _Parser(path, record).description()


class _Parser:
    """Turns the record of a TOML file into a `Description`."""

    def __init__(self, path: Path, record: Mapping[str, Any]) -> None:
        self.path = path
        self.record = self.checked(record, KEYS, "")

    def error(self, message: str) -> DataError:
        return DataError(f"{self.path}: {message}")

    def checked(self, record: Any, known: tuple[str, ...], where: str) -> dict[str, Any]:
        """The table with "-" in keys read as "_". Raises `DataError` for anything but a table, and for other keys."""
        if not isinstance(record, Mapping):
            raise self.error(f"{where} is {record!r}. Expected a table with some of {', '.join(known)}.")
        values = {key.replace("-", "_"): value for key, value in record.items()}
        for key in values:
            if key not in known:
                raise self.error(f"{key!r} is no key{' of ' + where if where else ''}; {near(key, known)}")
        return values

    def text(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.error(f"{where} is {value!r}. Expected text.")
        return value

    def texts(self, value: Any, where: str) -> tuple[str, ...]:
        """A list of texts; one text counts as a list of one."""
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not items or not all(isinstance(item, str) and item for item in items):
            raise self.error(f'{where} is {value!r}. Expected a list of texts, like ["a", "b"].')
        if len(set(items)) != len(items):
            raise self.error(f"{where} names {next(i for i in items if items.count(i) > 1)!r} twice. Name it once.")
        return tuple(items)

    def description(self) -> Description:
        record = self.record
        splits = {name: self.table(record[name], name) for name in SPLITS if name in record}
        classes = self.texts(record["classes"], "classes") if "classes" in record else None
        pairs = record.get("pairs", [])
        if not isinstance(pairs, list):
            raise self.error("pairs is no list of tables. Write [[pairs]], with two brackets, above each kind.")
        label = record.get("heuristic_label")
        if label is not None and (isinstance(label, bool) or not isinstance(label, str | int)):
            raise self.error(f"heuristic_label is {label!r}. Expected the name of a class, like one of classes.")
        found = Description(
            self.path,
            self.text(record.get("name", self.path.stem), "name"),
            splits,
            self.cases(record.get("cases")),
            tuple(self.pair(item, f"[[pairs]] number {number + 1}") for number, item in enumerate(pairs)),
            self.columns(record.get("columns", {}), "[columns]"),
            classes,
            self.groups(record.get("groups"), classes),
            self.heuristics(record.get("heuristics", {}), label),
            label,
        )
        if not found.tables:
            raise self.error(f"no table is named. Expected at least one, like {EXAMPLE}.")
        keys = [(entry.case, entry.kind) for entry in found.pairs]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise self.error(
                f"[[pairs]] gives {twice[1]!r} pairs of case {twice[0]!r} twice. Give one table of them; its column "
                "'split' may say which are for 'select' and which for 'test'."
            )
        for entry in found.pairs:
            roles = {other.stands_for for other in found.pairs if other.kind == entry.kind}
            if len(roles) > 1:
                raise self.error(
                    f"[[pairs]] say different stands_for of the kind {entry.kind!r}. Say the same each time."
                )
        return found

    def table(self, value: Any, where: str) -> TableFile:
        """The table that a path, or a TOML table with the key `file`, names."""
        given = self.checked({"file": value} if isinstance(value, str) else value, FILE_KEYS, where)
        if "file" not in given:
            raise self.error(f'{where} names no file. Expected a path, or a table like {{ file = "train.csv" }}.')
        path = self.path.parent / self.text(given["file"], f"file of {where}")
        if not path.is_file():
            names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
            close = [f"; did you mean {name!r}?" for name in difflib.get_close_matches(path.name, names, n=1)]
            raise self.error(
                f"{where} is {given['file']!r}, but there is no file {path}{close[0] if close else '.'} Paths begin at "
                f"the folder of {self.path.name}."
            )
        if path.suffix.lower() not in SUFFIXES:
            raise self.error(f"{where} is {given['file']!r}. Expected a file that ends in {', '.join(SUFFIXES)}.")
        separator = given.get("separator", self.record.get("separator"))
        if separator is not None and (not isinstance(separator, str) or len(separator) != 1):
            raise self.error(f'separator of {where} is {separator!r}. Expected one character, like ";" or "\\t".')
        return TableFile(
            where,
            path,
            self.columns(given.get("columns", {}), f"columns of {where}"),
            separator,
            self.text(given.get("encoding", self.record.get("encoding", "utf-8")), f"encoding of {where}"),
            self.text(given["case"], f"case of {where}") if "case" in given else None,
        )

    def cases(self, value: Any) -> TableFile | dict[str, TableFile] | None:
        """One table whose column says the case, or a table for each case."""
        if value is None:
            return None
        if isinstance(value, str) or (isinstance(value, Mapping) and "file" in value):
            return self.table(value, "cases")
        if not isinstance(value, Mapping) or not value:
            raise self.error(f'cases is {value!r}. Expected a path, or a table like {{ my_case = "my_case.csv" }}.')
        return {str(case): self.table(item, f"case {case!r}") for case, item in value.items()}

    def pair(self, value: Any, where: str) -> PairsEntry:
        given = self.checked(value, PAIR_KEYS, where)
        if missing := [name for name in ("case", "kind") if name not in given]:
            raise self.error(
                f"{where} lacks {missing[0]!r}. Expected the case that the clean sides belong to, and how the sides "
                'differ: case = "swapped" and kind = "order".'
            )
        shared = {name: given[name] for name in ("columns", "separator", "encoding") if name in given}
        sides = [side for side in SIDES if side in given]
        if ("file" in given) == bool(sides) or len(sides) == 1:
            raise self.error(
                f"{where} names {', '.join(['file'] * ('file' in given) + sides) or 'no file'}. Expected file = ... (a "
                "table with both sides) or clean = ... and corrupt = ... (a table for each side, rows matched by id)."
            )

        def table(key: str) -> TableFile | None:
            if key not in given:
                return None
            own = {"file": given[key]} if isinstance(given[key], str) else given[key]
            return self.table({**shared, **own} if isinstance(own, Mapping) else own, f"{where}, {key}")

        case, kind = (self.text(given[name], f"{name} of {where}") for name in ("case", "kind"))
        return PairsEntry(
            case, kind, self.stands_for(given, kind, where), table("file"), table("clean"), table("corrupt")
        )

    def stands_for(self, given: Mapping[str, Any], kind: str, where: str) -> str | None:
        role = given.get("stands_for")
        if role is not None and (role not in ROLES or kind in ROLES):
            raise self.error(
                f"stands_for of {where} is {role!r}, and kind is {kind!r}. Expected 'order' or 'overlap' for a kind "
                "that has a name of your own."
            )
        return role

    def columns(self, value: Any, where: str) -> dict[str, Any]:
        given = self.checked(value, COLUMNS, where)
        units = given.pop("units", None)
        columns: dict[str, Any] = {name: self.text(column, f"{name} of {where}") for name, column in given.items()}
        if units is None:
            return columns
        if isinstance(units, Mapping):
            named = {str(unit): self.texts(names, f"unit {unit} of {where}") for unit, names in units.items()}
        else:
            named = {name: (name,) for name in self.texts(units, f"units of {where}")}
        return {**columns, "units": named}

    def groups(self, value: Any, classes: tuple[str, ...] | None) -> tuple[tuple[int, ...], ...] | None:
        """Groups of classes that make one label, given by the names of the classes."""
        if value is None:
            return None
        if classes is None or not isinstance(value, list):
            raise self.error(
                f"groups is {value!r}{'' if classes else ' without classes'}. Expected lists of names of classes, like "
                '[["entailment"], ["neutral", "contradiction"]].'
            )
        groups = [self.texts(group, "a list of groups") for group in value]
        for name in [name for group in groups for name in group]:
            if name not in classes:
                raise self.error(f"groups names {name!r}, which is not in classes; {near(name, classes)}")
        named = [name for group in groups for name in group]
        if amiss := [name for name in classes if named.count(name) != 1]:
            raise self.error(
                f"groups names {amiss[0]!r} {named.count(amiss[0])} times. Expected each of classes in exactly one "
                "group."
            )
        return tuple(tuple(classes.index(name) for name in group) for group in groups)

    def heuristics(self, value: Any, label: Any) -> dict[str, dict[str, tuple[str, ...]]]:
        form = "Expected [heuristics.NAME] with the cases where it is right and wrong: right = [...], wrong = [...]."
        if not isinstance(value, Mapping) or not all(isinstance(part, Mapping) for part in value.values()):
            raise self.error(f"heuristics is {value!r}. {form}")
        found = {}
        for name, part in value.items():
            where = f"[heuristics.{name}]"
            given = self.checked(part, ("right", "wrong"), where)
            if not given:
                raise self.error(f"{where} is empty. {form}")
            found[str(name)] = {key: self.texts(cases, f"{key} of {where}") for key, cases in given.items() if cases}
        cases = [case for part in found.values() for names in part.values() for case in names]
        if twice := next((case for case in cases if cases.count(case) > 1), None):
            raise self.error(f"heuristics name case {twice!r} twice. A case belongs to one heuristic, once.")
        if bool(found) != (label is not None):
            lacking = "heuristic_label is missing" if found else "heuristic_label stands without [heuristics.NAME]"
            raise self.error(
                f'{lacking}. Say what the heuristic answers, like heuristic_label = "entailment", and {form}'
            )
        return found
