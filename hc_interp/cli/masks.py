"""`hc-interp search`, `evaluate`, `core` and `generalizing`: subnetworks, and what they have in common."""

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
    CoreFile,
    DataDir,
    Device,
    Dtype,
    Labels,
    MeanExamples,
    Model,
    Out,
    Replace,
    Seed,
    TaskName,
    TooLong,
    option,
)  # fmt: skip
from hc_interp.cli.shell import command, kept_in_folder
from hc_interp.cli.show import Shown, written

STEPS = "Step by step"
Searches = Annotated[list[Path], typer.Argument(help="Files of hc-interp search, or single subnetworks.")]


@command("search", panel=STEPS, interrupted=kept_in_folder("searches"))
def search(
    model: Model,
    task: TaskName,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    sparsity: Annotated[
        list[float],
        typer.Option(help="Share of components removed; give it several times for a grid."),
        FIELDS["sparsity"],
    ] = [DEFAULT.sparsity],  # noqa: B006  (read only)
    seeds: Annotated[int, option("seeds")] = DEFAULT.seeds,
    seed: Seed = DEFAULT.seed,
    components: Annotated[Literal["heads+mlps", "heads"], typer.Option(help="What may be removed.")] = "heads+mlps",
    objective: Annotated[
        Literal["kl", "task"], typer.Option(help="kl: answer as the full model does; task: answer correctly.")
    ] = "kl",
    replace: Replace = "means",
    steps: Annotated[int, option("search_steps")] = DEFAULT.search_steps,
    exchanges: Annotated[int, option("exchanges")] = DEFAULT.exchanges,
    resume: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished searches and is read when you run this again.")
    ] = None,
    train_examples: Annotated[int, option("train_examples")] = DEFAULT.train_examples,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
) -> Shown:
    """Search subnetworks that answer as the full model does, one for each seed (hc.search_masks)."""
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long)
    found = hc.search_masks(
        loaded, split(data, "train").sample(train_examples, seed), sparsity, range(seed, seed + seeds),
        source(replace, loaded, data, mean_examples, seed), components=components, objective=objective, steps=steps,
        exchanges=exchanges, resume=resume,
    )  # fmt: skip
    return written(found, out)


@command("evaluate", panel=STEPS)
def evaluate(
    model: Model,
    task: TaskName,
    out: Out,
    subnetworks: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of hc-interp search, or single subnetworks; none: the full model."),
    ] = None,
    data_dir: DataDir = None,
    labels: Labels = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    cases: Annotated[str | None, typer.Option(help="Cases, comma separated (default: all of the task's).")] = None,
    max_per_case: Annotated[
        int | None,
        typer.Option(help="At most so many examples of each case (default: all).", min=1, rich_help_panel=WORK),
    ] = None,
    replace: Replace = "means",
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Accuracy of the full model and of subnetworks, in domain and case by case (hc.evaluate)."""
    named = subnetworks_of(subnetworks or [])
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long)
    means = source(replace, loaded, data, mean_examples, seed) if named else None
    found = hc.evaluate(
        loaded, data, named or None, means, cases=names(cases), max_per_case=max_per_case, seed=seed
    )  # fmt: skip
    return written(found, out, _by_case(found))


def _by_case(found: Any) -> Any:
    """A row per split: the full model, and the worst and best of its subnetworks."""
    import pandas as pd

    table = {split: found.accuracy(split) for split in found.splits}
    rows: list[dict[str, Any]] = [{"split": split, "full model": values[0]} for split, values in table.items()]
    if len(found.names) > 1:
        for row, values in zip(rows, table.values(), strict=True):
            row |= {"worst subnetwork": values[1:].min(), "best subnetwork": values[1:].max()}
    return pd.DataFrame(rows)


@command("core", panel=STEPS)
def core(
    searches: Searches,
    out: Out,
    share: Annotated[float, typer.Option(help="Share of subnetworks that keep a component of the core.", max=1)] = 1.0,
) -> Shown:
    """The components that subnetworks share: the heuristic core (hc.heuristic_core)."""
    found = hc.heuristic_core(subnetworks_of(searches).values(), share)
    frame = found.to_frame()
    return written(found, out, frame[frame["in_core"]])


@command("generalizing", panel=STEPS)
def generalizing(
    model: Model,
    task: TaskName,
    core: CoreFile,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    method: Annotated[
        Literal["contrast", "presence", "ablation"],
        typer.Option(help="Evidence: effect on order pairs, presence in subnetworks, or ablation."),
    ] = "contrast",
    kinds: Annotated[str, option("kinds")] = DEFAULT.kinds,
    searches: Annotated[
        list[Path] | None, typer.Option(help="For --method presence: files of hc-interp search.")
    ] = None,
    cases: Annotated[str | None, typer.Option(help="Cases, comma separated (default: all of the task's).")] = None,
    margin: Annotated[float, typer.Option(help="Smallest effect that counts.", min=0, max=1)] = 0.01,
    alpha: Annotated[float, typer.Option(help="Largest q (Benjamini-Hochberg).", min=0, max=1)] = 0.05,
    max_pairs: Annotated[int, typer.Option(help="Pairs, or examples.", min=1, rich_help_panel=PAIRS)] = 512,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """The heads outside the core that carry generalization, on data that the verdict does not use
    (hc.generalizing_heads)."""
    heads = heads_in(core)
    subnetworks = subnetworks_of(searches or [])
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long)
    means = None if method == "contrast" else source("means", loaded, data, mean_examples, seed)
    found = hc.generalizing_heads(
        loaded, data, core=heads, found=list(subnetworks.values()) or None, means=means, cases=names(cases),
        method=method, kinds=names(kinds) or (), margin=margin, alpha=alpha, max_pairs=max_pairs, seed=seed,
    )  # fmt: skip
    frame = found.to_frame()
    return written(found, out, frame[frame["passes"]])
