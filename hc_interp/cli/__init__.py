"""The command line `hc-interp`. Each command calls one public function and writes its result to a file."""

import sys
import warnings
from typing import Any

import typer

from hc_interp.cli.advice import on_the_command_line
from hc_interp.cli.shell import COMMANDS, app
from hc_interp.errors import HCError, HCWarning

# Each module registers its commands; --help lists them in this order.
# isort: off
from hc_interp.cli import experiment, masks, paths, reading, training, dynamics, pictures, about, explain  # noqa: F401

# isort: on

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line. An `HCError` is printed as one paragraph, with exit code 2; a warning is one paragraph."""
    show_other = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *position: Any, **options: Any) -> None:
        if issubclass(category, HCWarning):
            typer.echo(f"hc-interp: warning: {message}", err=True)
        else:
            show_other(message, category, *position, **options)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            app()
    except HCError as error:
        settings = [setting.name for word in sys.argv[1:2] for setting in COMMANDS.get(word, ())]
        typer.echo(f"hc-interp: {on_the_command_line(str(error), settings)}\n{error.more}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("hc-interp: interrupted.", err=True)
        sys.exit(130)
