"""Settings from a TOML file: what each command takes, by its own signature; strict reading; `--explain`; the schema.

A key at the top holds for every command that has such a setting, a table `[search]` for that command alone.
"""

import difflib
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from hc_interp.cli.show import Shown
from hc_interp.errors import HCError

WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path, as text"}
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "string"}


@dataclass(frozen=True)
class Setting:
    """One parameter of a command: `kind` is its type, `many` says that it is a list of such."""

    name: str
    kind: type
    help: str
    many: bool = False
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def key(self) -> str:
        return self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        ends = [f"{word} {end:g}" for word, end in (("from", self.low), ("to", self.high)) if end is not None]
        words = " ".join([WORDS[self.kind], *ends])
        return f"a list, each {words}" if self.many else words

    def fits(self, value: Any) -> bool:
        if self.many:
            return isinstance(value, list) and all(self._fits(item) for item in value)
        return self._fits(value)

    def _fits(self, value: Any) -> bool:
        allowed = {Path: str, float: (int, float)}.get(self.kind, self.kind)
        if not isinstance(value, allowed) or (isinstance(value, bool) and self.kind is not bool):  # type: ignore[arg-type]
            return False
        if self.choices:
            return value in self.choices
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def schema(self) -> dict[str, Any]:
        """The setting in JSON Schema."""
        own: dict[str, Any] = {"type": JSON_TYPES[self.kind]}
        if self.choices:
            own["enum"] = list(self.choices)
        own |= {name: end for name, end in (("minimum", self.low), ("maximum", self.high)) if end is not None}
        whole: dict[str, Any] = {"type": "array", "items": own} if self.many else own
        given = {} if self.default is None else {"default": plain(self.default)}
        return {**whole, "description": self.help, **given}


def settings_of(function: Callable[..., Any]) -> list[Setting]:
    """A command's settings, read from its signature."""
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        annotation, info = get_args(parameter.annotation)
        kind, many, choices = _kind(annotation)
        required = parameter.default is inspect.Parameter.empty
        found.append(
            Setting(
                name, kind, info.help or "", many, required, None if required else parameter.default, choices,
                info.min, info.max,
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
            shared.setdefault(key, {name: record[name] for name in record if name not in ("default", "minimum")})
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
    from rich.table import Table

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
    return Shown({"command": command, "settings": rows}, table)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
