"""`check_task`: what `--explain` can say of `--task` before a model is loaded, and how much data there is."""

from collections.abc import Mapping
from typing import Any

import hc_interp as hc
from hc_interp.cli.durations import TaskSize
from hc_interp.cli.inputs import names
from hc_interp.data.tables import PROMPT_TASKS, TASK_TABLES, TASKS, is_task_file, unknown_task
from hc_interp.errors import DataError, HCError
from hc_interp.experiment.settings import RunSettings

NEEDED = {  # the splits that a command always takes examples from
    "run": ("train", "validation", "cases"), "search": ("train",), "subnetworks": ("train",), "extremes": ("train",),
    "probe": ("overlap",), "premises": ("train", "validation", "cases"), "reads-from": ("train",),
}  # fmt: skip
TEST_PAIRS = {"run": "test_pairs", "reads-from": "pairs"}  # the setting that says how many
CASE_OF_PATHS = ("paths", "reading", "premises")  # analyses over training that take --case


def check_task(command: str, arguments: Mapping[str, Any]) -> TaskSize | None:
    """Check the task that a command was given, and its case; the size of a task of one's own, or None.

    Tables of a task's own file are read. Raises the `HCError` that the command would end with.
    """
    name = arguments.get("task")
    if name is None:
        return None
    if is_task_file(name):
        return _check_own(command, arguments)
    if name not in TASKS:
        raise DataError(unknown_task(name))
    if TASK_TABLES[name] and arguments.get("data_dir") is None:
        raise DataError(
            f"The task {name!r} needs data, and data_dir= was not given: a folder that holds its parquet files, or "
            "'hub' to download them."
        )
    _check_named_case(command, name, arguments)
    return None


def _check_named_case(command: str, name: str, arguments: Mapping[str, Any]) -> None:
    """Raise `DataError` for a case that a task of the package does not have pairs of."""
    case, default = arguments.get("case"), RunSettings.model_fields["case"].default
    if case is None or not _takes_case(command, arguments):
        return
    if name in PROMPT_TASKS:
        cases = list(PROMPT_TASKS[name])
    elif name == "qqp-paws":
        raise DataError("qqp-paws has no contrast pairs: no path can be patched on it. Choose another task.")
    elif case == default:
        return
    else:
        cases = list(hc.grammar.CASES)
    if str(case).replace("/", "-") not in {known.replace("/", "-") for known in cases}:
        raise DataError(f"{name} has no case {case!r}. Expected another case: one of {', '.join(cases)}.")


def _takes_case(command: str, arguments: Mapping[str, Any]) -> bool:
    return command != "over-training" or arguments.get("analysis") in CASE_OF_PATHS


def _check_own(command: str, arguments: Mapping[str, Any]) -> TaskSize:
    task = hc.load_task(arguments["task"], data_dir=arguments.get("data_dir"), template=arguments.get("template"))
    for part in NEEDED.get(command, ()):
        if not getattr(task, part):
            raise HCError(f"The task {task.name} has no {part} examples, which {command} needs. Name a table of them.")
    for case in names(arguments.get("cases")) or ():
        task.case_id(case)
    heuristic = arguments.get("heuristic")
    if heuristic is not None and heuristic not in task.heuristics:
        raise HCError(
            f"--heuristic {heuristic} was given, and {task.name} has {', '.join(task.heuristics) or 'none'}. Expected "
            "one of its heuristics."
        )
    case = arguments.get("case") if _takes_case(command, arguments) else None
    if case is not None:
        _check_pairs(command, task, arguments)
    parts = task.cases or {}
    return TaskSize(
        cases=len(parts),
        case_rows=max(map(len, parts.values()), default=0),
        validation=0 if task.validation is None else len(task.validation),
        kinds=1 if case is None else len(task.pair_kinds(case)),
    )


def _check_pairs(command: str, task: "hc.Task", arguments: Mapping[str, Any]) -> None:
    """Raise `HCError` for a case without the pairs that the command patches."""
    case = task.case_id(arguments["case"])
    if command == "patch":
        task.contrast_pairs(case, kind=arguments["kind"], split=arguments["split"])
    if command in TEST_PAIRS:
        task.test_pairs(case, arguments[TEST_PAIRS[command]], arguments["seed"])
    if command == "run":
        available = {kind for name in task.cases or {} for kind in task.pair_kinds(name)}
        kinds = names(arguments["kinds"]) or ()
        if not any(task.kind_for(name, kind) for name in task.cases or {} for kind in kinds):
            raise HCError(
                f"--kinds {arguments['kinds']} was given, but {task.name} has no such pairs to choose the generalizing "
                f"heads by. It has pairs of {', '.join(sorted(available))}: --kinds {','.join(sorted(available))}."
            )
