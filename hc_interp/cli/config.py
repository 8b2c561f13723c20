"""Settings from a TOML file: what each command takes, by its own signature; strict reading; `--explain`; the schema.

A key at the top holds for every command that has such a setting, a table `[search]` for that command alone.
"""

import difflib
import inspect
import types
from collections.abc import Callable, Mapping
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
from hc_interp.errors import HCError
from hc_interp.experiment.settings import bounds, in_words
from hc_interp.files import plain

SHIFTING = ("default", "minimum", "exclusiveMinimum")  # what commands that share a setting may differ in


@dataclass(frozen=True)
class Setting:
    """One parameter of a command: `kind` is its type, `many` says that it is a list of such, `ends` bound each."""

    name: str
    kind: type
    help: str
    many: bool = False
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    ends: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = "a path, as text" if self.kind is Path else in_words(self.kind, self.ends)
        return f"a list, each {words}" if self.many else words

    @cached_property
    def _type(self) -> TypeAdapter[Any]:
        """The setting as a file gives it: a path is text there."""
        one: Any = Literal[self.choices] if self.choices else str if self.kind is Path else self.kind
        one = Annotated[one, Field(**self.ends)]
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
        given = {} if self.default is None else {"default": plain(self.default)}
        return {**self._type.json_schema(), "description": self.help, **given}


def settings_of(function: Callable[..., Any]) -> list[Setting]:
    """A command's settings, read from its signature: their types, typer's options, and fields that declare the ends."""
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        annotation, info, *declared = get_args(parameter.annotation)
        kind, many, choices = _kind(annotation)
        typed = {end: value for end, value in (("ge", info.min), ("le", info.max)) if value is not None}
        ends = bounds(declared[0].metadata) if declared else typed
        required = parameter.default is inspect.Parameter.empty
        found.append(
            Setting(
                name, kind, info.help or "", many, required, None if required else parameter.default, choices, ends,
            )
        )  # fmt: skip
    return found


def _kind(annotation: Any) -> tuple[type, bool, tuple[str, ...]]:
    """The plain type of an annotation, whether it is a list of such, and the choices of a Literal."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return str, False, get_args(annotation)
    if get_origin(annotation) is list:
        return _kind(get_args(annotation)[0])[0], True, ()
    return annotation, False, ()


def read_config(path: Path, command: str, commands: Mapping[str, list[Setting]]) -> dict[str, Any]:
    """The file's settings of one command, by parameter name.

    Raises `HCError` for a file that is not TOML, a key that no command knows, and a value of the wrong kind.
    """
    import tomllib

    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HCError(
            f'{path} is not a configuration file ({error}). Expected TOML, like: model = "zoo:minilm-nli".'
        ) from error
    own = {setting.name: setting for setting in commands[command]}
    known = {setting.name for settings in commands.values() for setting in settings}
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            if key not in commands:
                raise HCError(f"{path} has a table [{key}], but there is no such command{_near(key, commands)}")
            continue
        name = key.replace("-", "_")
        if name not in known:
            raise HCError(f"{path} has {key!r}, which no command takes{_near(name, known)}")
        if name in own:
            found[name] = _checked(own[name], value, f"{path}: {key}")
    for key, value in record.get(command, {}).items():
        name = key.replace("-", "_")
        if name not in own:
            raise HCError(f"{path} has {key!r} in [{command}], which takes no such setting{_near(name, own)}")
        found[name] = _checked(own[name], value, f"{path}: {key} in [{command}]")
    return found


def _checked(setting: Setting, value: Any, where: str) -> Any:
    if setting.kind is str and not setting.many and isinstance(value, list) and all(isinstance(v, str) for v in value):
        value = ",".join(value)  # names may be a list in the file; on the command line they are comma separated
    if setting.many and not isinstance(value, list):
        value = [value]  # one is a list of one
    if not setting.fits(value):
        raise HCError(
            f"{where} is {value!r}. Expected {setting.expected}. Mend the file; hc-interp schema has every key."
        )
    return value


def _near(name: str, known: Any) -> str:
    near = [found.replace("_", "-") for found in difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)]
    return f"; did you mean {', '.join(near)}?" if near else ". See hc-interp schema."


def schema(commands: Mapping[str, list[Setting]]) -> dict[str, Any]:
    """JSON Schema of a configuration file, for editors and checkers."""
    shared: dict[str, Any] = {}
    tables = {}
    for command, settings in commands.items():
        own = {setting.key: setting.schema() for setting in settings}
        tables[command] = {"type": "object", "properties": own, "additionalProperties": False}
        for key, record in own.items():
            shared.setdefault(key, {name: record[name] for name in record if name not in SHIFTING})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of hc-interp",
        "type": "object",
        "properties": {**tables, **{key: record for key, record in shared.items() if key not in tables}},
        "additionalProperties": False,
    }


def explained(
    command: str, settings: list[Setting], given: Mapping[str, Any], sources: Mapping[str, Any], config: Path | None
) -> Shown:
    """Every setting of a command with its value, where that came from, and what it does."""
    where = {"COMMANDLINE": "command line", "DEFAULT_MAP": str(config), "ENVIRONMENT": "environment"}
    rows = [
        {
            "setting": setting.key,
            "value": plain(given[setting.name]),
            "from": where.get(getattr(sources[setting.name], "name", ""), "default"),
            "meaning": setting.help,
        }
        for setting in settings
    ]
    table = Table("setting", "value", "from", "meaning", box=None, title=f"hc-interp {command}", title_justify="left")
    for row in rows:
        value = "-" if row["value"] is None else row["value"]
        table.add_row(row["setting"], str(value), row["from"], row["meaning"])
    time = duration(command, given)
    shown = Group(table, Padding(time, (1, 0, 0, 0))) if time else table
    return Shown({"command": command, "settings": rows, "duration": time}, shown)
