"""`hc-interp`: the command line. Each command is a thin shell over one public function; results pass as files."""

import sys
import warnings
from typing import Any

import typer

from hc_interp.cli.advice import on_the_command_line
from hc_interp.cli.shell import COMMANDS, app
from hc_interp.errors import HCError, HCWarning

# Each module registers its commands; --help lists them in this order.
# isort: off
from hc_interp.cli import experiment, masks, paths, reading, pictures, about  # noqa: F401

# isort: on

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: an error that a user can mend is one paragraph and exit code 2; a warning is one paragraph."""
    show = warnings.showwarning

    def say(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
        if issubclass(category, HCWarning):
            typer.echo(f"hc-interp: warning: {message}", err=True)
        else:
            show(message, category, *where, **options)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = say
            app()
    except HCError as error:
        settings = [setting.name for word in sys.argv[1:2] for setting in COMMANDS.get(word, ())]
        typer.echo(f"hc-interp: {on_the_command_line(str(error), settings)}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("hc-interp: interrupted.", err=True)
        sys.exit(130)
