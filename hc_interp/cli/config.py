"""The settings of each command, read from its signature and from TOML files; `--explain`; the files' JSON Schema.

A key at the top of a file applies to every command that has a setting of this name. A key in a table such as
`[search]` applies to that command only.
"""

import difflib
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from rich.console import Group
from rich.padding import Padding
from rich.table import Table

from hc_interp.cli.durations import duration
from hc_interp.cli.show import Shown
from hc_interp.cli.task_check import check_task
from hc_interp.errors import HCError
from hc_interp.experiment.settings import bounds, in_words
from hc_interp.files import plain

FILE: ContextVar[Path | None] = ContextVar("FILE", default=None)  # that of --config, while a command runs
SPREAD = ("slurm", "dask")  # tables of files that are about workers (`cli/workers.py`), not about a command
VARYING = ("default", "minimum", "exclusiveMinimum")  # commands that share a setting may differ in these


@dataclass(frozen=True)
class Setting:
    """One parameter of a command.

    `kind` is the type of its value, or with `many` the type of each item of its list. `limits` bound each value, under
    the names that pydantic's `Field` gives them (ge, gt, le, lt).
    """

    name: str
    kind: type
    help: str
    many: bool = False
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        """The values that the setting takes, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = "a path, as text" if self.kind is Path else in_words(self.kind, self.limits)
        return f"a list, each {words}" if self.many else words

    @cached_property
    def _type(self) -> TypeAdapter[Any]:
        """The type of the setting in a file, where a path is text."""
        one: Any = Literal[self.choices] if self.choices else str if self.kind is Path else self.kind
        one = Annotated[one, Field(**self.limits)]
        whole = list[one] if self.many else one  # pyright: ignore[reportInvalidTypeForm]
        return TypeAdapter(whole, config=ConfigDict(strict=True))

    def fits(self, value: Any) -> bool:
        try:
            self._type.validate_python(value)
        except ValidationError:
            return False
        return True

    def schema(self) -> dict[str, Any]:
        """The setting in JSON Schema."""
        default = {} if self.default is None else {"default": plain(self.default)}
        return {**self._type.json_schema(), "description": self.help, **default}


def settings_of(function: Callable[..., Any]) -> list[Setting]:
    """A command's settings, read from its signature.

    Each annotation holds the type, typer's option, and for some a field of `RunSettings`, which then gives the limits.
    """
    settings = []
    for name, parameter in inspect.signature(function).parameters.items():
        annotation, info, *declared = get_args(parameter.annotation)
        kind, many, choices = _kind(annotation)
        typed = {limit: value for limit, value in (("ge", info.min), ("le", info.max)) if value is not None}
        limits = bounds(declared[0].metadata) if declared else typed
        required = parameter.default is inspect.Parameter.empty
        settings.append(
            Setting(
                name, kind, info.help or "", many, required, None if required else parameter.default, choices, limits,
            )
        )  # fmt: skip
    return settings


def _kind(annotation: Any) -> tuple[type, bool, tuple[str, ...]]:
    """The type of a value or of a list's items, whether the annotation is a list, and the choices of a `Literal`."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return str, False, get_args(annotation)
    if get_origin(annotation) is list:
        return _kind(get_args(annotation)[0])[0], True, ()
    return annotation, False, ()


def read_config(path: Path, command: str, commands: Mapping[str, list[Setting]]) -> dict[str, Any]:
    """The values that a file gives to one command's settings, by parameter name.

    Raises `HCError` for a file that is not TOML, a key that no command knows, and a value of the wrong kind.
    """
    import tomllib

    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HCError(
            f'{path} is not a configuration file ({error}). Expected TOML, like: model = "zoo:minilm-nli".'
        ) from error
    takes = {setting.name: setting for setting in commands[command]}
    known = {setting.name for settings in commands.values() for setting in settings}
    values: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            if key not in (*commands, *SPREAD):
                raise HCError(
                    f"{path} has a table [{key}], but there is no such command{near(key, (*commands, *SPREAD))}"
                )
            continue
        name = key.replace("-", "_")
        if name not in known:
            raise HCError(f"{path} has {key!r}, which no command takes{near(name, known)}")
        if name in takes:
            values[name] = checked(takes[name], value, f"{path}: {key}")
    for key, value in record.get(command, {}).items():
        name = key.replace("-", "_")
        if name not in takes:
            raise HCError(f"{path} has {key!r} in [{command}], which takes no such setting{near(name, takes)}")
        values[name] = checked(takes[name], value, f"{path}: {key} in [{command}]")
    return values


def checked(setting: Setting, value: Any, where: str) -> Any:
    """The value that a file gives to a setting. Raises `HCError` for one that the setting does not take."""
    if setting.kind is str and not setting.many and isinstance(value, list) and all(isinstance(v, str) for v in value):
        value = ",".join(value)  # a file may list names, which the command line separates by commas
    if setting.many and not isinstance(value, list):
        value = [value]  # a single value means a list of one
    if not setting.fits(value):
        raise HCError(
            f"{where} is {value!r}. Expected {setting.expected}. Mend the file; hc-interp schema has every key."
        )
    return value


def near(name: str, known: Iterable[str]) -> str:
    """What an error says of a key that does not exist: those that are spelled nearly so."""
    near = [match.replace("_", "-") for match in difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)]
    return f"; did you mean {', '.join(near)}?" if near else ". See hc-interp schema."


def schema(commands: Mapping[str, list[Setting]], spread: Mapping[str, list[Setting]]) -> dict[str, Any]:
    """JSON Schema of a configuration file, for editors and checkers. `spread` are the tables about workers."""
    shared: dict[str, Any] = {}
    tables = {name: _table(settings) for name, settings in spread.items()}
    for command, settings in commands.items():
        tables[command] = _table(settings)
        properties = tables[command]["properties"]
        for key, record in properties.items():
            shared.setdefault(key, {name: record[name] for name in record if name not in VARYING})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of hc-interp",
        "type": "object",
        "properties": {**tables, **{key: record for key, record in shared.items() if key not in tables}},
        "additionalProperties": False,
    }


def _table(settings: Iterable[Setting]) -> dict[str, Any]:
    properties = {setting.key: setting.schema() for setting in settings}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def explained(
    command: str, settings: list[Setting], values: Mapping[str, Any], sources: Mapping[str, Any], config: Path | None
) -> Shown:
    """Every setting of a command: its value, the source of that value, and its meaning. `sources` are click's.

    Raises `HCError` for a task or a case that the command would refuse.
    """
    source_words = {"COMMANDLINE": "command line", "DEFAULT_MAP": str(config), "ENVIRONMENT": "environment"}
    rows = [
        {
            "setting": setting.key,
            "value": plain(values[setting.name]),
            "from": source_words.get(getattr(sources[setting.name], "name", ""), "default"),
            "meaning": setting.help,
        }
        for setting in settings
    ]
    table = Table("setting", "value", "from", "meaning", box=None, title=f"hc-interp {command}", title_justify="left")
    for row in rows:
        value = "-" if row["value"] is None else row["value"]
        table.add_row(row["setting"], str(value), row["from"], row["meaning"])
    time = duration(command, values, check_task(command, values))
    shown = Group(table, Padding(time, (1, 0, 0, 0))) if time else table
    return Shown({"command": command, "settings": rows, "duration": time}, shown)
