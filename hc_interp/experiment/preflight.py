"""What a run refuses before its folder exists: a task, pairs or labels that a later stage could not use."""

from collections.abc import Callable
from typing import Any

from hc_interp.data.fitting import check_fits, count_unreadable
from hc_interp.data.labels import regrouped, resolve_groups
from hc_interp.data.task import Task
from hc_interp.errors import HCError
from hc_interp.experiment.settings import RunSettings
from hc_interp.heads.by_contrast import select_pairs
from hc_interp.heads.evidence import case_names
from hc_interp.models.hooked import HookedModel


def split(task: Task, name: str) -> Any:
    """A part of the task. Raises `HCError` where it has none."""
    if not (found := getattr(task, name)):
        raise HCError(
            f"{task.name} lacks {name}, which a run needs: masks and means use train, accuracy uses validation and "
            "cases. Build the Task with all of them."
        )
    return found


def check_task(task: Task, settings: RunSettings) -> None:
    """Raise `HCError` for a task without what a run needs, before a model is loaded."""
    for name in ("train", "validation", "cases"):
        split(task, name)
    task.test_pairs(settings.case, settings.test_pairs, settings.seed)
    there = sorted({kind for case in case_names(task, None) for kind in task.pair_kinds(case)})
    if not set(kinds_of(settings)) & set(there):
        raise HCError(
            f"kinds={settings.kinds!r} was given, but {task.name} has no such pairs to choose the generalizing heads "
            f"by. It has pairs of {', '.join(there)}: hc.RunSettings(kinds={','.join(there)!r})."
        )


def kinds_of(settings: RunSettings) -> tuple[str, ...]:
    return tuple(kind.strip() for kind in settings.kinds.split(","))


def readable(model: HookedModel, task: Task, settings: RunSettings, say: Callable[[str], None]) -> Task:
    """The task as the model can read it. Raises `DataError` for rows that it cannot, unless they are to be dropped."""
    if settings.too_long == "refuse":
        check_fits(model, task)
        return task
    for name, (n, size) in count_unreadable(model, task).items():
        say(f"  {name}: {n} of {size} rows left out, which {model.name} has no positions for")
    return task.fitting(model)


def check_together(model: HookedModel, task: Task, settings: RunSettings) -> None:
    """Raise `HCError` for labels that the model's classes do not mean, and for pairs that its tokenizer tells apart."""
    for part in (task.validation, *(task.cases or {}).values()):
        resolve_groups(model.labels, regrouped(model.labels, part))
    for pairs in task.test_pairs(settings.case, settings.test_pairs, settings.seed).values():
        resolve_groups(model.labels, pairs)
        pairs.aligned(model)
    select_pairs(model, task, None, kinds_of(settings), settings.select_pairs, settings.seed)
