"""Checks before a run's folder is made: each refuses a task, pairs or labels that a later stage could not use."""

from collections.abc import Callable
from typing import Any

from hc_interp.data.encode import words_of
from hc_interp.data.fitting import check_fits, count_unreadable
from hc_interp.data.labels import regrouped, scoring_groups
from hc_interp.data.task import Task
from hc_interp.errors import DataError, HCError
from hc_interp.experiment.settings import RunSettings
from hc_interp.heads.by_contrast import select_pairs
from hc_interp.heads.evidence import case_names, named_kinds
from hc_interp.models.hooked import HookedModel


def split(task: Task, name: str) -> Any:
    """The task's `train`, `validation` or `cases`. Raises `HCError` if the task lacks it."""
    if not (part := getattr(task, name)):
        raise HCError(
            f"{task.name} lacks {name}, which a run needs: masks and means use train, accuracy uses validation and "
            "cases. Build the Task with all of them."
        )
    return part


def check_task(task: Task, settings: RunSettings) -> None:
    """Raise `HCError` for a task that lacks a split or pairs that a run needs. No model is needed for this check."""
    for name in ("train", "validation", "cases"):
        split(task, name)
    try:
        task.case_id(settings.case)
    except DataError as error:
        raise DataError(
            f"{error} Say which case's pairs the verdict is about: settings={{'case': ...}}, or --case."
        ) from error
    task.test_pairs(settings.case, settings.test_pairs, settings.seed)
    available = sorted({kind for case in case_names(task, None) for kind in task.pair_kinds(case)})
    if not any(task.kind_for(case, kind) for case in case_names(task, None) for kind in kinds_of(settings)):
        raise HCError(
            f"kinds={settings.kinds!r} was given, but {task.name} has no such pairs to choose the generalizing heads "
            f"by. It has pairs of {', '.join(available)}: hc.RunSettings(kinds={','.join(available)!r})."
        )


def kinds_of(settings: RunSettings) -> tuple[str, ...]:
    """The kinds of contrast pairs that choose the generalizing heads."""
    return named_kinds(settings.kinds)


def readable(model: HookedModel, task: Task, settings: RunSettings, say: Callable[[str], None]) -> Task:
    """The task with only rows that fit the model's positions: with `too_long="drop"` longer rows are left out.

    Raises `DataError` for longer rows with `too_long="refuse"`.
    """
    if settings.too_long == "refuse":
        check_fits(model, task)
        return task
    for name, (n, size) in count_unreadable(model, task).items():
        say(f"  {name}: {n} of {size} rows left out, which {model.name} has no positions for")
    return task.fitting(model)


def check_together(model: HookedModel, task: Task, settings: RunSettings) -> None:
    """Raise `HCError` for labels that are not among the model's classes or answers that are not one token of it, and
    for pairs that its tokenizer misaligns.

    A pair is aligned if its two sides have tokens of the same layout, so that activations can be swapped by position.
    """
    for part in (task.validation, *(task.cases or {}).values()):
        scoring_groups(model.labels, regrouped(model.labels, part))
        words_of(model, part)
    for pairs in task.test_pairs(settings.case, settings.test_pairs, settings.seed).values():
        scoring_groups(model.labels, pairs)
        pairs.aligned(model)
    select_pairs(model, task, None, kinds_of(settings), settings.select_pairs, settings.seed)
