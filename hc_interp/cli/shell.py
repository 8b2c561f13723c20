"""What every command shares: `--config`, `--explain`, `--json`, one way to end, and what is said when it is stopped."""

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
from hc_interp.cli.config import Setting, explained, read_config, settings_of
from hc_interp.cli.show import Shown, show

app = typer.Typer(
    name="hc-interp",
    help="Do generalizing heads read from heuristic heads? Mask search, exact path patching, probes, and a verdict.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
COMMANDS: dict[str, list[Setting]] = {}  # every command's settings: the schema of a configuration file
SHARED = "Options of every command"
NOTHING = "Nothing was written: a result appears whole or not at all."


def _say_version(value: bool) -> None:
    if value:
        typer.echo(f"hc-interp {hc.__version__}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="The version, and nothing else.")
    ] = False,
) -> None:
    """Options that stand before a command."""


def nothing_kept(given: dict[str, Any]) -> str:
    return f"{NOTHING} To start again:\n  {again()}"


def kept_in_folder(what: str) -> Callable[[dict[str, Any]], str]:
    """What an interrupted command says whose finished `what` are kept where `--resume` names a folder."""

    def say(given: dict[str, Any]) -> str:
        if given["resume"]:
            return f"Finished {what} are in {given['resume']}. To go on:\n  {again()}"
        return f"{NOTHING} With --resume FOLDER finished {what} are kept:\n  {again('--resume', what)}"

    return say


def again(*more: str) -> str:
    """The command line that was typed, with `more` where it lacks it."""
    typed = sys.argv[1:]
    return shlex.join(["hc-interp", *typed, *(word for word in more if word not in typed)])


class Terminated(KeyboardInterrupt):
    """SIGTERM, which schedulers send before they kill: it ends a command as Ctrl-C does."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` where SIGTERM comes."""

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
    """Make a function a command: its parameters are the command's own, what it returns is shown.

    `interrupted` gets the parameters and says what is left after Ctrl-C or SIGTERM, and how to go on.
    """

    def register(function: Callable[..., Shown]) -> Callable[..., Shown]:
        settings = COMMANDS[name] = settings_of(function)

        def use(context: typer.Context, value: Path | None) -> Path | None:
            if value is not None:
                context.default_map = read_config(value, name, COMMANDS)
            return value

        @wraps(function)
        def shell(*, context: typer.Context, config: Path | None, explain: bool, as_json: bool, **given: Any) -> None:
            if explain:
                sources = {name: context.get_parameter_source(name) for name in given}
                show(explained(name, settings, given, sources, config), as_json)
                return
            try:
                with terminable():
                    shown = function(**given)
            except KeyboardInterrupt as stop:
                number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
                typer.echo(f"\nhc-interp: interrupted. {interrupted(given)}", err=True)
                raise typer.Exit(128 + number) from None
            show(shown, as_json)
            if shown.code:
                raise typer.Exit(shown.code)

        shared = _shared(use)
        own = list(inspect.signature(function).parameters.values())
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *shared)]
        shell.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        shell.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, rich_help_panel=panel)(shell)
        return function

    return register


def _shared(use: Callable[[typer.Context, Path | None], Path | None]) -> list[inspect.Parameter]:
    """The parameters that every command gets."""
    config = typer.Option(
        help="TOML file with settings; the command line goes before it. See hc-interp schema.",
        callback=use, is_eager=True, exists=True, dir_okay=False, rich_help_panel=SHARED,
    )  # fmt: skip
    explain = typer.Option(
        "--explain",
        help="Say what would be done with which settings and about how long it takes, and stop.",
        rich_help_panel=SHARED,
    )
    as_json = typer.Option("--json", help="One JSON object on standard output, for machines.", rich_help_panel=SHARED)
    found: dict[str, tuple[Any, Any]] = {
        "context": (typer.Context, inspect.Parameter.empty),
        "config": (Annotated[Path | None, config], None),
        "explain": (Annotated[bool, explain], False),
        "as_json": (Annotated[bool, as_json], False),
    }
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, annotation=annotation, default=default)
        for name, (annotation, default) in found.items()
    ]
