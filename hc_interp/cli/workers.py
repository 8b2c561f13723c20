"""`--on` and `--jobs`: where a command's pieces are made, with the tables `[slurm]` and `[dask]` of a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import hc_interp as hc
from hc_interp.cli.config import FILE, Setting, checked, near, settings_of
from hc_interp.errors import HCError

WORKERS = "Workers"  # the panel of --help
On = Annotated[
    Literal["here", "processes", "slurm", "dask"],
    typer.Option(
        help="Who does the work: this process (here), worker processes of this machine, jobs of a SLURM cluster, or "
        "workers of a Dask cluster. All but here keep pieces in the folder of --resume (default: beside --out, as "
        "NAME.pieces), which all workers must see.",
        rich_help_panel=WORKERS,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Number of workers (default for processes: one for each GPU, or for each core).", min=1,
        rich_help_panel=WORKERS,
    ),
]  # fmt: skip
Threads = Annotated[
    int,
    typer.Option(help="Threads of each piece of the work; the last bits depend on it.", min=1, rich_help_panel=WORKERS),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="With --on slurm: print the sbatch script and do nothing else.", rich_help_panel=WORKERS
    ),
]


def _slurm(
    partition: Annotated[str | None, typer.Option(help="Partition that the jobs go to.")] = None,
    time: Annotated[str, typer.Option(help="Time limit of a job, like 1:30:00.")] = "1:00:00",
    gpus: Annotated[int, typer.Option(help="GPUs of a job.", min=0)] = 0,
    cpus: Annotated[int, typer.Option(help="Cores of a job.", min=1)] = 1,
    mem_gb: Annotated[float | None, typer.Option(help="Memory of a job, in gigabytes.")] = None,
    account: Annotated[str | None, typer.Option(help="Account that is charged.")] = None,
    qos: Annotated[str | None, typer.Option(help="Quality of service.")] = None,
    constraint: Annotated[str | None, typer.Option(help="Features that a node must have.")] = None,
    exclude: Annotated[str | None, typer.Option(help="Nodes that are not used.")] = None,
    nodelist: Annotated[str | None, typer.Option(help="Nodes that are used.")] = None,
    setup: Annotated[list[str], typer.Option(help="Shell commands before the work.")] = [],  # noqa: B006  (read only)
    cluster: Annotated[
        Literal["slurm", "local"], typer.Option(help="Where jobs run: slurm, or local to try a setup on this machine.")
    ] = "slurm",
) -> None:
    """The keys of `[slurm]`."""


def _dask(
    address: Annotated[str | None, typer.Option(help="Address of a scheduler, like tcp://host:8786.")] = None,
) -> None:
    """The keys of `[dask]`."""


TABLES: dict[str, list[Setting]] = {"slurm": settings_of(_slurm), "dask": settings_of(_dask)}


def table_of(path: Path | None, name: str) -> dict[str, Any]:
    """The table `[name]` of a configuration file. Raises `HCError` for a key that it does not have."""
    import tomllib

    table = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8")).get(name, {})
    takes = {setting.name: setting for setting in TABLES[name]}
    values = {}
    for key, value in table.items():
        setting = takes.get(key.replace("-", "_"))
        if setting is None:
            raise HCError(f"{path} has {key!r} in [{name}], which has no such key{near(key, takes)}")
        values[setting.name] = checked(setting, value, f"{path}: {key} in [{name}]")
    return values


def pieces_folder(on: str, resume: Path | None, out: Path) -> Path | None:
    """The folder of the pieces: that of --resume, or for workers one beside the command's output."""
    return resume if resume is not None or on == "here" else out.with_name(f"{out.stem}.pieces")


@contextmanager
def workers(on: str, jobs: int | None, threads: int, pieces: Path | None, dry_run: bool = False) -> Iterator[Any]:
    """The executor that the options name; None for this process. It is made before models are loaded.

    Who works, with how many threads, and where pieces are kept is printed. With `dry_run` the sbatch script is printed
    instead, and the command ends.
    """
    if dry_run and on != "slurm":
        raise HCError(f"--dry-run was given with --on {on}. It prints the sbatch script of --on slurm.")
    if on == "here":
        if jobs is not None:
            raise HCError(f"--jobs {jobs} was given without --on. Say where: --on processes, slurm or dask.")
        yield None
        return
    assert pieces is not None
    table = {} if on == "processes" else table_of(FILE.get(), on)
    if on == "slurm":
        if jobs is None:
            raise HCError("--on slurm was given without --jobs. Say how many jobs may run at a time, like --jobs 20.")
        check_threads(threads, table.get("cpus", 1))
        executor = hc.spread.slurm(jobs, pieces, **table)
        if dry_run:
            typer.echo(executor.script)
            raise typer.Exit
    elif on == "dask":
        executor = hc.spread.dask(jobs, **table)
    else:
        executor = hc.spread.processes(jobs, threads=threads)
    with executor as entered:
        each = f"a piece uses {threads} thread{'s' if threads > 1 else ''}"
        typer.echo(f"{entered}; {each}; pieces are kept in {pieces}", err=True)
        yield entered


def check_threads(threads: int, cpus: int) -> None:
    """Raise `HCError` where a piece would use more threads than its job has cores."""
    if threads > cpus:
        raise HCError(
            f"--threads {threads} was given, and cpus in [slurm] is {cpus}. Expected at most as many threads as a job "
            f"has cores: write cpus = {threads}."
        )
