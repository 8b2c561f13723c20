"""The command `over-training`: one analysis at every checkpoint of a series."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import hc_interp as hc
from hc_interp.cli.inputs import heads_in, names, quiet, senders_or_receivers, split
from hc_interp.cli.options import (
    DEFAULT,
    PAIRS,
    WORK,
    Case,
    DataDir,
    Device,
    MeanExamples,
    Out,
    Seed,
    TaskName,
    Template,
    a_file,
    option,
)
from hc_interp.cli.shell import command, kept_in_folder
from hc_interp.cli.show import Shown, written
from hc_interp.cli.workers import DryRun, Jobs, On, Threads, pieces_folder, workers
from hc_interp.errors import HCError

Analysis = Literal[
    "accuracy", "masks", "core", "subnetworks", "generalizing", "premises", "reading", "paths", "probes", "attention"
]  # fmt: skip
NEED_HEADS = {"generalizing": ("core",), "premises": ("core", "generalizing"), "reading": ("core", "generalizing")}


@command("over-training", panel="Training", interrupted=kept_in_folder("checkpoints"))
def over_training(
    series: Annotated[str, typer.Option(help="The series: a folder that hc-interp finetune wrote, or zoo:NAME.")],
    task: TaskName,
    out: Out,
    analysis: Annotated[Analysis, typer.Option(help="What is measured at each checkpoint.")] = "accuracy",
    data_dir: DataDir = None,
    template: Template = None,
    device: Device = None,
    steps: Annotated[str | None, typer.Option(help="Checkpoints to look at, comma separated (default: all).")] = None,
    core: Annotated[
        str | None, typer.Option(help="The core (for generalizing, premises, reading): core.json, or L2H9,L3H4.")
    ] = None,
    generalizing: Annotated[
        str | None, typer.Option(help="The generalizing heads (for premises, reading): a result's file, or heads.")
    ] = None,
    senders: Annotated[str, typer.Option(help="For paths: components that send.", rich_help_panel=PAIRS)] = "heads",
    receivers: Annotated[
        str, typer.Option(help="For paths: components that receive.", rich_help_panel=PAIRS)
    ] = "output",
    case: Case = DEFAULT.case,
    pairs: Annotated[int, typer.Option(help="Number of contrast pairs.", min=1, rich_help_panel=PAIRS)] = 64,
    feature: Annotated[str, typer.Option(help="For probes: the feature that is predicted.")] = "token_overlap",
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Also draw the figure to this file (.svg, .pdf, .png or .html).",
            callback=lambda path: path and a_file(path),
        ),
    ] = None,
    sparsity: Annotated[
        float, typer.Option(help="For masks and core: share of components removed.")
    ] = DEFAULT.sparsity,
    sparsities: Annotated[
        str | None,
        typer.Option(help="For subnetworks: shares of components removed, comma separated (default: 0.1 to 0.9)."),
    ] = None,
    seeds: Annotated[int, option("seeds")] = 4,
    search_steps: Annotated[int, option("search_steps")] = DEFAULT.search_steps,
    max_per_case: Annotated[
        int, typer.Option(help="Largest number of examples of each case.", min=1, rich_help_panel=WORK)
    ] = 100,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    resume: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps finished checkpoints. The same command then does only the rest."),
    ] = None,
    seed: Seed = DEFAULT.seed,
    on: On = "here",
    jobs: Jobs = None,
    threads: Threads = 1,
    dry_run: DryRun = False,
) -> Shown:
    """Run one analysis on the model of every checkpoint, and draw it over training (hc.over_training)."""
    quiet()
    heads = {"core": core, "generalizing": generalizing}
    for name in NEED_HEADS.get(analysis, ()):
        if heads[name] is None:
            raise HCError(f"--analysis {analysis} was given without --{name}. Name the heads, or a result's file.")
    resume = pieces_folder(on, resume, out)
    with workers(on, jobs, threads, resume, dry_run) as executor:
        data = hc.load_task(task, data_dir=data_dir, template=template)
        if analysis == "subnetworks" and data.validation is None and not data.heuristics:
            raise HCError(
                f"The task {data.name} has no validation examples and no case where a heuristic is wrong. Expected one "
                "of them: a subnetwork's size is that at which it is as accurate there as the full model."
            )
        chosen = hc.load_series(series, device=device)
        found = hc.over_training(
            chosen,
            _analysis(
                analysis, data, heads_in(core) if core else (), heads_in(generalizing) if generalizing else (),
                senders=senders_or_receivers(senders), receivers=senders_or_receivers(receivers), case=case,
                pairs=pairs, feature=feature, sparsity=sparsity,
                sparsities=_shares(sparsities), seeds=range(seed, seed + seeds),
                search_steps=search_steps,
                max_per_case=max_per_case, mean_examples=mean_examples, seed=seed,
            ),
            steps=None if steps is None else _numbers(steps),
            resume=resume,
            executor=executor,
            threads=threads,
        )  # fmt: skip
    sizes = found.effective_sizes(data) if analysis == "subnetworks" else None
    shown = written(
        found, out, _sizes_by_step(sizes) if sizes else _by_step(found)
    )  # before the figure, which may fail
    if figure is not None:
        (hc.figures.effective_size(sizes) if sizes else hc.figures.over_training(found)).write(figure)
    return shown


def _numbers(text: str) -> list[int]:
    """The steps in a comma-separated text. Raises `HCError` for anything else."""
    parts = names(text) or []
    if not parts or not all(part.isdecimal() for part in parts):
        raise HCError(f"--steps {text!r} was given. Expected steps of the series, comma separated, like 0,64,1024.")
    return [int(part) for part in parts]


def _shares(text: str | None) -> dict[str, list[float]]:
    """`sparsities` from a comma-separated text, or nothing. Raises `HCError` for what is no number."""
    try:
        return {} if text is None else {"sparsities": [float(part) for part in names(text) or []]}
    except ValueError:
        raise HCError(
            f"--sparsities {text!r} was given. Expected shares of components removed, like 0.1,0.5,0.9."
        ) from None


def _analysis(name: str, task: Any, core: Any, generalizing: Any, **given: Any) -> Callable[[Any], Any]:
    """The analysis of this name, one of `Analysis`."""
    make, seed = hc.analyses, given["seed"]
    search = {"seeds": given["seeds"], "steps": given["search_steps"]}
    made: dict[str, Callable[[], Any]] = {
        "accuracy": lambda: make.accuracy(task, max_per_case=given["max_per_case"], seed=seed),
        "masks": lambda: make.masks(task, given["sparsity"], **search),
        "core": lambda: make.core(task, given["sparsity"], **search),
        "subnetworks": lambda: make.subnetworks(
            task, **given["sparsities"], max_per_case=given["max_per_case"], mean_examples=given["mean_examples"],
            **search,
        ),
        "generalizing": lambda: make.generalizing(task, core, max_pairs=8 * given["pairs"], seed=seed),
        "premises": lambda: make.premises(
            task, core, generalizing, heuristic=task.heuristic_of(given["case"]), seed=seed,
            max_per_case=given["max_per_case"], mean_examples=given["mean_examples"],
        ),
        "reading": lambda: make.reading(task, core, generalizing, given["case"], pairs=given["pairs"], seed=seed),
        "paths": lambda: make.paths(
            task.contrast_pairs(given["case"], kind="order", split="test").sample(given["pairs"], seed),
            given["senders"], given["receivers"], seed=seed,
        ),
        "probes": lambda: make.probes(split(task, "overlap").sample(given["max_per_case"], seed), given["feature"]),
        "attention": lambda: make.attention(split(task, "validation").sample(given["max_per_case"], seed)),
    }  # fmt: skip
    return made[name]()


def _by_step(found: Any) -> Any:
    """The trajectory with a row for each item and a column for each step."""
    wide = found.trajectory().pivot_table(index="item", columns="step", values="value", sort=False)
    return wide[sorted(wide.columns)].reset_index()


def _sizes_by_step(sizes: Any) -> Any:
    """A row for each group of cases and a column for each step: the mean size over seeds, in % of components kept."""
    import pandas as pd

    frames = [found.by_step().set_index("step")["size"].rename(name) for name, found in sizes.items()]
    return pd.concat(frames, axis=1).T.rename_axis("components kept, %").reset_index()
