"""The commands `run` and `demo`, which call `hc.run`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import hc_interp as hc
from hc_interp.cli.inputs import label_names, quiet
from hc_interp.cli.options import FIELDS, DataDir, Device, Dtype, Labels, Model, ReadAt, TaskName, Template, option
from hc_interp.cli.shell import again, command
from hc_interp.cli.show import Shown
from hc_interp.cli.summary import record, summary
from hc_interp.cli.workers import DryRun, Jobs, On, workers
from hc_interp.experiment.settings import DEMO, PIECES, RunSettings

OutFolder = Annotated[Path, typer.Option(help="Folder that the results are written to.")]


def _how_to_resume(arguments: dict[str, Any]) -> str:
    out = Path(arguments["out"])
    if not (out / "manifest.json").is_file():
        return f"Nothing was finished yet. To start again:\n  {again()}"
    return f"What was finished is in {out}. To go on:\n  {again('--resume').replace(' --overwrite', '')}"


def _with_settings(function: Callable[..., Shown]) -> Callable[..., Shown]:
    """Replace the function's `**settings` by an option for each setting of a run."""
    *named, _ = inspect.signature(function).parameters.values()
    settings = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[field.annotation, option(name), field],
        )
        for name, field in FIELDS.items()
        if name != "demo"
    ]
    function.__signature__ = inspect.Signature([*named, *settings])  # type: ignore[attr-defined]
    return function


@command("run", panel="The whole experiment", interrupted=_how_to_resume)
@_with_settings
def run(
    model: Model,
    task: TaskName,
    out: OutFolder,
    data_dir: DataDir = None,
    template: Template = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier run in the folder.")] = False,
    on: On = "here",
    jobs: Jobs = None,
    dry_run: DryRun = False,
    **settings: Any,
) -> Shown:
    """Run the whole experiment, from a checkpoint to a verdict (hc.run).

    It searches subnetworks, finds the core and the generalizing heads, patches the paths between them, fits probes,
    gives the verdict, draws the figures and writes report.html.
    """
    options = {
        "data_dir": data_dir, "template": template, "labels": label_names(labels), "read_at": read_at,
        "device": device, "dtype": dtype,
    }  # fmt: skip
    with workers(on, jobs, 1, out / PIECES, dry_run) as executor:
        return _run(
            model, task, out, RunSettings(**settings), overwrite=overwrite, resume=resume, executor=executor, **options
        )


@command("demo", panel="The whole experiment", interrupted=_how_to_resume)
def demo(
    out: OutFolder = Path("runs/demo"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier demo in the folder.")] = False,
) -> Shown:
    """Run a small version of the experiment, offline and in a few minutes, on the package's own model and grammar.

    It searches 5 subnetworks with half the steps and at one sparsity, and uses few examples and pairs. Without --resume
    it replaces an earlier demo in the folder. Its verdict is not evidence.
    """
    return _run("zoo:minilm-nli", "overlap-grammar", out, DEMO, overwrite=not resume, resume=resume)


def _run(model: str, task: str, out: Path, settings: RunSettings, **options: Any) -> Shown:
    quiet()
    console = Console(stderr=True)
    results = hc.run(model, task, out, settings=settings, say=lambda line: console.print(line, style="bold"), **options)
    return Shown(record(results, out), summary(results, out))
