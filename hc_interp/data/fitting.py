"""`fitting`: a task without the rows that a model cannot read, and the count of these rows.

A model cannot read a row of more tokens than it has positions, or of no tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs, PairMaker
from hc_interp.data.encode import CHUNK, TokenizingModel
from hc_interp.data.examples import Examples
from hc_interp.errors import DataError

SPLITS = ("train", "validation", "overlap")
ADDED = 8  # more special tokens than any tokenizer adds to two texts


def unreadable(model: TokenizingModel, examples: Examples) -> list[int]:
    """The row numbers of examples that the model cannot read; none for a model without a tokenizer."""
    if model.tokenizer is None:
        return []
    suspects = [row for row in range(len(examples)) if _may_not_fit(examples, row, model.max_positions)]
    misfits: list[int] = []
    for start in range(0, len(suspects), CHUNK):
        chunk = suspects[start : start + CHUNK]
        part = examples.rows(chunk)
        tokens = model.tokenizer(list(part.first), None if part.second is None else list(part.second))["input_ids"]
        misfits += [row for row, ids in zip(chunk, tokens, strict=True) if not 0 < len(ids) <= model.max_positions]
    return misfits


def _may_not_fit(examples: Examples, row: int, limit: int) -> bool:
    """Whether a row must be tokenized to know. A token covers at least one byte, so a short text always fits."""
    text = examples.first[row] + (examples.second[row] if examples.second else "")
    return not text.strip() or len(text.encode()) + ADDED > limit


class FittableTask(Protocol):
    """The fields of a `Task` that hold rows; `data.task` imports this file, so the class itself cannot be named."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def cases(self) -> Mapping[str, Examples] | None: ...
    @property
    def pairs(self) -> Mapping[tuple[str, str], ContrastPairs] | PairMaker | None: ...


TaskType = TypeVar("TaskType", bound=FittableTask)


def count_unreadable(model: TokenizingModel, task: FittableTask) -> dict[str, tuple[int, int]]:
    """For each part of the task with rows that the model cannot read: the number of these rows, and of all rows.

    A part is a split, a case, or the contrast pairs of one kind and case. Pairs that the task makes by rule are not
    counted: they are made of its cases, which are.
    """
    parts: dict[str, Sequence[Examples]] = {name: (part,) for name, part in _parts(task).items()}
    if isinstance(task.pairs, Mapping):
        parts |= {f"{kind} pairs of {case}": _texts(pairs) for (case, kind), pairs in task.pairs.items()}
    counts = {}
    for name, sides in parts.items():
        if rows := {row for side in sides for row in unreadable(model, side)}:
            counts[name] = (len(rows), len(sides[0]))
    return counts


def check_fits(model: TokenizingModel, task: FittableTask) -> None:
    """Raise `DataError` naming every part of the task that has rows which the model cannot read."""
    if counts := count_unreadable(model, task):
        raise DataError(
            f"The model cannot read {'; '.join(f'{n} of {size} in {name}' for name, (n, size) in counts.items())}: "
            f"rows of more tokens than its {model.max_positions} positions, or of none. Nothing is cut, because a cut "
            "text may no longer have its label. Leave such rows out with task.fitting(model) (in a run: "
            "hc.RunSettings(too_long='drop')), or use a model with more positions."
        )


def fitting(task: TaskType, model: TokenizingModel) -> TaskType:
    """The task without the rows that the model cannot read: the body of `Task.fitting`."""
    if not count_unreadable(model, task) and not isinstance(task.pairs, PairMaker):
        return task
    parts = {name: _readable(model, part, name) for name, part in _parts(task).items()}
    splits = {name: parts[name] for name in SPLITS if name in parts}
    cases = {name: parts[_case(name)] for name in task.cases or {}}
    pairs: Any = task.pairs
    if isinstance(pairs, Mapping):
        pairs = {key: _readable_pairs(model, part, f"{key[1]} pairs of {key[0]}") for key, part in pairs.items()}
    elif pairs is not None:
        pairs = FittingPairs(pairs, model)
    return replace(task, **splits, cases=cases, pairs=pairs)


@dataclass(frozen=True)
class FittingPairs:
    """A `PairMaker` that leaves out the pairs of `maker` that the model cannot read."""

    maker: PairMaker
    model: TokenizingModel

    def kinds(self, case: str) -> tuple[str, ...]:
        return self.maker.kinds(case)

    def make(self, case: str, kind: str) -> ContrastPairs:
        return _readable_pairs(self.model, self.maker.make(case, kind), f"{kind} pairs of {case}")


def _parts(task: FittableTask) -> dict[str, Examples]:
    splits = {name: part for name in SPLITS if (part := getattr(task, name)) is not None}
    return splits | {_case(name): part for name, part in (task.cases or {}).items()}


def _case(name: str) -> str:
    return f"case {name}"


def _texts(pairs: ContrastPairs) -> tuple[Examples, ...]:
    return tuple(side for side in pairs.sides if not isinstance(side, Batch))


def _readable(model: TokenizingModel, part: Examples, name: str) -> Examples:
    left_out = set(unreadable(model, part))
    return part if not left_out else part.rows(_rest(len(part), left_out, name))


def _readable_pairs(model: TokenizingModel, pairs: ContrastPairs, name: str) -> ContrastPairs:
    left_out = {row for side in _texts(pairs) for row in unreadable(model, side)}
    return pairs if not left_out else pairs.rows(_rest(len(pairs), left_out, name))


def _rest(n: int, left_out: set[int], name: str) -> list[int]:
    rest = [row for row in range(n) if row not in left_out]
    if not rest:
        raise DataError(f"The model can read none of the {n} rows of {name}. Leave {name} out of the task.")
    return rest
