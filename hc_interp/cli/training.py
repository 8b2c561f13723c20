"""The command `finetune`: a series of checkpoints, made by fine-tuning a model on a task."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import hc_interp as hc
from hc_interp.cli.inputs import heads_in, load, names
from hc_interp.cli.options import (
    DEFAULT,
    WORK,
    DataDir,
    Device,
    Labels,
    Model,
    ReadAt,
    Seed,
    TaskName,
    Template,
    TooLong,
)
from hc_interp.cli.shell import again, command
from hc_interp.cli.show import Shown, records
from hc_interp.errors import TrainingError
from hc_interp.training.defaults import (
    BATCH_SIZE,
    BETAS,
    LORA_RATE,
    MAX_PER_CASE,
    PULL_PAIRS,
    RATE,
    WARM_UP,
    WEIGHT_DECAY,
)


def _how_to_resume(arguments: dict[str, Any]) -> str:
    if not (Path(arguments["out"]) / "card.json").is_file():
        return f"Nothing was trained yet. To start again:\n  {again()}"
    return f"What was trained is in {arguments['out']}, up to its last checkpoint. To go on:\n  {again('--resume')}"


@command("finetune", panel="Training", interrupted=_how_to_resume)
def finetune(
    model: Model,
    task: TaskName,
    out: Annotated[Path, typer.Option(help="Folder that the series of checkpoints is written to.")],
    steps: Annotated[int, typer.Option(help="Number of updates of the weights.", min=1)],
    data_dir: DataDir = None,
    labels: Labels = None,
    read_at: ReadAt = None,
    device: Device = None,
    dtype: Annotated[
        Literal["float32", "float64", "bfloat16"] | None,
        typer.Option(
            help="Type of the matrix products (default: that of the weights). Weights stay in float32 beside bfloat16."
        ),
    ] = None,
    too_long: TooLong = "refuse",
    template: Template = None,
    checkpoints: Annotated[
        str, typer.Option(help="Steps to keep, comma separated, or log: 0, 1, 2, 4, 8, ... The last is always kept.")
    ] = "log",
    phase: Annotated[
        list[str],
        typer.Option(
            help="What is trained on from a step: STEP:NAME=SHARE,NAME=SHARE. A name is train (the task's split) or a "
            "file with the columns first, second and label. Repeat the option (default: 0:train=1).",
            metavar="TEXT",
        ),
    ] = [],  # noqa: B006  (read only)
    batch_size: Annotated[int, typer.Option(help="Examples of each update.", min=1)] = BATCH_SIZE,
    lr: Annotated[
        float | None,
        typer.Option(help=f"Peak of the learning rate (default: {RATE:g}, or {LORA_RATE:g} with --lora)."),
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="AdamW's decay of matrices.", min=0)] = WEIGHT_DECAY,
    warm_up: Annotated[
        float, typer.Option(help="Share of the steps in which the learning rate rises.", min=0, max=1)
    ] = WARM_UP,
    decay_to: Annotated[
        float, typer.Option(help="Share of its peak that the learning rate then falls to.", min=0, max=1)
    ] = 0.0,
    beta1: Annotated[float, typer.Option(help="How slowly AdamW's mean of the gradient forgets.", min=0)] = BETAS[0],
    beta2: Annotated[
        float, typer.Option(help="How slowly AdamW's mean of the squared gradient forgets.", min=0)
    ] = BETAS[1],
    lora: Annotated[
        int | None, typer.Option(help="Rank of LoRA updates to train instead of all weights.", min=1)
    ] = None,
    freeze: Annotated[
        str | None,
        typer.Option(help="Components whose weights stand still: a result's file, like core.json, or L2H9,L3MLP."),
    ] = None,
    held_out: Annotated[
        str | None, typer.Option(help="Cases of which no example may be trained on, comma separated.")
    ] = None,
    dropout: Annotated[bool, typer.Option(help="Whether the model's own dropout is on in training.")] = True,
    export_rank: Annotated[
        int | None,
        typer.Option(help="Keep checkpoints as differences of this rank from the start (default: whole).", min=1),
    ] = None,
    export_dtype: Annotated[
        Literal["float16", "bfloat16"] | None,
        typer.Option(help="Keep checkpoints in this type, in half the space (default: as they are trained)."),
    ] = None,
    max_per_case: Annotated[
        int,
        typer.Option(
            help="Largest number of examples of each case that a checkpoint is measured on.",
            min=1,
            rich_help_panel=WORK,
        ),
    ] = MAX_PER_CASE,
    pull_pairs: Annotated[
        int,
        typer.Option(
            help="Largest number of overlap pairs of each case for a checkpoint's pull; 0 for no pull.", min=0,
            rich_help_panel=WORK,
        ),
    ] = PULL_PAIRS,
    save_every: Annotated[
        int | None, typer.Option(help="Steps between saved states, beside those at checkpoints (default: none).", min=1)
    ] = None,
    until: Annotated[
        int | None, typer.Option(help="Stop after this step; --resume goes on later (default: the last).", min=1)
    ] = None,
    seed: Seed = DEFAULT.seed,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an earlier training of the same settings in the folder.")
    ] = False,
) -> Shown:  # fmt: skip
    """Fine-tune a model and keep checkpoints of it, each measured on the task (hc.finetune).

    Other commands take a checkpoint as --model OUT@STEP.
    """
    if not resume and out.is_dir() and any(out.iterdir()):
        raise TrainingError(
            f"{out} already exists and is not empty. Expected a new folder. Choose another one, or pass --resume to go "
            "on with the training in it."
        )
    loaded, data = load(model, task, data_dir, labels, device, None, too_long, template, read_at)
    series = hc.finetune(
        loaded, data, out, phases=_phases(phase, data), steps=steps, checkpoints=_steps(checkpoints),
        batch_size=batch_size, lr=lr, weight_decay=weight_decay, warm_up=warm_up, decay_to=decay_to,
        betas=(beta1, beta2), lora=lora, freeze=heads_in(freeze) if freeze else (),
        held_out=names(held_out) or (), seed=seed, device=device, dtype=dtype, dropout=dropout,
        export_rank=export_rank, export_dtype=export_dtype, max_per_case=max_per_case, pull_pairs=pull_pairs,
        save_every=save_every, until=until,
    )  # fmt: skip
    table = series.metrics.to_string(index=False, float_format=lambda value: f"{value:.3f}")
    record = {"result": "ModelSeries", "summary": repr(series), "folder": str(out), "rows": records(series.metrics)}
    return Shown(record, "\n".join([table, repr(series), f"written to {out}"]))


def _steps(text: str) -> str | list[int]:
    """The steps in a comma-separated text, or the text itself, which `hc.finetune` checks."""
    return [int(part) for part in text.split(",")] if text.replace(",", "").isdecimal() else text


def _phases(texts: list[str], task: "hc.Task") -> list[tuple[int, list[tuple[Any, float]]]] | None:
    """The phases that the texts name; None without texts. Raises `TrainingError` for a text of another form."""
    read: dict[str, Any] = {"train": task.train}
    phases = []
    for text in texts:
        match = re.fullmatch(r"(\d+):(.+)", text)
        pairs = [part.rsplit("=", 1) for part in match[2].split(",")] if match else []
        if not match or not all(len(pair) == 2 and _is_number(pair[1]) for pair in pairs):
            raise TrainingError(
                f"--phase {text!r} was given. Expected STEP:NAME=SHARE,NAME=SHARE, as in 0:train=1 or "
                "2000:train=0.97,more.csv=0.03."
            )
        for name, _ in pairs:
            if read.get(name) is None:
                read[name] = _examples_in(name, task)
        phases.append((int(match[1]), [(read[name], float(share)) for name, share in pairs]))
    return phases or None


def _examples_in(name: str, task: "hc.Task") -> "hc.Examples":
    """The examples in a file, whose labels are those of the task. Raises `TrainingError` for a name that is no file."""
    if name == "train" or not Path(name).is_file():
        known = "train or " if task.train is not None else ""
        raise TrainingError(f"--phase names {name!r}, which is no file. Expected {known}a file of examples.")
    data = hc.Task.from_frames(name, train=name, groups=task.groups, classes=task.classes).train
    assert isinstance(data, hc.Examples)
    return data


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
