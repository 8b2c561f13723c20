"""The commands `search`, `subnetworks`, `extremes`, `evaluate`, `core` and `generalizing`: subnetworks and heads."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import hc_interp as hc
from hc_interp.cli.inputs import heads_in, load, names, source, split, subnetworks_of
from hc_interp.cli.options import (
    DEFAULT,
    FIELDS,
    PAIRS,
    WORK,
    Cases,
    Core,
    DataDir,
    Device,
    Dtype,
    Labels,
    MeanExamples,
    Model,
    Out,
    ReadAt,
    Replace,
    Seed,
    TaskName,
    Template,
    TooLong,
    option,
)  # fmt: skip
from hc_interp.cli.shell import command, kept_in_folder
from hc_interp.cli.show import Shown, written
from hc_interp.cli.workers import DryRun, Jobs, On, Threads, pieces_folder, workers
from hc_interp.extremes.defaults import FRESH_ROWS, LABELINGS, ROUNDS, SELECT_ROWS
from hc_interp.search.defaults import CHAINS, ROWS, SWEEPS, WARM_UP

PANEL = "Step by step"
Searches = Annotated[
    list[Path],
    typer.Argument(help="Files that hc-interp search or subnetworks wrote, or files of single subnetworks."),
]


@command("search", panel=PANEL, interrupted=kept_in_folder("searches"))
def search(
    model: Model,
    task: TaskName,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    sparsity: Annotated[
        list[float],
        typer.Option(help="Share of components removed. Repeat the option for several sparsities."),
        FIELDS["sparsity"],
    ] = [DEFAULT.sparsity],  # noqa: B006  (read only)
    seeds: Annotated[int, option("seeds")] = DEFAULT.seeds,
    seed: Seed = DEFAULT.seed,
    components: Annotated[
        Literal["heads+mlps", "heads"], typer.Option(help="Components that may be removed.")
    ] = "heads+mlps",
    objective: Annotated[
        Literal["kl", "task"],
        typer.Option(help="What a subnetwork is searched for: the full model's answers (kl) or correct ones (task)."),
    ] = "kl",
    replace: Replace = "means",
    steps: Annotated[int, option("search_steps")] = DEFAULT.search_steps,
    exchanges: Annotated[int, option("exchanges")] = DEFAULT.exchanges,
    resume: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished searches. The same command then does only the rest.")
    ] = None,
    train_examples: Annotated[int, option("train_examples")] = DEFAULT.train_examples,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    on: On = "here",
    jobs: Jobs = None,
    threads: Threads = 1,
    dry_run: DryRun = False,
) -> Shown:
    """Search subnetworks that answer as the full model does, one for each sparsity and seed (hc.search_masks)."""
    resume = pieces_folder(on, resume, out)
    with workers(on, jobs, threads, resume, dry_run) as executor:
        loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
        result = hc.search_masks(
            loaded, split(data, "train").sample(train_examples, seed), sparsity, range(seed, seed + seeds),
            source(replace, loaded, data, mean_examples, seed), components=components, objective=objective, steps=steps,
            exchanges=exchanges, resume=resume, executor=executor, threads=threads,
        )  # fmt: skip
    return written(result, out)


@command("subnetworks", panel=PANEL, interrupted=kept_in_folder("blocks of the sample"))
def subnetworks(
    model: Model,
    task: TaskName,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    sparsity: Annotated[float, typer.Option(help="Share of components removed.")] = DEFAULT.sparsity,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="How far the loss of a subnetwork may lie above the best (default: the loss at which in-domain "
            "accuracy falls by a point, and at least 3 standard errors)."
        ),
    ] = None,
    chains: Annotated[int, typer.Option(help="Number of independent chains.", min=2)] = CHAINS,
    sweeps: Annotated[int, typer.Option(help="Moves of every chain that are recorded.", min=10)] = SWEEPS,
    warm_up: Annotated[int, typer.Option(help="Moves of every chain before that.", min=10)] = WARM_UP,
    rows: Annotated[int, typer.Option(help="Number of examples that define the loss.", min=16)] = ROWS,
    seed: Seed = DEFAULT.seed,
    components: Annotated[
        Literal["heads+mlps", "heads"], typer.Option(help="Components that may be removed.")
    ] = "heads+mlps",
    replace: Replace = "means",
    resume: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished parts. The same command then does only the rest.")
    ] = None,
    train_examples: Annotated[int, option("train_examples")] = DEFAULT.train_examples,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    on: On = "here",
    jobs: Jobs = None,
    threads: Threads = 1,
    dry_run: DryRun = False,
) -> Shown:
    """Sample all good subnetworks of a size, and the core that they really share (hc.sample_subnetworks)."""
    resume = pieces_folder(on, resume, out)
    with workers(on, jobs, threads, resume, dry_run) as executor:
        loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
        sample = hc.sample_subnetworks(
            loaded, split(data, "train").sample(train_examples, seed), sparsity, epsilon, chains,
            source(replace, loaded, data, mean_examples, seed), seed, resume, components=components, rows=rows,
            warm_up=warm_up, sweeps=sweeps, executor=executor, threads=threads,
        )  # fmt: skip
    frame = sample.to_frame()
    return written(sample, out, frame[frame["in_core"]])


@command("extremes", panel=PANEL, interrupted=kept_in_folder("rounds of the search"))
def extremes(
    model: Model,
    task: TaskName,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    heuristic: Annotated[
        str | None,
        typer.Option(help="Heuristic whose cases are told apart (default: the only one, or lexical_overlap)."),
    ] = None,
    sparsity: Annotated[float, typer.Option(help="Share of components removed.")] = DEFAULT.sparsity,
    epsilon: Annotated[
        float | None, typer.Option(help="How far the loss of an end may lie above the best (default: see subnetworks).")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds in which every search proposes masks.", min=1)] = ROUNDS,
    permutations: Annotated[
        int, typer.Option(help="Searches with permuted labels, beyond which an end counts.", min=20)
    ] = LABELINGS,
    max_per_case: Annotated[
        int, typer.Option(help="Largest number of examples of a case on which ends are searched.", min=5)
    ] = SELECT_ROWS,
    fresh: Annotated[
        int, typer.Option(help="Largest number of validation examples on which the ends are compared.", min=2)
    ] = FRESH_ROWS,
    rows: Annotated[int, typer.Option(help="Number of examples that define the loss.", min=16)] = ROWS,
    seed: Seed = DEFAULT.seed,
    components: Annotated[
        Literal["heads+mlps", "heads"], typer.Option(help="Components that may be removed.")
    ] = "heads+mlps",
    replace: Replace = "means",
    resume: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished rounds. The same command then does only the rest.")
    ] = None,
    train_examples: Annotated[int, option("train_examples")] = DEFAULT.train_examples,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    on: On = "here",
    jobs: Jobs = None,
    threads: Threads = 1,
    dry_run: DryRun = False,
) -> Shown:
    """Find the good subnetworks that generalize least and most (hc.search_extremes)."""
    resume = pieces_folder(on, resume, out)
    with workers(on, jobs, threads, resume, dry_run) as executor:
        loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
        found = hc.search_extremes(
            loaded, split(data, "train").sample(train_examples, seed), data, heuristic, sparsity, epsilon,
            source(replace, loaded, data, mean_examples, seed), seed, resume, components=components, rounds=rounds,
            permutations=permutations, max_per_case=max_per_case, fresh=fresh, rows=rows, executor=executor,
            threads=threads,
        )  # fmt: skip
    return written(found, out)


@command("evaluate", panel=PANEL)
def evaluate(
    model: Model,
    task: TaskName,
    out: Out,
    subnetworks: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files that hc-interp search or subnetworks wrote, or files of single subnetworks (none: full model "
            "only)."
        ),
    ] = None,
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    cases: Cases = None,
    max_per_case: Annotated[
        int | None,
        typer.Option(help="Largest number of examples of each case (default: all).", min=1, rich_help_panel=WORK),
    ] = None,
    replace: Replace = "means",
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Measure the accuracy of the full model and of subnetworks, in domain and case by case (hc.evaluate)."""
    named = subnetworks_of(subnetworks or [])
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
    means = source(replace, loaded, data, mean_examples, seed) if named else None
    evaluation = hc.evaluate(
        loaded, data, named or None, means, cases=names(cases), max_per_case=max_per_case, seed=seed
    )  # fmt: skip
    return written(evaluation, out, _by_case(evaluation))


