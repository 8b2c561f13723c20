"""Which of a model's classes make up each label of a data set: groups by index, or by the names of the classes.

Names are compared without case, "_", "-" and "no"/"non"/"not", so that "not_duplicate",
"non-duplicate" and "Not Duplicate" are one name. `SCHEMES` lists all other names that are taken to mean the same;
nothing else is guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from hc_interp.data.examples import Examples, LabelGroups, as_groups
from hc_interp.errors import LabelError

Atoms = tuple[frozenset[str], ...]

_ENTAILMENT = {"entailment", "entail", "entails", "entailed", "yes", "true"}
_NOT_ENTAILMENT = {"not entailment", "not entail", "not entailed", "no", "false"}

# A scheme is a set of classes; each class has the meanings ("atoms") that it covers and the names that it goes by.
# Two schemes over the same atoms speak of the same thing at two grains: "not entailment" is neutral or contradiction.
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


class Grouped(Protocol):
    """Anything whose labels index `groups` of `classes`: `Examples`, `ContrastPairs`."""

    @property
    def groups(self) -> LabelGroups | None: ...
    @property
    def classes(self) -> tuple[str, ...] | None: ...


def normalise(name: str) -> str:
    """`"Not_Duplicate"`, `"non-duplicate"` -> `"not duplicate"`."""
    text = re.sub(r"[\s_\-]+", " ", name.strip().lower())
    text = re.sub(r"^non(?=entail|duplicate|paraphrase|equivalent)", "non ", text)
    return re.sub(r"^(?:not|non|no) (?=\w)", "not ", text)


def resolve_groups(
    model_labels: Sequence[str] | None,
    data: "Grouped | Sequence[Sequence[int]] | None" = None,
    classes: Sequence[str] | None = None,
) -> LabelGroups:
    """The label groups as indices into the model's own classes, in the order that the data's labels count them.

    `data` is groups or what carries them; without groups every class is its own. With `classes` (the names that the
    groups' indices mean) classes are found in the model by name; without, indices are taken as the model's own.
    Raises `LabelError` when the model has no classes, a name has no match, or the result does not partition them, and
    for a task that has fewer labels than the model has classes and does not say what they mean.
    """
    groups, classes = _parts(data, classes)
    if model_labels is None:
        raise LabelError(
            "The model's outputs are a whole vocabulary, but labelled data needs classes. Load the model with the "
            "words "
            'to read as classes, one for each label: hc.load(..., labels=[" yes", " no"]).'
        )
    if classes is None:
        if groups is None:
            _check_count(getattr(data, "n_labels", None), model_labels)
        found = groups or tuple((i,) for i in range(len(model_labels)))
        found = _checked(found, range(len(model_labels)), f"the model's classes {list(model_labels)}")
        if groups is None and (labels := getattr(data, "label", None) or getattr(data, "gold", None)):
            check_labels(labels, found, f"Data for the classes {list(model_labels)}")
        return found
    wanted = _checked(groups or tuple((i,) for i in range(len(classes))), range(len(classes)), f"classes {classes}")
    return _by_name(tuple(model_labels), wanted, classes)


def regrouped(model_labels: Sequence[str] | None, data: Any) -> Any:
    """The data with its labels merged where the model's classes are coarser, else as it is.

    Neutral and contradiction are one label on a model that says "entailment" and "non-entailment". Only `Examples`
    that name their classes are merged, and only where every label of the data is part of exactly one class.
    """
    if model_labels is None or not isinstance(data, Examples) or data.classes is None or data.label is None:
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
                return replace(data, label=merged, groups=None, classes=tuple(model_labels))
    return data


def check_labels(
    labels: Sequence[int], groups: LabelGroups | None, where: str, ids: Sequence[str] | None = None
) -> None:
    """Raise `LabelError`, naming the split and row, for a label that is not the number of a group."""
    top = None if groups is None else len(groups)
    for row, label in enumerate(labels):
        if label < 0 or (top is not None and label >= top):
            name = f" (id {ids[row]})" if ids else ""
            expected = "0 or more" if top is None else f"0 to {top - 1}, one for each of the groups {groups}"
            raise LabelError(
                f"{where} has label {label} in row {row}{name}; expected {expected}. "
                "Map the labels (label_map={...} in Task.from_frames), drop the row, or pass groups= that fit."
            )


def _parts(data, classes) -> tuple[LabelGroups | None, tuple[str, ...] | None]:
    if data is not None and hasattr(data, "groups"):
        groups, classes = data.groups, classes if classes is not None else data.classes
    else:
        groups = as_groups(data)
    return groups, None if classes is None else tuple(classes)


def _check_count(n_labels: int | None, model_labels: Sequence[str]) -> None:
    """Two labels on three classes: whether 1 means the second class or "not the first" cannot be known."""
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
    """Every way to read these class names as sets of meanings: word for word, then by schemes that know all."""
    plain = [normalise(name) for name in names]
    found: list[Atoms] = [tuple(frozenset({name}) for name in plain)]
    for scheme in SCHEMES:
        atoms = [[meaning for meaning, aliases in scheme if name in aliases] for name in plain]
        if all(atoms):
            found.append(tuple(a[0] for a in atoms))
    return found


def is_name(text: str) -> bool:
    """Whether a label is a name: "", "1", "LABEL_1" and "class 1" are none."""
    return not re.fullmatch(r"|((label|class)[ _-]?)?-?\d+", text.strip().lower())


def group_numbers(
    names: Sequence[str], classes: Sequence[str], groups: LabelGroups | None, whole: bool = False
) -> dict[str, int] | None:
    """The number of the group that each name belongs to; None if a name fits none.

    "not entailment" belongs to a group of neutral and contradiction, and so does "neutral" unless `whole` asks for
    names that mean all of a group.
    """
    groups = _checked(groups or tuple((i,) for i in range(len(classes))), range(len(classes)), f"classes {classes}")
    for class_atoms in _readings(classes):
        covered = [frozenset().union(*(class_atoms[i] for i in group)) for group in groups]
        together = [atoms for atoms in _readings(names) if frozenset().union(*atoms) == frozenset().union(*covered)]
        found = {}
        for place, name in enumerate(names):
            # What a name means beside all others, or else each thing that it may mean alone ("no" in NLI is two).
            meanings = [atoms[place] for atoms in together] or [alone[0] for alone in _readings([name])]
            touched = {i for i, cover in enumerate(covered) for atoms in meanings if atoms & cover}
            fits = [i for i in touched if any(a == covered[i] if whole else a <= covered[i] for a in meanings)]
            if len(touched) == 1 and fits:
                found[name] = fits[0]
        if len(found) == len(set(names)):
            return found
    return None


def same_order(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether both lists name the same classes in the same order, whatever the spelling."""
    return any(a == b for a in _readings(names) for b in _readings(others))


def in_another_order(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether both lists name the same classes, but not in the same order, whatever the spelling."""
    same_classes = any(set(a) == set(b) for a in _readings(names) for b in _readings(others))
    return same_classes and not same_order(names, others)


def _by_name(model_labels: tuple[str, ...], groups: LabelGroups, classes: tuple[str, ...]) -> LabelGroups:
    for data_atoms in _readings(classes):
        for model_atoms in _readings(model_labels):
            if frozenset().union(*data_atoms) != frozenset().union(*model_atoms):
                continue
            covered = [frozenset().union(*(data_atoms[i] for i in group)) for group in groups]
            found = tuple(tuple(i for i, atoms in enumerate(model_atoms) if atoms <= cover) for cover in covered)
            if sorted(i for group in found for i in group) == list(range(len(model_labels))) and all(found):
                return found
    raise LabelError(
        f"The model's labels are {list(model_labels)}, but the data needs "
        f"{[[classes[i] for i in g] for g in groups]}, and they cannot be matched by name. Use a model trained for "
        f"this task, or name its classes in the order of its outputs when you load it: hc.load(..., "
        f"labels={list(classes)})."
    )
