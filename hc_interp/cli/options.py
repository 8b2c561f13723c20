"""Options that several commands share. What a run's settings declare is declared there alone."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import hc_interp as hc
from hc_interp.data.tables import TASKS
from hc_interp.experiment.settings import RunSettings, bounds
from hc_interp.files import check_destination
from hc_interp.models.zoo_cards import ZOO

PAIRS, WORK = "Pairs", "Amount of work"
DEFAULT, FIELDS = RunSettings(), RunSettings.model_fields
PANELS = {
    **dict.fromkeys(("seed", "sparsity", "margin")),
    **dict.fromkeys(("case", "kinds", "select_pairs", "test_pairs", "permutations"), PAIRS),
}


def _models(incomplete: str) -> list[str]:
    return [name for name in map("zoo:{}".format, ZOO) if name.startswith(incomplete)]


def _tasks(incomplete: str) -> list[str]:
    return [name for name in TASKS if name.startswith(incomplete)]


def _cases(incomplete: str) -> list[str]:
    return [name for name in hc.grammar.CASES if name.startswith(incomplete)]


def a_file(path: Path) -> Path:
    """A path that a file can be written to: what is none is refused before there is work to lose."""
    check_destination(path)
    return path


def option(setting: str) -> Any:
    """The option for a setting of a run: its help, and its closed ends; open ones are the setting's own to refuse."""
    ends = bounds(FIELDS[setting].metadata)
    return typer.Option(
        help=FIELDS[setting].description, min=ends.get("ge"), max=ends.get("le"),
        rich_help_panel=PANELS.get(setting, WORK), autocompletion=_cases if setting == "case" else None,
    )  # fmt: skip


MODEL_HELP = "zoo:<name>, a folder that save_pretrained wrote, or a hub id."
Model = Annotated[str, typer.Option(help=MODEL_HELP, autocompletion=_models)]
TaskName = Annotated[
    str, typer.Option(help="mnli-hans, qqp-paws or overlap-grammar; see hc-interp tasks.", autocompletion=_tasks)
]
DataDir = Annotated[str | None, typer.Option(help="Folder with the data files, or 'hub'.")]
Labels = Annotated[str | None, typer.Option(help="Class names in logit order, comma separated.")]
Device = Annotated[str | None, typer.Option(help="Where the model runs, like cpu or cuda:1 (default: a GPU if any).")]
Dtype = Annotated[
    Literal["float32", "float64", "bfloat16", "float16"] | None,
    typer.Option(help="The model's floating type (default: its config's). Below float32 effects are rounded."),
]
TooLong = Annotated[Literal["refuse", "drop"], option("too_long")]
Seed = Annotated[int, option("seed")]
Out = Annotated[
    Path,
    typer.Option(help="File for the result (.json), for later commands and for Python.", callback=a_file),
]
Case = Annotated[str, option("case")]
Replace = Annotated[
    Literal["means", "positional", "zero", "donors"],
    typer.Option(help="What a removed component is replaced by: means over positions, means by position, 0, or the "
                 "values of another example of the same length. Conclusions depend on it."),
]  # fmt: skip
MeanExamples = Annotated[int, option("mean_examples")]
CoreFile = Annotated[str, typer.Option(help="The core: a result's file, like core.json, or heads like L2H9,L3H4.")]
