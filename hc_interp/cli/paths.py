"""`hc-interp patch` and `join`: over `hc.path_effects` and `PathEffects.join`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import hc_interp as hc
from hc_interp.cli.inputs import ends, load
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
    Seed,
    TaskName,
    TooLong,
)
from hc_interp.cli.shell import command, kept_in_folder
from hc_interp.cli.show import Shown, written

ENDS = "heads, mlps, embed, output, names like L2H9, comma separated; or a result's file, like core.json."
COLUMNS = ["sender", "receiver", "through", "effect", "low", "high", "share", "node_share", "response", "method"]


@command("patch", panel="Step by step", interrupted=kept_in_folder("blocks"))
def patch(
    model: Model,
    task: TaskName,
    out: Out,
    data_dir: DataDir = None,
    labels: Labels = None,
    device: Device = None,
    dtype: Dtype = None,
    too_long: TooLong = "refuse",
    senders: Annotated[str, typer.Option(help=ENDS)] = "heads",
    receivers: Annotated[str, typer.Option(help=ENDS)] = "heads",
    through: Annotated[str, typer.Option(help="Some of q, k, v together, like qk; or each.")] = "qkv",
    route: Annotated[Literal["direct", "mlps", "all"], typer.Option(help="What recomputes on the way.")] = "direct",
    method: Annotated[
        Literal["exact", "attribution", "auto"], typer.Option(help="Measured, estimated, or the strongest measured.")
    ] = "exact",
    case: Case = DEFAULT.case,
    kind: Annotated[str, typer.Option(help="order or overlap.", rich_help_panel=PAIRS)] = "order",
    split: Annotated[
        Literal["select", "test"], typer.Option(help="Half of the pairs.", rich_help_panel=PAIRS)
    ] = "test",
    pairs: Annotated[int, typer.Option(help="How many pairs.", min=1, rich_help_panel=PAIRS)] = 64,
    memory_mib: Annotated[int, typer.Option(help="Working memory, in MiB.", min=1, rich_help_panel=WORK)] = 1024,
    resume: Annotated[
        Path | None, typer.Option(help="Folder for finished blocks: start again where it ended.", rich_help_panel=WORK)
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="i/N: this part of the paths alone; see hc-interp join.", rich_help_panel=WORK)
    ] = None,
    seed: Seed = DEFAULT.seed,
) -> Shown:
    """Path effects of every sender on every receiver (hc.path_effects); on a cluster, one --shard i/N a job."""
    loaded, data = load(model, task, data_dir, labels, device, dtype, too_long)
    chosen = data.contrast_pairs(case, kind=kind, split=split).sample(pairs, seed)
    effects = hc.path_effects(
        loaded, chosen, ends(senders), ends(receivers), through,
        route=route, method=method, memory_mib=memory_mib, resume=resume, shard=shard, seed=seed,
    )  # fmt: skip
    return written(effects, out, effects.top(10)[COLUMNS])


@command("join", panel="Step by step")
def join(
    parts: Annotated[list[Path], typer.Argument(help="The files that hc-interp patch --shard i/N wrote, all N.")],
    out: Out,
) -> Shown:
    """Put the shards of one sweep together."""
    effects = hc.PathEffects.join([hc.PathEffects.load(part) for part in parts])
    return written(effects, out, effects.top(10)[COLUMNS])
