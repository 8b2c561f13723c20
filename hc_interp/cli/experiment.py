"""`hc-interp run` and `demo`: over `hc.run`."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from hc_interp.cli.options import PAIRS, WORK, Case, DataDir, Labels, Model, Seed, TaskName
from hc_interp.cli.shell import again, command
from hc_interp.cli.show import Shown
from hc_interp.experiment.settings import DEMO, RunSettings

Folder = Annotated[Path, typer.Option(help="Folder for the results.")]
DEFAULT = RunSettings()


def _amount(help: str, panel: str = WORK, least: int = 1) -> Any:
    return typer.Option(help=help, min=least, rich_help_panel=panel)


def _go_on(given: dict[str, Any]) -> str:
    if not (Path(given["out"]) / "manifest.json").is_file():
        return f"Nothing was finished yet. To start again:\n  {again()}"
    return f"What was finished is in {given['out']}. To go on:\n  {again('--resume').replace(' --overwrite', '')}"


@command("run", panel="The whole experiment", interrupted=_go_on)
def run(
    model: Model,
    task: TaskName,
    out: Folder,
    data_dir: DataDir = None,
    labels: Labels = None,
    case: Case = DEFAULT.case,
    seed: Seed = DEFAULT.seed,
    sparsity: Annotated[float, typer.Option(help="Share of components removed.")] = DEFAULT.sparsity,
    margin: Annotated[
        float, typer.Option(help="Share of the node effect below which nothing counts as read.", min=0, max=1)
    ] = DEFAULT.margin,
    seeds: Annotated[int, _amount("Subnetworks to search.")] = DEFAULT.seeds,
    search_steps: Annotated[int, _amount("Training steps of each search.")] = DEFAULT.search_steps,
    exchanges: Annotated[int, _amount("Rounds in which each mask then trades components.", least=0)] = (
        DEFAULT.exchanges
    ),
    train_examples: Annotated[int, _amount("Training examples that searches draw from.")] = DEFAULT.train_examples,
    mean_examples: Annotated[int, _amount("Training examples that means are taken over.")] = DEFAULT.mean_examples,
    eval_per_case: Annotated[int, _amount("Examples of each case that accuracy is measured on.")] = (
        DEFAULT.eval_per_case
    ),
    probe_examples: Annotated[int, _amount("Examples that probes read.")] = DEFAULT.probe_examples,
    select_pairs: Annotated[int, _amount("Pairs that choose the generalizing heads.", PAIRS)] = DEFAULT.select_pairs,
    test_pairs: Annotated[int, _amount("Pairs of each kind that the verdict rests on.", PAIRS)] = DEFAULT.test_pairs,
    permutations: Annotated[int, _amount("Relabellings of the null.", PAIRS)] = DEFAULT.permutations,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run in the folder.")] = False,
) -> Shown:
    """From a checkpoint to a verdict: subnetworks, core, generalizing heads, paths, probes, figures, report.html."""
    given = locals()
    settings = RunSettings(**{field.name: given[field.name] for field in fields(RunSettings) if field.name in given})
    from hc_interp.cli.inputs import names

    options = {"data_dir": data_dir, "labels": names(labels), "overwrite": overwrite, "resume": resume}
    return _run(model, task, out, settings, **options)


@command("demo", panel="The whole experiment", interrupted=_go_on)
def demo(
    out: Folder = Path("runs/demo"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier demo in the folder.")] = False,
) -> Shown:
    """The same run on a model and a grammar that come with the package, offline, in a few minutes; replaces OUT."""
    return _run("zoo:minilm-nli", "overlap-grammar", out, DEMO, overwrite=not resume, resume=resume)


def _run(model: str, task: str, out: Path, settings: RunSettings, **options: Any) -> Shown:
    from rich.console import Console

    import hc_interp as hc
    from hc_interp.cli.inputs import quiet
    from hc_interp.experiment.summary import record, summary

    quiet()
    console = Console(stderr=True)
    found = hc.run(model, task, out, settings=settings, say=lambda line: console.print(line, style="bold"), **options)
    return Shown(record(found, out), summary(found, out))
