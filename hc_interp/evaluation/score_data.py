"""What scores are measured on: a task's in-domain examples, the cases of a heuristic, and pairs of these cases."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.grammar.shared_words import units_of
from hc_interp.data.labels import regrouped, resolve_groups
from hc_interp.data.parts import DataPart
from hc_interp.data.task import Task
from hc_interp.data.units import Levels, joined_sides, with_source
from hc_interp.errors import DataError, HCError
from hc_interp.evaluation.scores import ScoreRows
from hc_interp.models.hooked import HookedModel

Classes = tuple[int, ...]
DEFAULT_HEURISTIC = "lexical_overlap"  # of a task with several


@dataclass(frozen=True, eq=False)
class Block:
    """Examples or pairs. `gold` is True where the gold label (of the first side of a pair) is the heuristic's answer.

    The first side of a pair is the clean side, or the corrupt side where `swapped` is True.
    """

    data: Examples | ContrastPairs
    gold: Bool[np.ndarray, " row"]
    swapped: Bool[np.ndarray, " row"] | None = None

    def __len__(self) -> int:
        return len(self.gold)

    def rows(self, index: Sequence[int] | np.ndarray) -> "Block":
        swapped = None if self.swapped is None else self.swapped[index]
        return Block(self.data.rows(index), self.gold[index], swapped)

    def sample(self, n: int, seed: int) -> "Block":
        """At most `n` rows without replacement, in their original order."""
        if n >= len(self):
            return self
        return self.rows(np.sort(np.random.default_rng(seed).choice(len(self), size=n, replace=False)))

    def without(self, sources: Collection[str]) -> "Block":
        """The rows of other sources."""
        own = self.data.sources if isinstance(self.data, ContrastPairs) else self.data.source
        return self.rows(np.flatnonzero([source not in sources for source in own]))

    @property
    def sides(self) -> tuple[DataPart, ...]:
        """The texts: one part of examples, or the clean and the corrupt side."""
        return self.data.sides if isinstance(self.data, ContrastPairs) else (self.data,)

    @property
    def units(self) -> dict[str, Levels]:
        """The units with "source" among them. Where the data names none, they are those that the grammar can read."""
        if isinstance(self.data, ContrastPairs):
            read = (units_of(side) for side in self.data.sides if isinstance(side, Examples))
            return self.data.all_units | ({} if self.data.units else joined_sides(*read) or {})
        return with_source(self.data.source, self.data.units if self.data.units is not None else units_of(self.data))


def heuristic_classes(model: HookedModel, task: Task) -> Classes:
    """The model's classes that are the heuristic's answer. Raises `HCError` for a task that does not name it."""
    if not task.heuristics or task.heuristic_label is None:
        raise HCError(
            f"Task {task.name!r} does not say what a heuristic would answer. Expected both of Task(..., "
            "heuristic={'my_case': True, ...}, heuristic_label=0): for each case whether the heuristic is right "
            "there, and the label that it gives."
        )
    part = next(part for case, part in (task.cases or {}).items() if case in (task.heuristic or {}))
    answer = regrouped(model.labels, replace(part.rows([0]), label=(task.heuristic_label,)))
    assert answer.label is not None
    return tuple(resolve_groups(model.labels, answer)[answer.label[0]])


def heuristic_named(task: Task, name: str | None) -> str:
    """The heuristic of this name; without a name the task's only one, or "lexical_overlap".

    Raises `HCError`, which lists the choices, for another name, and for a heuristic without cases of both kinds.
    """
    choices = task.heuristics
    chosen = name or (next(iter(choices)) if len(choices) == 1 else DEFAULT_HEURISTIC)
    if chosen not in choices:
        raise HCError(
            f"heuristic={name!r} was given for task {task.name!r}. Expected one of {', '.join(map(repr, choices))}."
        )
    if not all(choices[chosen]):
        right, wrong = (", ".join(cases) or "none" for cases in choices[chosen])
        raise HCError(
            f"The heuristic {chosen!r} of task {task.name!r} is right on {right}, wrong on {wrong}. Expected cases of "
            "both kinds: scores are compared between them. Give the task more cases, or name another heuristic of "
            f"{', '.join(map(repr, choices))}."
        )
    return chosen


def class_groups(classes: Classes, n_classes: int) -> tuple[Classes, Classes]:
    """The heuristic's answer and all other classes, as label groups."""
    return classes, tuple(i for i in range(n_classes) if i not in classes)


def in_domain_block(model: HookedModel, task: Task, classes: Classes) -> Block:
    """The validation split. Raises `DataError` for a task without one, or with one label of the two alone."""
    if task.validation is None:
        raise DataError(
            f"Task {task.name!r} has no validation split, on which answers in domain are scored. Give it one: "
            "Task(..., validation=examples)."
        )
    block = examples_block(model, task.validation, classes)
    if block.gold.all() or not block.gold.any():
        raise DataError(
            f"All examples of the validation split of task {task.name!r} have "
            f"{'the' if block.gold.all() else 'another than the'} heuristic's label. Expected examples of both kinds."
        )
    return block


def examples_block(model: HookedModel, examples: Examples, classes: Classes) -> Block:
    return Block(examples, _gold(model, examples, classes))


def order_block(model: HookedModel, pairs: ContrastPairs, classes: Classes) -> Block | None:
    """The pairs of which one side has the heuristic's label; that side becomes the first. None without such pairs."""
    clean, corrupt = _gold_of_sides(model, pairs, classes)
    rows = np.flatnonzero(clean != corrupt)
    return Block(pairs, clean | corrupt, corrupt & ~clean).rows(rows) if len(rows) else None


