"""`hc-interp run` and `demo`: over `hc.run`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import hc_interp as hc
from hc_interp.cli.inputs import names, quiet
from hc_interp.cli.options import FIELDS, DataDir, Device, Dtype, Labels, Model, TaskName, option
from hc_interp.cli.shell import again, command
from hc_interp.cli.show import Shown
from hc_interp.cli.summary import record, summary
from hc_interp.experiment.settings import DEMO, RunSettings

Folder = Annotated[Path, typer.Option(help="Folder for the results.")]


def _go_on(given: dict[str, Any]) -> str:
    if not (Path(given["out"]) / "manifest.json").is_file():
        return f"Nothing was finished yet. To start again:\n  {again()}"
    return f"What was finished is in {given['out']}. To go on:\n  {again('--resume').replace(' --overwrite', '')}"


def _with_settings(function: Callable[..., Shown]) -> Callable[..., Shown]:
    """An option for each of a run's settings in place of the function's `**settings`."""
    *own, _ = inspect.signature(function).parameters.values()
    made = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[field.annotation, option(name), field],
        )
        for name, field in FIELDS.items()
        if name != "demo"
    ]
    function.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
    return function


@command("run", panel="The whole experiment", interrupted=_go_on)
@_with_settings
def run(
    model: Model,
    task: TaskName,
    out: Folder,
    data_dir: DataDir = None,
    labels: Labels = None,
    device: Device = None,
    dtype: Dtype = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run in the folder.")] = False,
    **settings: Any,
) -> Shown:
    """From a checkpoint to a verdict: subnetworks, core, generalizing heads, paths, probes, figures, report.html."""
    given = {"data_dir": data_dir, "labels": names(labels), "device": device, "dtype": dtype}
    return _run(model, task, out, RunSettings(**settings), overwrite=overwrite, resume=resume, **given)


@command("demo", panel="The whole experiment", interrupted=_go_on)
def demo(
    out: Folder = Path("runs/demo"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier demo in the folder.")] = False,
) -> Shown:
    """The same run on a model and a grammar that come with the package, offline, in a few minutes; replaces OUT."""
    return _run("zoo:minilm-nli", "overlap-grammar", out, DEMO, overwrite=not resume, resume=resume)


def _run(model: str, task: str, out: Path, settings: RunSettings, **options: Any) -> Shown:
    quiet()
    console = Console(stderr=True)
    results = hc.run(model, task, out, settings=settings, say=lambda line: console.print(line, style="bold"), **options)
    return Shown(record(results, out), summary(results, out))
