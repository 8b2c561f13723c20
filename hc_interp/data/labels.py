"""Which of a model's classes make up each label of a data set, by class index or by class name.

Each label is a group of classes: in HANS, "non-entailment" is the group of neutral and contradiction. Class names are
compared without regard to case, "_", "-" and the spelling of "no", "non" and "not": "not_duplicate", "non-duplicate"
and "Not Duplicate" are one name. `SCHEMES` lists all other names that mean the same; nothing else is guessed.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar, runtime_checkable

from hc_interp.data.label_groups import LabelGroups, as_groups
from hc_interp.errors import DataError, LabelError

Atoms = tuple[frozenset[str], ...]  # for each class of a list, the meanings that it covers

_ENTAILMENT = {"entailment", "entail", "entails", "entailed", "yes", "true"}
_NOT_ENTAILMENT = {"not entailment", "not entail", "not entailed", "no", "false"}

# A scheme is a set of classes: for each class, the meanings ("atoms") that it covers and its possible names. Two
# schemes may divide the same atoms more or less finely: "not entailment" covers neutral and contradiction.
SCHEMES: tuple[tuple[tuple[frozenset[str], set[str]], ...], ...] = (
    (
        (frozenset({"entailment"}), _ENTAILMENT),
        (frozenset({"neutral"}), {"neutral", "maybe"}),
        (frozenset({"contradiction"}), {"contradiction", "contradict", "contradicts", "contradictory", "no", "false"}),
    ),
    (
        (frozenset({"entailment"}), _ENTAILMENT),
        (frozenset({"neutral", "contradiction"}), _NOT_ENTAILMENT),
    ),
    (
        (frozenset({"duplicate"}), {"duplicate", "paraphrase", "equivalent", "yes", "true"}),
        (frozenset({"not duplicate"}), {"not duplicate", "not paraphrase", "not equivalent", "no", "false"}),
    ),
)


DataType = TypeVar("DataType")


@runtime_checkable
class Grouped(Protocol):
    """Data whose labels index `groups` of `classes`: `Examples` or `ContrastPairs`."""

    @property
    def groups(self) -> LabelGroups | None: ...
    @property
    def classes(self) -> Sequence[str] | None: ...


@runtime_checkable
class Labelled(Grouped, Protocol):
    """Data with a label for each row: `Examples`."""

    @property
    def label(self) -> Sequence[int] | None: ...


def normalise(name: str) -> str:
    """`"Not_Duplicate"`, `"non-duplicate"` -> `"not duplicate"`."""
    text = re.sub(r"[\s_\-]+", " ", name.strip().lower())
    text = re.sub(r"^non(?=entail|duplicate|paraphrase|equivalent)", "non ", text)
    return re.sub(r"^(?:not|non|no) (?=\w)", "not ", text)


def resolve_groups(
    model_labels: Sequence[str] | None,
    data: Grouped | LabelGroups | None = None,
    classes: Sequence[str] | None = None,
) -> LabelGroups:
    """For each label of the data, the indices of the model's classes that it covers.

    `data` is the label groups, or data that has them; without groups every class is its own label. With `classes` (the
    names of the classes that the groups index) the model's classes are found by name. Without `classes` the groups
    index the model's classes. Raises `LabelError` if the model has no classes, a name has no match, or the result does
    not partition the model's classes, and for data with fewer labels than the model has classes if the data has neither
    groups nor classes.
    """
    groups, classes = _groups_and_classes(data, classes)
    if model_labels is None:
        raise LabelError(
            "The model's outputs are a whole vocabulary, but labelled data needs classes. Load the model with the "
            'words to read as classes, one for each label: hc.load(..., labels=[" yes", " no"]), or give the data '
            "answers and foils: Examples(..., answer=[' Mary', ...], foil=[' John', ...])."
        )
    if classes is None:
        if groups is None:
            _check_count(getattr(data, "n_labels", None), model_labels)
        indices = groups or tuple((i,) for i in range(len(model_labels)))
        indices = _checked(indices, range(len(model_labels)), f"the model's classes {list(model_labels)}")
        if groups is None and (labels := getattr(data, "label", None) or getattr(data, "gold", None)):
            check_labels(labels, indices, f"Data for the classes {list(model_labels)}")
        return indices
    groups = _checked(groups or tuple((i,) for i in range(len(classes))), range(len(classes)), f"classes {classes}")
    return _by_name(model_labels, groups, classes)


def scoring_groups(model_labels: Sequence[str] | None, data: Grouped) -> LabelGroups | None:
    """`resolve_groups`, or None where rows are scored by their answers: a model without classes, data with answers."""
    answered = (
        getattr(data, "answer", None) is not None or getattr(getattr(data, "clean", None), "answer", None) is not None
    )
    return None if model_labels is None and answered else resolve_groups(model_labels, data)


def regrouped(model_labels: Sequence[str] | None, data: DataType) -> DataType:
    """The data with its labels merged where the model's classes are coarser; otherwise the same object.

    For a model with the classes "entailment" and "non-entailment", neutral and contradiction become one label. Only
    `Examples` with `classes` are merged, and only if every label of the data is part of exactly one class of the model.
    """
    if model_labels is None or not isinstance(data, Labelled) or data.classes is None or data.label is None:
        return data
    groups = data.groups or tuple((i,) for i in range(len(data.classes)))
    for data_atoms in _readings(data.classes):
        for model_atoms in _readings(model_labels):
            if frozenset().union(*data_atoms) != frozenset().union(*model_atoms):
                continue
            covered = [frozenset().union(*(data_atoms[i] for i in group)) for group in groups]
            homes = [[i for i, atoms in enumerate(model_atoms) if cover <= atoms] for cover in covered]
            if len(covered) > len(model_atoms) and all(len(home) == 1 for home in homes):
                merged = tuple(homes[label][0] for label in data.label)
                examples: Any = data  # a dataclass, which no protocol says
                return replace(examples, label=merged, groups=None, classes=tuple(model_labels))
    return data


def check_labels(
    labels: Sequence[int], groups: LabelGroups | None, where: str, ids: Sequence[str] | None = None
) -> None:
    """Raise `LabelError`, which names the data and the row, for a label that is not the number of a group."""
    top = None if groups is None else len(groups)
    for row, label in enumerate(labels):
        if label < 0 or (top is not None and label >= top):
            name = f" (id {ids[row]})" if ids else ""
            expected = "0 or more" if top is None else f"0 to {top - 1}, one for each of the groups {groups}"
            raise LabelError(
                f"{where} has label {label} in row {row}{name}; expected {expected}. "
                "Map the labels (label_map={...} in Task.from_frames), drop the row, or pass groups= that fit."
            )


def _groups_and_classes(
    data: Grouped | LabelGroups | None, classes: Sequence[str] | None
) -> tuple[LabelGroups | None, tuple[str, ...] | None]:
    if isinstance(data, Grouped):
        groups, classes = data.groups, classes if classes is not None else data.classes
    else:
        groups = as_groups(data)
    return groups, None if classes is None else tuple(classes)


def _check_count(n_labels: int | None, model_labels: Sequence[str]) -> None:
    """Refuse fewer labels than classes: label 1 of two could mean the second class of three, or the last two."""
    if n_labels is not None and n_labels < len(model_labels):
        raise LabelError(
            f"The task's labels go from 0 to {n_labels - 1}, but the model has {len(model_labels)} classes "
            f"({', '.join(model_labels)}), and the task has neither groups nor classes to say which are meant. Pass "
            "Task(..., groups=...), for one groups=[[0], [1, 2]] where label 1 means 'not the first class' and "
            f"groups={[[i] for i in range(len(model_labels))]} where each label is a class, or classes=[...], the "
            "labels' names."
        )


def _checked(groups: LabelGroups, indices: range, what: str) -> LabelGroups:
    if sorted(i for group in groups for i in group) != list(indices) or not all(groups):
        raise LabelError(
            f"The groups {groups} do not partition {what}: each of the indices {list(indices)} must be in exactly one "
            "group. Pass groups= that cover all classes once, or classes= (the names that the groups' indices mean) so "
            "that they are matched to the model by name."
        )
    return groups


def _readings(names: Sequence[str]) -> list[Atoms]:
    """All readings of these class names as sets of meanings: each name as itself, then by each scheme that has them."""
    plain = [normalise(name) for name in names]
    readings: list[Atoms] = [tuple(frozenset({name}) for name in plain)]
    for scheme in SCHEMES:
        atoms = [[meaning for meaning, aliases in scheme if name in aliases] for name in plain]
        if all(atoms):
            readings.append(tuple(a[0] for a in atoms))
    return readings


def is_name(text: str) -> bool:
    """Whether a label is a name; "", "1", "LABEL_1" and "class 1" are not."""
    return not re.fullmatch(r"|((label|class)[ _-]?)?-?\d+", text.strip().lower())


def group_numbers(
    names: Sequence[str], classes: Sequence[str], groups: LabelGroups | None, whole: bool = False
) -> dict[str, int] | None:
    """The number of the group that each name belongs to; None if one of the names belongs to no group.

    "not entailment" belongs to the group of neutral and contradiction. "neutral" alone also belongs to it, unless
    `whole` demands names that mean the whole group.
    """
    groups = _checked(groups or tuple((i,) for i in range(len(classes))), range(len(classes)), f"classes {classes}")
    for class_atoms in _readings(classes):
        covered = [frozenset().union(*(class_atoms[i] for i in group)) for group in groups]
        together = [atoms for atoms in _readings(names) if frozenset().union(*atoms) == frozenset().union(*covered)]
        numbers = {}
        for i, name in enumerate(names):
            # The meaning of a name among the other names, or else all of its meanings alone ("no" has two in NLI).
            meanings = [atoms[i] for atoms in together] or [alone[0] for alone in _readings([name])]
            touched = {group for group, cover in enumerate(covered) for atoms in meanings if atoms & cover}
            fits = [group for group in touched if any(_belongs(a, covered[group], whole) for a in meanings)]
            if len(touched) == 1 and fits:
                numbers[name] = fits[0]
        if len(numbers) == len(set(names)):
            return numbers
    return None


def is_named(labels: Iterable[Any]) -> bool:
    """Whether all labels are texts and at least one of them is a name."""
    texts = list(labels)
    return all(isinstance(text, str) for text in texts) and any(map(is_name, texts))


def numbers_of_names(
    names: Iterable[str], classes: Sequence[str], groups: LabelGroups | None, where: str
) -> dict[str, int]:
    """The number of the group that each name belongs to. Raises `LabelError` listing the names that belong to none."""
    names = list(dict.fromkeys(names))
    numbers = group_numbers(names, classes, groups)
    if numbers is None:
        unknown = [name for name in names if group_numbers([name], classes, groups) is None]
        raise LabelError(
            f"{where} has labels named {', '.join(map(repr, unknown or names))}, which are not known as names of "
            f"{', '.join(map(repr, classes))}, or could be several of them. Rename the labels to these, or give their "
            "numbers."
        )
    return numbers


def label_numbers(
    labels: Iterable[Any], classes: Sequence[str] | None, groups: LabelGroups | None, where: str
) -> tuple[int, ...]:
    """The labels as numbers of groups, where they are given as whole numbers or as names of `classes`.

    Raises `DataError` for anything else, and `LabelError` for names that are not among `classes`.
    """
    values = list(labels)
    if classes is not None and is_named(values):
        numbers = numbers_of_names(values, classes, groups, where)
        return tuple(numbers[value] for value in values)
    return tuple(_whole(value, where) for value in values)


def _whole(label: Any, where: str) -> int:
    with suppress(TypeError, ValueError, OverflowError):  # of what is no number: the error below says it
        if (whole := int(label)) == float(label):
            return whole
    names = "Pass classes=[...], the names of all classes in order" if isinstance(label, str) else "Map them"
    raise DataError(
        f"{where} holds {label!r}; expected whole numbers, each the index of a group, or names of classes. {names}, "
        "and drop rows without a label first."
    )


def _belongs(meaning: frozenset[str], group: frozenset[str], whole: bool) -> bool:
    return meaning == group if whole else meaning <= group


def same_order(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether both lists name the same classes in the same order, whatever the spelling."""
    return any(a == b for a in _readings(names) for b in _readings(others))


def in_another_order(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether both lists name the same classes, but not in the same order, whatever the spelling."""
    same_classes = any(set(a) == set(b) for a in _readings(names) for b in _readings(others))
    return same_classes and not same_order(names, others)


def _by_name(model_labels: Sequence[str], groups: LabelGroups, classes: Sequence[str]) -> LabelGroups:
    for data_atoms in _readings(classes):
        for model_atoms in _readings(model_labels):
            if frozenset().union(*data_atoms) != frozenset().union(*model_atoms):
                continue
            covered = [frozenset().union(*(data_atoms[i] for i in group)) for group in groups]
            matches = tuple(tuple(i for i, atoms in enumerate(model_atoms) if atoms <= cover) for cover in covered)
            if sorted(i for group in matches for i in group) == list(range(len(model_labels))) and all(matches):
                return matches
    raise LabelError(
        f"The model's labels are {list(model_labels)}, but the data needs "
        f"{[[classes[i] for i in g] for g in groups]}, and they cannot be matched by name. Use a model trained for "
        f"this task, or name its classes in the order of its outputs when you load it: hc.load(..., "
        f"labels={list(classes)})."
    )
