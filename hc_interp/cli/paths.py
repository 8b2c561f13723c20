"""The commands `patch` and `join`, which call `hc.path_effects` and `PathEffects.join`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import hc_interp as hc
from hc_interp.cli.inputs import load, names, senders_or_receivers
from hc_interp.cli.options import (
    DEFAULT,
    PAIRS,
    WORK,
    Case,
    DataDir,
    Device,
    Dtype,
    Labels,
    Model,
    Out,
    ReadAt,
    Seed,
    TaskName,
    Template,
    TooLong,
)
from hc_interp.cli.shell import command, kept_in_folder
from hc_interp.cli.show import Shown, written
from hc_interp.cli.workers import DryRun, Jobs, On, Threads, pieces_folder, workers

SENDERS = "Components that send: heads, mlps, embed or names like L2H9, comma separated; or a result's file."
RECEIVERS = "Components that receive: heads, mlps, output or names like L3H7, comma separated; or a result's file."
TOP_COLUMNS = ["sender", "receiver", "through", "effect", "low", "high", "share", "node_share", "response", "method"]


@command("patch", panel="Step by step", interrupted=kept_in_folder("blocks"))
def patch(
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
    senders: Annotated[str, typer.Option(help=SENDERS)] = "heads",
    receivers: Annotated[str, typer.Option(help=RECEIVERS)] = "heads",
    through: Annotated[
        str, typer.Option(help="Inputs of the receivers: some of q, k, v, patched together, like qk; or each.")
    ] = "qkv",
    route: Annotated[
        Literal["direct", "mlps", "all"],
        typer.Option(
            help="What is recomputed between sender and receiver besides LayerNorms: nothing (direct), MLPs (mlps), or "
            "heads and MLPs (all)."
        ),
    ] = "direct",
    positions: Annotated[
        str | None,
        typer.Option(
            help="Roles at which senders and receivers stand: roles (every pair of the roles that all pairs have), or "
            "some of them, comma separated, like subject,last. Default: all positions together."
        ),
    ] = None,
    method: Annotated[
        Literal["exact", "attribution", "auto"],
        typer.Option(
            help="Patch every path (exact), estimate every path from gradients (attribution), or estimate all and then "
            "patch the strongest (auto)."
        ),
    ] = "exact",
    case: Case = DEFAULT.case,
    kind: Annotated[
        str,
        typer.Option(
            help="Kind of contrast pairs: order (words are moved) or overlap (a word is replaced).",
            rich_help_panel=PAIRS,
        ),
    ] = "order",
    split: Annotated[
        Literal["select", "test"],
        typer.Option(
            help="Half of the pairs: the one that selects heads, or the one that tests.", rich_help_panel=PAIRS
        ),
    ] = "test",
    pairs: Annotated[int, typer.Option(help="Number of pairs.", min=1, rich_help_panel=PAIRS)] = 64,
    memory_mib: Annotated[
        int, typer.Option(help="Largest working memory, in MiB.", min=1, rich_help_panel=WORK)
    ] = 1024,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps finished blocks of paths. The same command then does only the rest.",
            rich_help_panel=WORK,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="i/N: measure only the i-th of N parts of the paths; hc-interp join joins the parts.",
            rich_help_panel=WORK,
        ),
    ] = None,
    seed: Seed = DEFAULT.seed,
    on: On = "here",
    jobs: Jobs = None,
    threads: Threads = 1,
    dry_run: DryRun = False,
) -> Shown:
    """Measure the effect of the path from each sender into each receiver (hc.path_effects).

    A sender or receiver may stand at a role, like L2H9@subject. On a cluster, use --on slurm, or give each of N jobs of
    your own a --shard i/N.
    """
    resume = pieces_folder(on, resume, out)
    with workers(on, jobs, threads, resume, dry_run) as executor:
        loaded, data = load(model, task, data_dir, labels, device, dtype, too_long, template, read_at)
        sample = data.contrast_pairs(case, kind=kind, split=split).sample(pairs, seed)
        effects = hc.path_effects(
            loaded, sample, senders_or_receivers(senders), senders_or_receivers(receivers), through,
            route=route, method=method, positions="roles" if positions == "roles" else names(positions),
            memory_mib=memory_mib, resume=resume, shard=shard, seed=seed, executor=executor, threads=threads,
        )  # fmt: skip
    return written(effects, out, effects.top(10)[TOP_COLUMNS])


@command("join", panel="Step by step")
def join(
    parts: Annotated[list[Path], typer.Argument(help="All N files that hc-interp patch --shard i/N wrote.")],
    out: Out,
) -> Shown:
    """Join the parts of the paths that hc-interp patch --shard measured (hc.PathEffects.join)."""
    effects = hc.PathEffects.join([hc.PathEffects.load(part) for part in parts])
    return written(effects, out, effects.top(10)[TOP_COLUMNS])
