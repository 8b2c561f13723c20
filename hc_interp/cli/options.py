"""Options that several commands share. An option for a setting of `RunSettings` has the setting's help and limits."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import hc_interp as hc
from hc_interp.data.tables import TASKS
from hc_interp.experiment.settings import RunSettings, bounds
from hc_interp.files import check_destination
from hc_interp.models.zoo_cards import MODELS

PAIRS, WORK = "Pairs", "Amount of work"  # panels of --help
DEFAULT, FIELDS = RunSettings(), RunSettings.model_fields
PANELS = {  # the panels of a run's settings; the others are in WORK
    **dict.fromkeys(("seed", "sparsity", "margin", "delta")),
    **dict.fromkeys(("case", "kinds", "select_pairs", "test_pairs", "permutations"), PAIRS),
}


def _models(incomplete: str) -> list[str]:
    return [name for name in map("zoo:{}".format, MODELS) if name.startswith(incomplete)]


def _tasks(incomplete: str) -> list[str]:
    return [name for name in TASKS if name.startswith(incomplete)]


def _cases(incomplete: str) -> list[str]:
    return [name for name in hc.grammar.CASES if name.startswith(incomplete)]


def a_file(path: Path) -> Path:
    """The path itself. A path that no file can be written to is refused before any work that would be lost."""
    check_destination(path)
    return path


def option(setting: str) -> Any:
    """The typer option for a setting of a run, with its help and its limits.

    Typer knows closed limits only (ge, le). `RunSettings` itself refuses values beyond an open one (gt, lt).
    """
    limits = bounds(FIELDS[setting].metadata)
    return typer.Option(
        help=FIELDS[setting].description, min=limits.get("ge"), max=limits.get("le"),
        rich_help_panel=PANELS.get(setting, WORK), autocompletion=_cases if setting == "case" else None,
    )  # fmt: skip


MODEL_HELP = "A model of the zoo (zoo:NAME), a folder that save_pretrained wrote, or a hub id."
Model = Annotated[str, typer.Option(help=MODEL_HELP, autocompletion=_models)]
TaskName = Annotated[
    str,
    typer.Option(
        help="mnli-hans, qqp-paws, overlap-grammar, ioi or greater_than (see hc-interp tasks), or the TOML file that "
        "describes a task of your own, like my_task.toml.",
        autocompletion=_tasks,
    ),
]
DataDir = Annotated[str | None, typer.Option(help="Folder with the task's data files, or 'hub' to download them.")]
Labels = Annotated[
    str | None,
    typer.Option(
        help="Names of the classes in the order of the logits, comma separated (default: the checkpoint's). Words of a "
        "language model as they stand, with their spaces: ' yes, no'."
    ),
]
ReadAt = Annotated[
    int | None,
    typer.Option(
        help="Position of the token that a token classifier is read at: 0 is the first, -1 a row's last (the separator "
        "of most tokenizers). Other models say themselves where they are read."
    ),
]
Device = Annotated[str | None, typer.Option(help="Where the model runs, like cpu or cuda:1 (default: a GPU if any).")]
Dtype = Annotated[
    Literal["float32", "float64", "bfloat16", "float16"] | None,
    typer.Option(help="Floating-point type of the model (default: its config's). Below float32 effects are rounded."),
]
Template = Annotated[
    str | None,
    typer.Option(help="A pair of sentences as one prompt, for decoders: '{first} Question: {second} True or false?'."),
]
TooLong = Annotated[Literal["refuse", "drop"], option("too_long")]
Seed = Annotated[int, option("seed")]
Out = Annotated[
    Path,
    typer.Option(
        help="File that the result is written to (.json). Other commands and hc.read read it.", callback=a_file
    ),
]
Case = Annotated[str, option("case")]
Cases = Annotated[str | None, typer.Option(help="Cases to use, comma separated (default: all cases of the task).")]
Replace = Annotated[
    Literal["means", "positional", "zero", "donors"],
    typer.Option(help="What replaces the output of a removed component: its mean over all positions (means), its mean "
                 "at each position (positional), 0 (zero), or its output for another example of the same length "
                 "(donors). Conclusions depend on this choice."),
]  # fmt: skip
MeanExamples = Annotated[int, option("mean_examples")]
Core = Annotated[str, typer.Option(help="The core: a result's file, like core.json, or heads, like L2H9,L3H4.")]