def overlap_block(model: HookedModel, pairs: ContrastPairs, classes: Classes, proper: bool) -> Block | None:
    """Overlap pairs, the side with the words first: if `proper`, those without the heuristic's label on either side.

    In a proper pair the gold label is no reason to answer both sides differently. None without such pairs.
    """
    clean, corrupt = _gold_of_sides(model, pairs, classes)
    rows = np.flatnonzero(~clean & ~corrupt) if proper else np.arange(len(pairs))
    return Block(pairs, clean, np.zeros(len(pairs), dtype=bool)).rows(rows) if len(rows) else None


def heuristic_blocks(model: HookedModel, task: Task, heuristic: str, classes: Classes) -> dict[str, Block]:
    """All rows of the cases of a heuristic: "case X", "order X" and "overlap X", as far as the task has them.

    Raises `DataError` for a case that has pairs and no examples.
    """
    right, wrong = task.heuristics[heuristic]
    blocks = {f"case {case}": examples_block(model, task.case(case), classes) for case in (*right, *wrong)}
    pairs = pairs_of(task, (*right, *wrong), "order")
    blocks |= {f"order {c}": b for c, part in pairs.items() if (b := order_block(model, part, classes))}
    return blocks | overlap_blocks(model, task, right, wrong, classes)


def overlap_blocks(
    model: HookedModel, task: Task, right: Sequence[str], wrong: Sequence[str], classes: Classes
) -> dict[str, Block]:
    """The overlap pairs that count for the pull, as "overlap X": proper ones if the cases have any, else all."""
    # Where the heuristic is right, the clean side has its label, so that only the wrong cases have proper pairs.
    pairs = pairs_of(task, wrong, "overlap")
    found = {f"overlap {c}": b for c, part in pairs.items() if (b := overlap_block(model, part, classes, True))}
    if not found:
        pairs |= pairs_of(task, right, "overlap")
        found = {f"overlap {c}": b for c, part in pairs.items() if (b := overlap_block(model, part, classes, False))}
    return found


def pairs_of(task: Task, cases: Sequence[str], role: str) -> dict[str, ContrastPairs]:
    """The pairs of this kind, or of one that stands for it, by case, of the cases that have such pairs."""
    found = {}
    for case in cases:
        if kind := task.kind_for(case, role):
            try:
                found[case] = task.contrast_pairs(case, kind)
            except DataError:  # the rules prove no pair of these examples: the case then counts as one without pairs
                continue
    return found


def score_rows(
    blocks: Mapping[str, Block], s: Mapping[str, Sequence[Float[np.ndarray, "system row"]]]
) -> dict[str, ScoreRows]:
    """The blocks with their scores: of each block one matrix, or those of the clean and of the corrupt side."""
    levels = numbered_levels({name: block.units for name, block in blocks.items()})
    found = {}
    for name, block in blocks.items():
        first, other = s[name][0], None
        if block.swapped is not None:
            first, other = np.where(block.swapped, s[name][1], first), np.where(block.swapped, first, s[name][1])
        ids = block.data.ids if isinstance(block.data, ContrastPairs) else block.data.id
        found[name] = ScoreRows(first, block.gold, levels[name], tuple(ids or ()), other)
    return found


def numbered_levels(units: Mapping[str, Mapping[str, Levels]]) -> dict[str, dict[str, Int[np.ndarray, "row _"]]]:
    """The levels of each unit as numbers, the same for one level in all blocks; -1 fills rows of fewer levels."""
    numbers: dict[tuple[str, str], int] = {}
    found = {}
    for block, by_unit in units.items():
        found[block] = {}
        for unit, rows in by_unit.items():
            table = np.full((len(rows), max([1, *map(len, rows)])), -1, dtype=np.int32)
            for row, levels in enumerate(rows):
                for column, level in enumerate(levels):
                    table[row, column] = numbers.setdefault((unit, level), len(numbers))
            found[block][unit] = table
    return found


def _gold(model: HookedModel, examples: Examples, classes: Classes) -> Bool[np.ndarray, " row"]:
    """In which rows the gold label is the heuristic's answer. Raises `DataError` for examples without labels."""
    part = regrouped(model.labels, examples)
    if part.label is None:
        raise DataError(f"{examples!r} has no labels, which scores need. Give each example its label.")
    groups = resolve_groups(model.labels, part)
    return np.array([set(groups[label]) <= set(classes) for label in part.label])


def _gold_of_sides(
    model: HookedModel, pairs: ContrastPairs, classes: Classes
) -> tuple[Bool[np.ndarray, " row"], Bool[np.ndarray, " row"]]:
    """In which pairs the clean, and the corrupt, side's gold label is the heuristic's answer."""
    if isinstance(pairs.clean, Examples) and isinstance(pairs.corrupt, Examples):
        return _gold(model, pairs.clean, classes), _gold(model, pairs.corrupt, classes)
    clean, corrupt = pairs.gold, pairs.reversed().gold
    if clean is None or corrupt is None:
        raise DataError(f"{pairs!r} have no gold labels, which scores need. Give ContrastPairs(gold=...).")
    groups = resolve_groups(model.labels, pairs)
    answers = np.array([set(group) <= set(classes) for group in groups])
    return answers[list(clean)], answers[list(corrupt)]
