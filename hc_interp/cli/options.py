"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

PAIRS, WORK = "Pairs", "Amount of work"


def _models(incomplete: str) -> list[str]:
    """Completion: the zoo, by its files, since the zoo itself imports torch."""
    folder = Path(__file__).parents[1] / "models" / "zoo_data"
    return [
        name for name in sorted(f"zoo:{path.stem}" for path in folder.glob("*.json")) if name.startswith(incomplete)
    ]


def _tasks(incomplete: str) -> list[str]:
    from hc_interp.data.tables import TASKS

    return [name for name in TASKS if name.startswith(incomplete)]


def _cases(incomplete: str) -> list[str]:
    from hc_interp.data.grammar import CASES

    return [name for name in CASES if name.startswith(incomplete)]


ZOO = "zoo:<name>, a folder that save_pretrained wrote, or a hub id."
Model = Annotated[str, typer.Option(help=ZOO, autocompletion=_models)]
TaskName = Annotated[
    str, typer.Option(help="mnli-hans, qqp-paws or overlap-grammar; see hc-interp tasks.", autocompletion=_tasks)
]
DataDir = Annotated[str | None, typer.Option(help="Folder with the data files, or 'hub'.")]
Labels = Annotated[str | None, typer.Option(help="Class names in logit order, comma separated.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]
Out = Annotated[Path, typer.Option(help="File for the result (.json), for later commands and for Python.")]

CASE = "lexical_overlap_ln_subject/object_swap"
Case = Annotated[
    str,
    typer.Option(
        help="Case whose pairs are patched; see hc-interp tasks.", autocompletion=_cases, rich_help_panel=PAIRS
    ),
]
Replace = Annotated[
    Literal["means", "positional", "zero", "donors"],
    typer.Option(help="What a removed component is replaced by: means over positions, means by position, 0, or the "
                 "values of another example of the same length. Conclusions depend on it."),
]  # fmt: skip
MeanExamples = Annotated[
    int, typer.Option(help="Training examples that means or donors are taken from.", min=1, rich_help_panel=WORK)
]
CoreFile = Annotated[str, typer.Option(help="The core: a result's file, like core.json, or heads like L2H9,L3H4.")]
