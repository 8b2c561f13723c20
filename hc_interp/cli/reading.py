"""`hc-interp probe` and `reads-from`: what travels, and the verdict."""

from typing import Annotated

import typer

import hc_interp as hc
from hc_interp.cli.inputs import cut_paths, heads_in, load, site_named, source, split
from hc_interp.cli.options import (
    DEFAULT,
    FIELDS,
    Case,
    CoreFile,
    DataDir,
    Device,
    Dtype,
    Labels,
    MeanExamples,
    Model,
    Out,
    Seed,
    TaskName,
    TooLong,
    option,
)  # fmt: skip
from hc_interp.cli.shell import command
from hc_interp.cli.show import Shown, written


@command("probe", panel="Step by step")
def probe(
    model: Model,
    task: TaskName,
    site: Annotated[str, typer.Option(help="Where to read, like L3H7.v, L3.resid_post or pooled.")],
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    feature: Annotated[str, typer.Option(help="What to read.")] = "token_overlap",
    cut: Annotated[
        str | None,
        typer.Option(
            help="Read with these heads' paths to the site's head cut (set to means): core.json, or L2H9,L3H4."
        ),
    ] = None,
    examples: Annotated[int, option("probe_examples")] = DEFAULT.probe_examples,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Whether a feature can be read linearly at a site, beside its controls (hc.fit_probe)."""
    place = site_named(site)
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long)
    interventions = []
    if cut:
        interventions = [cut_paths(cut, place, source("means", loaded, data, mean_examples, seed))]
    read = split(data, "overlap").sample(examples, seed)
    return written(hc.fit_probe(loaded, read, place, feature, interventions=interventions, seed=seed), out)


@command("reads-from", panel="Step by step")
def reads_from(
    model: Model,
    task: TaskName,
    core: CoreFile,
    generalizing: Annotated[
        str, typer.Option(help="The generalizing heads: a result's file, like generalizing.json, or heads.")
    ],
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    case: Case = DEFAULT.case,
    pairs: Annotated[int, option("test_pairs")] = DEFAULT.test_pairs,
    permutations: Annotated[int, option("permutations")] = DEFAULT.permutations,
    margin: Annotated[float, option("margin"), FIELDS["margin"]] = DEFAULT.margin,
    alpha: Annotated[float, typer.Option(help="Level of the test.", min=0, max=1)] = 0.05,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """The verdict: do the generalizing heads read from the core? On test pairs of every kind (hc.reads_from)."""
    heads = heads_in(core), heads_in(generalizing)
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long)
    chosen, means = data.test_pairs(case, pairs, seed), source("means", loaded, data, mean_examples, seed)
    verdict = hc.reads_from(
        loaded, chosen, core=heads[0], generalizing=heads[1], means=means, n_permutations=permutations, margin=margin,
        alpha=alpha, seed=seed,
    )  # fmt: skip
    shown = written(verdict, out)
    return Shown(
        {**shown.record, "answer": verdict.answer, "reason": verdict.reason, "sentence": verdict.sentence()},
        f"{verdict.sentence()}\nwritten to {out}",
    )
