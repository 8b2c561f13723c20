"""What every command shares: `--config`, `--explain`, `--json`, how it ends, and its message when it is interrupted."""

import inspect
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

import hc_interp as hc
from hc_interp.cli.config import FILE, Setting, explained, read_config, settings_of
from hc_interp.cli.show import Shown, show
from hc_interp.cli.workers import pieces_folder

app = typer.Typer(
    name="hc-interp",
    help="Do the generalizing heads of a fine-tuned model read from its heuristic heads? Mask search, exact path "
    "patching, probes, and a verdict.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
COMMANDS: dict[str, list[Setting]] = {}  # the settings of every command, from which the files' schema is made
SHARED = "Options of every command"
NOTHING = "Nothing was written: a result appears whole or not at all."


def _say_version(value: bool) -> None:
    if value:
        typer.echo(f"hc-interp {hc.__version__}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options that are given before a command."""


def nothing_kept(arguments: dict[str, Any]) -> str:
    """The message of an interrupted command that keeps nothing."""
    return f"{NOTHING} To start again:\n  {again()}"


def kept_in_folder(what: str) -> Callable[[dict[str, Any]], str]:
    """The message of an interrupted command that keeps its finished `what` in the folder of its pieces."""

    def message(arguments: dict[str, Any]) -> str:
        if folder := pieces_folder(arguments.get("on", "here"), arguments["resume"], arguments["out"]):
            return f"Finished {what} are in {folder}. To go on:\n  {again()}"
        return f"{NOTHING} With --resume FOLDER finished {what} are kept:\n  {again('--resume', what)}"

    return message


def again(*more: str) -> str:
    """The command line that was typed, followed by those words of `more` that it lacks."""
    typed = sys.argv[1:]
    return shlex.join(["hc-interp", *typed, *(word for word in more if word not in typed)])


class Terminated(KeyboardInterrupt):
    """The command got SIGTERM, which schedulers send before they kill. It ends a command as Ctrl-C does."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` if SIGTERM arrives in this context."""

    def stop(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def command(
    name: str, *, panel: str | None = None, interrupted: Callable[[dict[str, Any]], str] = nothing_kept
) -> Callable[[Callable[..., Shown]], Callable[..., Shown]]:
    """Make a function a command: its parameters become the command's settings, and what it returns is shown.

    After Ctrl-C or SIGTERM `interrupted` is called with the command's arguments. It returns a message that says which
    results were kept and how to go on.
    """

    def register(function: Callable[..., Shown]) -> Callable[..., Shown]:
        settings = COMMANDS[name] = settings_of(function)

        def read_defaults(context: typer.Context, path: Path | None) -> Path | None:
            if path is not None:
                context.default_map = read_config(path, name, COMMANDS)
            return path

        @wraps(function)
        def shell(
            *, context: typer.Context, config: Path | None, explain: bool, as_json: bool, **arguments: Any
        ) -> None:
            if explain:
                sources = {name: context.get_parameter_source(name) for name in arguments}
                show(explained(name, settings, arguments, sources, config), as_json)
                return
            FILE.set(config)
            try:
                with terminable():
                    shown = function(**arguments)
            except KeyboardInterrupt as stop:
                number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
                typer.echo(f"\nhc-interp: interrupted. {interrupted(arguments)}", err=True)
                raise typer.Exit(128 + number) from None
            show(shown, as_json)
            if shown.code:
                raise typer.Exit(shown.code)

        every = (*inspect.signature(function).parameters.values(), *_shared(read_defaults))
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in every]
        shell.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        shell.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, rich_help_panel=panel)(shell)
        return function

    return register


def _shared(read_defaults: Callable[[typer.Context, Path | None], Path | None]) -> list[inspect.Parameter]:
    """The parameters that every command gets. `read_defaults` takes the file of `--config`."""
    config = typer.Option(
        help="TOML file with settings. Options on the command line override it; hc-interp schema lists every key.",
        callback=read_defaults, is_eager=True, exists=True, dir_okay=False, rich_help_panel=SHARED,
    )  # fmt: skip
    explain = typer.Option(
        "--explain",
        help="Show every setting with its value and about how long the command takes; do nothing else.",
        rich_help_panel=SHARED,
    )
    as_json = typer.Option("--json", help="Print one JSON object instead of text.", rich_help_panel=SHARED)
    shared: dict[str, tuple[Any, Any]] = {
        "context": (typer.Context, inspect.Parameter.empty),
        "config": (Annotated[Path | None, config], None),
        "explain": (Annotated[bool, explain], False),
        "as_json": (Annotated[bool, as_json], False),
    }
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, annotation=annotation, default=default)
        for name, (annotation, default) in shared.items()
    ]
