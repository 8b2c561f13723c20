"""`hc-interp`: the command line. Each command is a thin shell over one public function; results pass as files."""

import sys

import typer

from hc_interp.cli.shell import app
from hc_interp.errors import HCError

# Each module registers its commands; --help lists them in this order.
# isort: off
from hc_interp.cli import experiment, masks, paths, reading, pictures, about  # noqa: F401

# isort: on

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: an error that a user can mend is one paragraph and exit code 2."""
    try:
        app()
    except HCError as error:
        typer.echo(f"hc-interp: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("hc-interp: interrupted.", err=True)
        sys.exit(130)
