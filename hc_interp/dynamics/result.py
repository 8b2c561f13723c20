"""`OverTraining`: the results of one analysis at the checkpoints of a series."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hc_interp.data.task import Task
from hc_interp.dynamics.quantities import Quantity, quantity_of
from hc_interp.errors import DataError, HCError
from hc_interp.evaluation.effective_size import ByCase, EffectiveSize, Key, effective_size
from hc_interp.evaluation.result import VALIDATION, Evaluation
from hc_interp.records.result import Result


@dataclass(frozen=True, eq=False)
class Table(Result):
    """A table that an analysis returned."""

    frame: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        return self.frame.copy()


@dataclass(frozen=True, eq=False)
class OverTraining(Result):
    """The result of one analysis at each step of a series: `found[step]`, or all in `.to_frame()`.

    `series` is the series' folder. `steps` are training steps, ascending; `results` belong to them.
    """

    series: str
    steps: tuple[int, ...]
    results: tuple[Result, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __getitem__(self, step: int) -> Result:
        """The result at a step. Raises `HCError` for a step that was not looked at."""
        if step not in self.steps:
            raise HCError(f"There is no result of step {step!r}. Choose one of: {', '.join(map(str, self.steps))}.")
        return self.results[self.steps.index(step)]

    def to_frame(self) -> pd.DataFrame:
        """The results' own tables, one below the other, with the column `step` in front."""
        return self._stacked([result.to_frame() for result in self.results])

    def trajectory(self) -> pd.DataFrame:
        """What the figure draws: a row per step and item (a head, a path, a score), with `value low high p marked`.

        NaN where a result has no such number. `marked` says what `quantity.mark` names, such as "in the core". Raises
        `HCError` for results of a kind that has no such quantity.
        """
        return self._stacked([self.quantity.table(result, self.results[-1]) for result in self.results])

    @property
    def quantity(self) -> Quantity:
        """What is drawn of this kind of result over training. Raises `HCError` for a kind that has none."""
        return quantity_of(self.results[-1])

    def effective_size(self, cases: str | Sequence[str], margin: float = 0.03) -> EffectiveSize:
        """The smallest subnetworks that are as accurate on `cases` as the full model, at each step (`effective_size`).

        `margin` is the accuracy that may be lacking.

        The results must be evaluations of searched subnetworks on a grid of sparsities, as `hc.analyses.subnetworks`
        gives. Raises `DataError` for others.
        """
        full: dict[Key, ByCase] = {}
        grid: dict[Key, dict[Key, dict[Key, ByCase]]] = {}
        for step, found in zip(self.steps, self.results, strict=True):
            if not isinstance(found, Evaluation) or len(found.names) < 2:
                raise DataError(
                    f"The result of step {step} is {found!r}. Effective size needs an evaluation of subnetworks at "
                    "every step: hc.over_training(series, hc.analyses.subnetworks(task, sparsities))."
                )
            seen: dict[float, int] = {}  # subnetworks of one sparsity are numbered as seeds
            for name, item in zip(found.names, found.subnetworks, strict=True):
                accuracy = {split: float(found.accuracy(split)[found.names.index(name)]) for split in found.splits}
                if item is None:
                    full[step] = accuracy
                    continue
                seed = seen[item.sparsity] = seen.get(item.sparsity, -1) + 1
                grid.setdefault(seed, {}).setdefault(step, {})[round(100 * item.sparsity, 6)] = accuracy
        return effective_size(full, grid, cases, margin)

    def effective_sizes(self, task: Task, margin: float = 0.03) -> dict[str, EffectiveSize]:
        """`effective_size` in domain and, for each heuristic of the task, on the cases where it is wrong.

        `margin` as there. Keys are "in domain" (where the task has validation examples) and, say, "lexical overlap is
        wrong", as `hc.figures.effective_size` takes them. Raises `DataError` for results of another kind (see
        `effective_size`) and for a task without any of these.
        """
        groups = {"in domain": (VALIDATION,)} if task.validation is not None else {}
        wrong = {f"{name.replace('_', ' ')} is wrong": cases for name, (_, cases) in task.heuristics.items() if cases}
        if not groups | wrong:
            raise DataError(
                f"The task {task.name} has no validation examples and no case where a heuristic is wrong, so there is "
                "nothing to be as accurate on. Give it a validation split, or heuristic={case: right} for its cases."
            )
        return {name: self.effective_size(cases, margin) for name, cases in (groups | wrong).items()}

    def __repr__(self) -> str:
        kind = type(self.results[-1]).__name__
        return f"OverTraining({kind} at {len(self)} steps, {self.steps[0]} to {self.steps[-1]}, of {self.series})"

    def _stacked(self, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
        numbered = [
            pd.concat([pd.Series(step, index=frame.index, name="step"), frame], axis=1)
            for step, frame in zip(self.steps, frames, strict=True)
            if len(frame)
        ]
        return pd.concat(numbered, ignore_index=True) if numbered else pd.DataFrame({"step": pd.Series(dtype=int)})
