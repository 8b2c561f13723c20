"""`hc-interp probe` and `reads-from`: what travels, and the verdict."""

from typing import Annotated

import typer

from hc_interp.cli.options import (
    CASE,
    PAIRS,
    WORK,
    Case,
    CoreFile,
    DataDir,
    Labels,
    MeanExamples,
    Model,
    Out,
    Seed,
    TaskName,
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
    feature: Annotated[str, typer.Option(help="What to read.")] = "token_overlap",
    cut: Annotated[
        str | None,
        typer.Option(
            help="Read with these heads' paths to the site's head cut (set to means): core.json, or L2H9,L3H4."
        ),
    ] = None,
    examples: Annotated[int, typer.Option(help="Examples that the probe reads.", min=1, rich_help_panel=WORK)] = 1500,
    mean_examples: MeanExamples = 1000,
    seed: Seed = 0,
) -> Shown:
    """Whether a feature can be read linearly at a site, beside its controls (hc.fit_probe)."""
    import hc_interp as hc
    from hc_interp.cli.inputs import cut_paths, load, site_named, source, split

    place = site_named(site)
    loaded, data = load(model, task, data_dir, labels)
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
    case: Case = CASE,
    pairs: Annotated[int, typer.Option(help="Test pairs of each kind.", min=1, rich_help_panel=PAIRS)] = 128,
    permutations: Annotated[int, typer.Option(help="Relabellings of the null.", min=1, rich_help_panel=PAIRS)] = 199,
    margin: Annotated[
        float, typer.Option(help="Share of the node effect below which nothing counts as read.", min=0, max=1)
    ] = 0.05,
    alpha: Annotated[float, typer.Option(help="Level of the test.", min=0, max=1)] = 0.05,
    mean_examples: MeanExamples = 1000,
    seed: Seed = 0,
) -> Shown:
    """The verdict: do the generalizing heads read from the core? On test pairs of every kind (hc.reads_from)."""
    import hc_interp as hc
    from hc_interp.cli.inputs import heads_of, load, source, test_pairs

    heads = heads_of(core), heads_of(generalizing)
    loaded, data = load(model, task, data_dir, labels)
    means, donors = (source(kind, loaded, data, mean_examples, seed) for kind in ("means", "donors"))
    verdict = hc.reads_from(
        loaded, test_pairs(data, case, pairs, seed), core=heads[0], generalizing=heads[1], means=means, donors=donors,
        n_permutations=permutations, margin=margin, alpha=alpha, seed=seed,
    )  # fmt: skip
    shown = written(verdict, out)
    return Shown(
        {**shown.record, "answer": verdict.answer, "reason": verdict.reason, "sentence": verdict.sentence()},
        f"{verdict.sentence()}\nwritten to {out}",
    )
