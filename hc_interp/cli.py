"""`hc-interp`: the command line. Each command is a thin shell over one public function."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="hc-interp",
    help="Do generalizing heads read from heuristic heads? Mask search, exact path patching, probes, and a verdict.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Option(help="zoo:<name>, a folder that save_pretrained wrote, or a hub id.")]
TaskName = Annotated[str, typer.Option(help="mnli-hans, qqp-paws or overlap-grammar.")]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
DataDir = Annotated[str | None, typer.Option(help="Folder with the data files, or 'hub'.")]
Labels = Annotated[str | None, typer.Option(help="Class names in logit order, comma separated.")]
ENDS = "heads, mlps, embed, output, or names like L2H9; comma separated."


@app.command()
def run(
    model: Model,
    task: TaskName,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    case: Annotated[
        str | None,
        typer.Option(help="Case whose pairs are patched; see hc-interp tasks (default: subject/object swap)."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Subnetworks to search (default 6).", min=1)] = None,
    sparsity: Annotated[float | None, typer.Option(help="Share of components removed (default 0.5).")] = None,
    pairs: Annotated[int | None, typer.Option(help="Test pairs of each kind (default 128).", min=1)] = None,
    permutations: Annotated[int | None, typer.Option(help="Relabellings of the null (default 199).", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")] = False,
) -> None:
    """From a checkpoint to a verdict: subnetworks, core, generalizing heads, paths, probes, figures, report.html."""
    from dataclasses import replace

    from hc_interp.pipeline import RunSettings

    given = {
        "case": case, "seeds": seeds, "sparsity": sparsity, "test_pairs": pairs, "permutations": permutations,
        "seed": seed,
    }  # fmt: skip
    settings = replace(RunSettings(), **{name: value for name, value in given.items() if value is not None})
    _run(model, task, out, settings, data_dir=data_dir, labels=_names(labels), overwrite=overwrite)


@app.command()
def demo(out: Out = Path("runs/demo")) -> None:
    """The same run on a model and a grammar that come with the package, offline, in a few minutes; replaces OUT."""
    from hc_interp.pipeline import DEMO

    _run("zoo:minilm-nli", "overlap-grammar", out, DEMO, overwrite=True)


@app.command()
def patch(
    model: Model,
    task: TaskName,
    out: Annotated[Path, typer.Option(help="File for the result, read again by hc.PathEffects.load.")],
    data_dir: DataDir = None,
    labels: Labels = None,
    case: Annotated[str, typer.Option(help="Case whose pairs are patched.")] = "lexical_overlap_ln_subject/object_swap",
    kind: Annotated[str, typer.Option(help="order or overlap.")] = "order",
    split: Annotated[str, typer.Option(help="select or test.")] = "test",
    pairs: Annotated[int, typer.Option(help="How many pairs.", min=1)] = 64,
    senders: Annotated[str, typer.Option(help=ENDS)] = "heads",
    receivers: Annotated[str, typer.Option(help=ENDS)] = "heads",
    through: Annotated[str, typer.Option(help="Some of q, k, v together, like qk; or each.")] = "qkv",
    route: Annotated[str, typer.Option(help="direct, mlps or all.")] = "direct",
    method: Annotated[str, typer.Option(help="exact, attribution, or auto.")] = "exact",
    memory_mib: Annotated[int, typer.Option(help="Working memory, in MiB.", min=1)] = 1024,
    resume: Annotated[Path | None, typer.Option(help="Folder for finished blocks: start again where it ended.")] = None,
    shard: Annotated[str | None, typer.Option(help="i/N: this part of the paths alone; see hc-interp join.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
) -> None:
    """Path effects of every sender on every receiver; on a cluster, one --shard i/N a job, then hc-interp join."""
    import hc_interp as hc
    from hc_interp.patching.rows import ends_named

    loaded = hc.load(model, labels=_names(labels))
    chosen = hc.load_task(task, data_dir=data_dir).contrast_pairs(case, kind=kind, split=split).sample(pairs, seed)
    effects = hc.path_effects(
        loaded, chosen, ends_named(senders, loaded), ends_named(receivers, loaded), through,
        route=route, method=method, memory_mib=memory_mib, resume=resume, shard=shard, seed=seed,
    )  # fmt: skip
    _say_effects(effects, effects.save(out))


@app.command()
def join(
    parts: Annotated[list[Path], typer.Argument(help="The files that hc-interp patch --shard i/N wrote, all N.")],
    out: Annotated[Path, typer.Option(help="File for the whole result.")],
) -> None:
    """Put the shards of one sweep together."""
    from hc_interp.patching.effects import PathEffects

    effects = PathEffects.join([PathEffects.load(part) for part in parts])
    _say_effects(effects, effects.save(out))


@app.command()
def models() -> None:
    """The models of the zoo."""
    from hc_interp.models.zoo import ZOO

    for name, entry in ZOO.items():
        typer.echo(f"zoo:{name}  {entry.description}")


@app.command()
def tasks() -> None:
    """The tasks, the files that each reads from --data-dir, and the cases that have contrast pairs (for --case)."""
    from hc_interp.data.grammar import CASES
    from hc_interp.data.load import TABLES, TASKS
    from hc_interp.data.pair_rules import pair_kinds

    for name, description in TASKS.items():
        typer.echo(f"{name}\n  {description}")
        for table in TABLES[name]:
            typer.echo(f"  {table.file}.parquet: {', '.join(table.columns)}")
    typer.echo("\nCases with contrast pairs (mnli-hans and overlap-grammar):")
    for case in CASES:
        typer.echo(f"  {case:<48} {', '.join(pair_kinds(case))}")


def _names(labels: str | None) -> list[str] | None:
    return [name.strip() for name in labels.split(",")] if labels else None


def _say_effects(effects, path: Path) -> None:
    columns = ["sender", "receiver", "through", "effect", "low", "high", "share", "node_share", "response", "method"]
    typer.echo(effects.top(10)[columns].to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    typer.echo(f"{effects!r}\nwritten to {path}")


def _run(model: str, task: str, out: Path, settings, **options) -> None:
    from hc_interp.pipeline import run as run_all
    from hc_interp.summary import summary

    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(f"[bold]{line}[/bold]")

    try:
        results = run_all(model, task, out, settings=settings, say=say, **options)
    except KeyboardInterrupt:
        typer.echo(
            "hc-interp: interrupted; what was finished is kept, and the manifest says how far it came.", err=True
        )
        raise typer.Exit(130) from None
    Console().print(summary(results, out))


def main() -> None:
    """Entry point: an error that a user can mend is one paragraph and exit code 2."""
    from hc_interp.errors import HCError

    try:
        app()
    except HCError as error:
        typer.echo(f"hc-interp: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo(
            "hc-interp: interrupted; what was finished is kept, and the manifest says how far it came.", err=True
        )
        sys.exit(130)


if __name__ == "__main__":
    main()
