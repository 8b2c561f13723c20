"""`hc-interp figures` and `report`: over `hc.figures.draw` and `hc.report`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import hc_interp as hc
from hc_interp.cli.inputs import names, results_of, run_of
from hc_interp.cli.options import a_file
from hc_interp.cli.shell import command
from hc_interp.cli.show import Shown

LOOK = "Look at it"


@command("figures", panel=LOOK)
def figures(
    results: Annotated[list[Path], typer.Argument(help="Result files, or the folder of a run.")],
    out: Annotated[Path, typer.Option(help="Folder for the figures.")],
    format: Annotated[str, typer.Option(help="svg, pdf, png, html, json or tex; comma separated.")] = "svg",
    width: Annotated[
        Literal["single", "double"], typer.Option(help="3.3 or 6.9 inches: one column, or two.")
    ] = "double",
    margin: Annotated[
        float, typer.Option(help="Circuit: a path's whole |node share| interval must lie above this.", min=0, max=1)
    ] = 0.01,
    most: Annotated[int | None, typer.Option(help="Circuit: draw at most so many paths.", min=1)] = None,
) -> Shown:
    """Every figure that results allow, ready for a paper: circuit, paths, accuracy, core, searches, probes, verdict."""
    drawn = hc.figures.draw(results_of(results), width=width, margin=margin, most=most)
    files = hc.figures.write_all(drawn, out, names(format) or ())
    lines = [f"{figure.title}: {figure.caption}" for figure in drawn.values()]
    record = {name: {"title": figure.title, "caption": figure.caption} for name, figure in drawn.items()}
    return Shown(
        {"figures": record, "files": [str(path) for path in files]},
        "\n".join([*lines, *(f"written to {path}" for path in files)]),
    )


@command("report", panel=LOOK)
def report(
    results: Annotated[list[Path], typer.Argument(help="The folder of a run, or result files.")],
    out: Annotated[Path, typer.Option(help="File for the page (.html).", callback=a_file)],
    static: Annotated[
        bool, typer.Option("--static", help="Pictures instead of a drawing script: smaller; needs Chrome or Chromium.")
    ] = False,
) -> Shown:
    """One page with the question, the verdict, the evidence and every number (hc.report)."""
    path = hc.report(run_of(results), out, static=static)
    return Shown({"file": str(path), "bytes": path.stat().st_size}, f"written to {path}")
