"""The commands `probe`, `premises` and `reads-from`, which call the functions of these names."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.markup import escape

import hc_interp as hc
from hc_interp.cli.inputs import cut_ends, heads_in, load, site_named, source, split
from hc_interp.cli.options import (
    DEFAULT,
    FIELDS,
    Case,
    Core,
    DataDir,
    Device,
    Dtype,
    Labels,
    MeanExamples,
    Model,
    Out,
    ReadAt,
    Seed,
    TaskName,
    Template,
    TooLong,
    option,
)  # fmt: skip
from hc_interp.cli.shell import command, kept_in_folder
from hc_interp.cli.show import Shown, table_of, written
from hc_interp.cli.workers import DryRun, Jobs, On, Threads, pieces_folder, workers


@command("probe", panel="Step by step")
def probe(
    model: Model,
    task: TaskName,
    site: Annotated[str, typer.Option(help="Site whose activations are probed, like L3H7.v, L3.resid_post or pooled.")],
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    feature: Annotated[
        str, typer.Option(help="Feature that the probe predicts (hc.features.FEATURES lists them).")
    ] = "token_overlap",
    cut: Annotated[
        str | None,
        typer.Option(
            help="Heads whose paths to the site's head are cut (they send their means), like core.json or L2H9,L3H4."
        ),
    ] = None,
    random: Annotated[
        int, typer.Option(help="With --cut: draws of as many other heads, cut in their place (hc.probe_paths).", min=0)
    ] = 0,
    examples: Annotated[int, option("probe_examples")] = DEFAULT.probe_examples,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Fit a linear probe for a feature at a site, and its controls (hc.fit_probe).

    With --random the result has the scores in clean runs, with the paths cut, and with those of random heads cut.
    """
    probed = site_named(site)
    if random and not cut:
        raise HCError(f"--random {random} was given without --cut. Expected the heads that random ones stand beside.")
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
    sample = split(data, "overlap").sample(examples, seed)
    interventions = []
    if cut:
        heads, receiver = cut_ends(cut, probed)
        means = source("means", loaded, data, mean_examples, seed)
        if random:
            result = hc.probe_paths(
                loaded, sample, receiver, feature, senders=heads, source=means, inputs=(probed.kind,), n_random=random,
                seed=seed,
            )  # fmt: skip
            return written(result, out)
        interventions = [hc.PatchPath(heads, receiver, through=(probed.kind,), source=means, route="all")]
    return written(hc.fit_probe(loaded, sample, probed, feature, interventions=interventions, seed=seed), out)


Generalizing = Annotated[
    str, typer.Option(help="The generalizing heads: a result's file, like generalizing.json, or heads, like L4H1,L5H0.")
]
Sets = Annotated[int, option("comparison_sets")]
PremiseExamples = Annotated[int, option("premise_examples")]


@command("premises", panel="Step by step", interrupted=kept_in_folder("scores"))
def premises(
    model: Model,
    task: TaskName,
    core: Core,
    generalizing: Generalizing,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    heuristic: Annotated[
        str | None, typer.Option(help="Heuristic that the premises are about, like lexical_overlap.")
    ] = None,
    comparison_sets: Sets = DEFAULT.comparison_sets,
    premise_examples: PremiseExamples = DEFAULT.premise_examples,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    resume: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished scores. The same command then does only the rest.")
    ] = None,
    seed: Seed = DEFAULT.seed,
    on: On = "here",
    jobs: Jobs = None,
    threads: Threads = 1,
    dry_run: DryRun = False,
) -> Shown:
    """Check whether the model generalizes, the core is heuristic and the other heads matter (hc.premises)."""
    core_part, heads = heads_in(core), heads_in(generalizing)
    resume = pieces_folder(on, resume, out)
    with workers(on, jobs, threads, resume, dry_run) as executor:
        loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
        means = source("means", loaded, data, mean_examples, seed)
        found = hc.premises(
            loaded, data, core_part, heads, means, heuristic=heuristic, n_sets=comparison_sets,
            max_per_case=premise_examples, seed=seed, resume=resume, executor=executor, threads=threads,
        )  # fmt: skip
    shown = written(found, out)
    return Shown(
        {**shown.record, **found.answers, "sentence": found.sentence()}, f"{found.sentence()}\nwritten to {out}"
    )


@command("reads-from", panel="Step by step")
def reads_from(
    model: Model,
    task: TaskName,
    core: Core,
    generalizing: Generalizing,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    premises: Annotated[
        str | None,
        typer.Option(
            help="The file of hc-interp premises, or 'none': without premises the answer stays open (default: they are "
            "checked now)."
        ),
    ] = None,
    case: Case = DEFAULT.case,
    pairs: Annotated[int, option("test_pairs")] = DEFAULT.test_pairs,
    permutations: Annotated[int, option("permutations")] = DEFAULT.permutations,
    comparison_sets: Sets = DEFAULT.comparison_sets,
    premise_examples: PremiseExamples = DEFAULT.premise_examples,
    margin: Annotated[float, option("margin"), FIELDS["margin"]] = DEFAULT.margin,
    delta: Annotated[float, option("delta"), FIELDS["delta"]] = DEFAULT.delta,
    alpha: Annotated[float, typer.Option(help="Significance level of the test.", min=0, max=1)] = 0.05,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Test whether the generalizing heads read from the core, and give the verdict (hc.reads_from).

    The premises are checked first. The test uses held-out pairs of every kind, as they are and reversed.
    """
    core_part, heads = heads_in(core), heads_in(generalizing)
    checked = None if premises in (None, "none") else hc.Premises.load(premises)
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
    sample, means = data.test_pairs(case, pairs, seed), source("means", loaded, data, mean_examples, seed)
    if premises is None:
        checked = hc.premises(
            loaded, data, core_part, heads, means, heuristic=data.heuristic_of(case), n_sets=comparison_sets,
            max_per_case=premise_examples, seed=seed,
        )  # fmt: skip
    verdict = hc.reads_from(
        loaded, sample, core=core_part, generalizing=heads, premises=checked, means=means, n_permutations=permutations,
        margin=margin, delta=delta, alpha=alpha, seed=seed,
    )  # fmt: skip
    shown = written(verdict, out)
    record = {"answer": verdict.answer, "reason": verdict.reason, "sentence": verdict.sentence()}
    return Shown(
        {**shown.record, **record, "reading": verdict.reading, "premises": verdict.premise_words},
        Group(escape(verdict.sentence()), table_of(verdict.numbers()), f"written to {out}"),
    )
