"""The commands `probe` and `reads-from`, which call `hc.fit_probe` and `hc.reads_from`."""

from typing import Annotated

import typer

import hc_interp as hc
from hc_interp.cli.inputs import cut_paths, heads_in, load, site_named, source, split
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
    site: Annotated[str, typer.Option(help="Site whose activations are probed, like L3H7.v, L3.resid_post or pooled.")],
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    feature: Annotated[
        str, typer.Option(help="Feature that the probe predicts (hc.features.FEATURES lists them).")
    ] = "token_overlap",
    cut: Annotated[
        str | None,
        typer.Option(
            help="Heads whose paths to the site's head are cut (they send their means), like core.json or L2H9,L3H4."
        ),
    ] = None,
    examples: Annotated[int, option("probe_examples")] = DEFAULT.probe_examples,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Fit a linear probe for a feature at a site, and its controls (hc.fit_probe)."""
    probed = site_named(site)
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long)
    interventions = []
    if cut:
        interventions = [cut_paths(cut, probed, source("means", loaded, data, mean_examples, seed))]
    sample = split(data, "overlap").sample(examples, seed)
    return written(hc.fit_probe(loaded, sample, probed, feature, interventions=interventions, seed=seed), out)


@command("reads-from", panel="Step by step")
def reads_from(
    model: Model,
    task: TaskName,
    core: Core,
    generalizing: Annotated[
        str,
        typer.Option(help="The generalizing heads: a result's file, like generalizing.json, or heads, like L4H1,L5H0."),
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
    alpha: Annotated[float, typer.Option(help="Significance level of the test.", min=0, max=1)] = 0.05,
    mean_examples: MeanExamples = DEFAULT.mean_examples,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Test whether the generalizing heads read from the core, and give the verdict (hc.reads_from).

    The test uses held-out pairs of every kind.
    """
    core_heads, generalizing_heads = heads_in(core), heads_in(generalizing)
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long)
    sample, means = data.test_pairs(case, pairs, seed), source("means", loaded, data, mean_examples, seed)
    verdict = hc.reads_from(
        loaded, sample, core=core_heads, generalizing=generalizing_heads, means=means, n_permutations=permutations,
        margin=margin, alpha=alpha, seed=seed,
    )  # fmt: skip
    shown = written(verdict, out)
    return Shown(
        {**shown.record, "answer": verdict.answer, "reason": verdict.reason, "sentence": verdict.sentence()},
        f"{verdict.sentence()}\nwritten to {out}",
    )
