"""What is measured at each checkpoint: accuracies, and the separation and pull of each heuristic."""

import warnings
from typing import Any

from hc_interp.data.task import Task
from hc_interp.errors import HCWarning
from hc_interp.evaluation.evaluate import evaluate
from hc_interp.evaluation.result import INTERVENED, Evaluation
from hc_interp.models.hooked import HookedModel

OF_HEURISTICS = ("separation", "pull")


def measured(
    model: HookedModel, task: Task, interventions: Any, *, max_per_case: int | None, pull_pairs: int, seed: int
) -> dict[str, Any]:
    """The row of one system: its name, its accuracies by split, and `separation_X` and `pull_X` of each heuristic X.

    Without validation and cases the task lets nothing be measured. Early checkpoints answer below chance, which is no
    sign of labels in a wrong order: the warning of `evaluate` is not given.
    """
    system = INTERVENED if interventions else "full"
    if task.validation is None and not task.cases:
        return {"system": system}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HCWarning)
        found = evaluate(
            model, task, interventions=interventions, max_per_case=max_per_case, pull_pairs=pull_pairs, seed=seed
        )
    accuracies = {split: float(found.accuracy(split)[0]) for split in found.splits}
    return {"system": system, **accuracies, **_of_heuristics(found)}


def _of_heuristics(found: Evaluation) -> dict[str, float]:
    if found.heuristic_scores is None:
        return {}
    rows = found.scores().to_dict("records")
    return {f"{name}_{row['heuristic']}": float(row[name]) for name in OF_HEURISTICS for row in rows}


def in_words(row: dict[str, Any]) -> str:
    """The row for progress: accuracy on validation, and what is known of heuristics."""
    shown = [name for name in row if name == "validation" or name.startswith(OF_HEURISTICS)]
    return ", ".join(f"{name} {row[name]:.2f}" for name in ["loss", *shown] if row[name] is not None)
