"""The commands `figures` and `report`, which call `hc.figures.draw` and `hc.report`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import hc_interp as hc
from hc_interp.cli.inputs import names, results_of, run_of
from hc_interp.cli.options import a_file
from hc_interp.cli.shell import command
from hc_interp.cli.show import Shown

PANEL = "Figures and report"


@command("figures", panel=PANEL)
def figures(
    results: Annotated[list[Path], typer.Argument(help="Result files, or the folder of a run.")],
    out: Annotated[Path, typer.Option(help="Folder that the figures are written to.")],
    format: Annotated[
        str, typer.Option(help="File formats: some of svg, pdf, png, html, json, tex, comma separated.")
    ] = "svg",
    width: Annotated[
        Literal["single", "double"], typer.Option(help="Width in a paper: one column (3.3 inches) or two (6.9 inches).")
    ] = "double",
    margin: Annotated[
        float,
        typer.Option(
            help="Circuit: a path is drawn only if its whole interval of |node share| lies above this.", min=0, max=1
        ),
    ] = 0.01,
    most: Annotated[
        int | None,
        typer.Option(help="Circuit: largest number of paths drawn (default: 30 in one column, 60 in two).", min=1),
    ] = None,
) -> Shown:
    """Draw every figure that the results have, at the size of a paper's column (hc.figures.draw).

    Figures show the circuit, paths, accuracy, the core, searches, probes and the verdict.
    """
    drawn = hc.figures.draw(results_of(results), width=width, margin=margin, most=most)
    files = hc.figures.write_all(drawn, out, names(format) or ())
    lines = [f"{figure.title}: {figure.caption}" for figure in drawn.values()]
    record = {name: {"title": figure.title, "caption": figure.caption} for name, figure in drawn.items()}
    return Shown(
        {"figures": record, "files": [str(path) for path in files]},
        "\n".join([*lines, *(f"written to {path}" for path in files)]),
    )


@command("report", panel=PANEL)
def report(
    results: Annotated[list[Path], typer.Argument(help="The folder of a run, or result files.")],
    out: Annotated[Path, typer.Option(help="File that the page is written to (.html).", callback=a_file)],
    static: Annotated[
        bool,
        typer.Option("--static", help="Make a smaller page with pictures that do not react; needs Chrome or Chromium."),
    ] = False,
) -> Shown:
    """Write one HTML page with the question, the verdict, the evidence and every number (hc.report)."""
    path = hc.report(run_of(results), out, static=static)
    return Shown({"file": str(path), "bytes": path.stat().st_size}, f"written to {path}")