def _by_case(evaluation: "hc.Evaluation") -> Any:
    """A table with a row for each split: the accuracy of the full model, and of its worst and best subnetwork."""
    import pandas as pd

    table = {split: evaluation.accuracy(split) for split in evaluation.splits}
    rows: list[dict[str, Any]] = [{"split": split, "full model": values[0]} for split, values in table.items()]
    if len(evaluation.names) > 1:
        for row, values in zip(rows, table.values(), strict=True):
            row |= {"worst subnetwork": values[1:].min(), "best subnetwork": values[1:].max()}
    return pd.DataFrame(rows)


@command("core", panel=PANEL)
def core(
    searches: Searches,
    out: Out,
    share: Annotated[
        float, typer.Option(help="Smallest share of the subnetworks that must keep a component of the core.", max=1)
    ] = 1.0,
) -> Shown:
    """Find the heuristic core: the components that subnetworks share (hc.heuristic_core)."""
    for result in map(hc.read, searches):
        if isinstance(result, hc.MaskSearch):
            result.warn_of_far()
    result = hc.heuristic_core(subnetworks_of(searches).values(), share)
    frame = result.to_frame()
    return written(result, out, frame[frame["in_core"]])


@command("generalizing", panel=PANEL)
def generalizing(
    model: Model,
    task: TaskName,
    core: Core,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    method: Annotated[
        Literal["contrast", "presence", "ablation"],
        typer.Option(
            help="Evidence that a head generalizes: its effect on contrast pairs, larger than on overlap pairs "
            "(contrast), the accuracy of the subnetworks that keep it (presence), or the accuracy that its ablation "
            "costs (ablation)."
        ),
    ] = "contrast",
    kinds: Annotated[str, option("kinds")] = DEFAULT.kinds,
    searches: Annotated[
        list[Path] | None, typer.Option(help="Files that hc-interp search wrote, for --method presence.")
    ] = None,
    cases: Cases = None,
    margin: Annotated[
        float,
        typer.Option(
            help="Smallest effect of a head that passes: a share of the total effect (contrast), or a difference of "
            "accuracies (presence, ablation).",
            min=0,
            max=1,
        ),
    ] = 0.01,
    alpha: Annotated[
        float, typer.Option(help="Largest q value (Benjamini-Hochberg) of a head that passes.", min=0, max=1)
    ] = 0.05,
    max_pairs: Annotated[
        int, typer.Option(help="Largest number of pairs, or of examples, used.", min=1, rich_help_panel=PAIRS)
    ] = 512,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Find the heads outside the core that carry generalization (hc.generalizing_heads).

    The heads are chosen on data that the verdict does not use.
    """
    heads = heads_in(core)
    subnetworks = subnetworks_of(searches or [])
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
    means = None if method == "contrast" else source("means", loaded, data, mean_examples, seed)
    result = hc.generalizing_heads(
        loaded, data, core=heads, found=list(subnetworks.values()) or None, means=means, cases=names(cases),
        method=method, kinds=names(kinds) or (), margin=margin, alpha=alpha, max_pairs=max_pairs, seed=seed,
    )  # fmt: skip
    frame = result.to_frame()
    return written(result, out, frame[frame["passes"]])
