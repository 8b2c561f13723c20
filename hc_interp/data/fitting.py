"""Which rows of a task a model cannot read, counted before any work, and the task without them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs, PairMaker
from hc_interp.data.encode import CHUNK, TokenizingModel
from hc_interp.data.examples import Examples
from hc_interp.errors import DataError

SPLITS = ("train", "validation", "overlap")
ADDED = 8  # more tokens than any tokenizer adds to two texts


def unreadable(model: TokenizingModel, examples: Examples) -> list[int]:
    """Places of examples that have no tokens, or more than the model has positions; none without a tokenizer."""
    if model.tokenizer is None:
        return []
    suspects = [place for place in range(len(examples)) if _may_not_fit(examples, place, model.max_positions)]
    found = []
    for start in range(0, len(suspects), CHUNK):
        places = suspects[start : start + CHUNK]
        part = examples.rows(places)
        tokens = model.tokenizer(list(part.first), None if part.second is None else list(part.second))["input_ids"]
        found += [place for place, row in zip(places, tokens, strict=True) if not 0 < len(row) <= model.max_positions]
    return found


def _may_not_fit(examples: Examples, place: int, limit: int) -> bool:
    """A token stands for a byte at least: only long texts and empty ones are tokenized to know."""
    text = examples.first[place] + (examples.second[place] if examples.second else "")
    return not text.strip() or len(text.encode()) + ADDED > limit


def count_unreadable(model: TokenizingModel, task: Any) -> dict[str, tuple[int, int]]:
    """For each part of the task that has such rows: how many the model cannot read, and of how many.

    Pairs that the task makes are made of its cases, which are counted.
    """
    parts: dict[str, Sequence[Examples]] = {name: (part,) for name, part in _parts(task).items()}
    if isinstance(task.pairs, Mapping):
        parts |= {f"{kind} pairs of {case}": _texts(pairs) for (case, kind), pairs in task.pairs.items()}
    found = {}
    for name, sides in parts.items():
        if places := {place for side in sides for place in unreadable(model, side)}:
            found[name] = (len(places), len(sides[0]))
    return found


def check_fits(model: TokenizingModel, task: Any) -> None:
    """Raise `DataError` naming every part of the task that holds rows which the model cannot read."""
    if found := count_unreadable(model, task):
        raise DataError(
            f"The model cannot read {'; '.join(f'{n} of {size} in {name}' for name, (n, size) in found.items())}: rows "
            f"of more tokens than its {model.max_positions} positions, or of none. Nothing is cut, because a cut text "
            "may no longer have its label. Leave such rows out with task.fitting(model) (in a run: "
            "hc.RunSettings(too_long='drop')), or use a model with more positions."
        )


def fitting(task: Any, model: TokenizingModel) -> Any:
    """See `Task.fitting`."""
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
    """Pairs that a task makes, without those that the model cannot read."""

    maker: PairMaker
    model: TokenizingModel

    def kinds(self, case: str) -> tuple[str, ...]:
        return self.maker.kinds(case)

    def make(self, case: str, kind: str) -> ContrastPairs:
        return _readable_pairs(self.model, self.maker.make(case, kind), f"{kind} pairs of {case}")


def _parts(task: Any) -> dict[str, Examples]:
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
    left_out = {place for side in _texts(pairs) for place in unreadable(model, side)}
    return pairs if not left_out else pairs.rows(_rest(len(pairs), left_out, name))


def _rest(n: int, left_out: set[int], name: str) -> list[int]:
    rest = [place for place in range(n) if place not in left_out]
    if not rest:
        raise DataError(f"The model can read none of the {n} rows of {name}. Leave {name} out of the task.")
    return rest
