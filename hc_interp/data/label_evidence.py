"""What data says about the meaning of its own labels: the names of classes, and ids of cases that imply a label.

Two files may number the same labels differently. Names are mapped to the numbers that a task counts; numbers that an id
contradicts are an error. Numbers without a name and without such an id are taken as they are.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hc_interp.data.examples import LabelGroups
from hc_interp.data.grammar import CASES, case_key, case_of
from hc_interp.data.labels import group_numbers, is_name, normalise
from hc_interp.errors import LabelError

_HEURISTICS = {parts.heuristic for case in CASES if (parts := case_of(case))}
_BY_SUBCASE = {  # "ln_passive": the parts of "lexical_overlap_ln_passive"
    case_key(case.removeprefix(f"{parts.heuristic}_")): parts for case in CASES if (parts := case_of(case))
}


def is_named(labels: Iterable[Any]) -> bool:
    """Whether labels are texts, at least one of which is a name."""
    texts = list(labels)
    return all(isinstance(text, str) for text in texts) and any(map(is_name, texts))


def class_names(feature: Any) -> tuple[str, ...] | None:
    """The names of a `ClassLabel` feature, given as the object or as its JSON; None for any other feature."""
    names = feature.get("names") if isinstance(feature, Mapping) else getattr(feature, "names", None)
    if isinstance(names, Mapping):  # {"0": "entailment", ...}
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(names) if names and is_named(names) else None


def names_in_parquet(metadata: Mapping[bytes, bytes] | None, column: str) -> tuple[str, ...] | None:
    """The class names that `datasets` wrote into a parquet file's metadata for a column; None where there are none."""
    record = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    return class_names(record.get("info", {}).get("features", {}).get(column))


def numbers_of_names(
    names: Iterable[str], classes: Sequence[str], groups: LabelGroups | None, where: str
) -> dict[str, int]:
    """The number of the group that each label name belongs to. Raises `LabelError` naming those that fit none."""
    names = list(dict.fromkeys(names))
    numbers = group_numbers(names, classes, groups)
    if numbers is None:
        alone = [name for name in names if group_numbers([name], classes, groups) is None]
        raise LabelError(
            f"{where} has labels named {', '.join(map(repr, alone or names))}, which are not known as names of "
            f"{', '.join(map(repr, classes))}, or could be several of them. Rename the labels to these, or give their "
            "numbers."
        )
    return numbers


def check_label_map(
    label_map: Mapping[object, int], classes: Sequence[str], groups: LabelGroups | None, where: str
) -> None:
    """Raise `LabelError` where `label_map` gives the name of a class the number of a group without that class."""
    plain = [normalise(name) for name in classes]
    for name, number in label_map.items():
        if not isinstance(name, str) or normalise(name) not in plain:
            continue
        expected = numbers_of_names([name], classes, groups, where)[name]
        if number != expected:
            raise LabelError(
                f"label_map makes {name!r} the label {number}, but by classes={list(classes)}"
                f"{f' and groups={groups}' if groups else ''} it is label {expected}. Correct one of them, or leave "
                "label_map out: labels that are names of classes are then mapped by name."
            )


def check_case_labels(
    cases: Sequence[str],
    labels: Sequence[int],
    classes: Sequence[str],
    groups: LabelGroups | None,
    where: str,
    ids: Sequence[str] | None = None,
) -> None:
    """Raise `LabelError` if labels contradict ids of HANS' cases, whose examples all have one label.

    `cases` holds one id for each label, with or without its heuristic: entailment in "lexical_overlap_le_passive" or
    "le_passive", non-entailment in "ln_passive". Other ids say nothing, nor do classes that have no entailment.
    """
    index = group_numbers(["entailment"], classes, groups, whole=True)
    if index is None:
        return
    expected = [_is_entailment(case) for case in cases]
    told = sum(item is not None for item in expected)
    wrong = [
        row for row, item in enumerate(expected) if item is not None and (labels[row] == index["entailment"]) != item
    ]
    if wrong:
        row = wrong[0]
        name = f" (id {ids[row]})" if ids else ""
        swapped = "The two labels seem to be exchanged" if len(wrong) == told else "Some labels are wrong"
        raise LabelError(
            f"{where} has {len(wrong)} of {told} labels that contradict the id of their case; the first is in row "
            f"{row}{name}: label {labels[row]} in {cases[row]!r}, whose examples are all "
            f"{'entailment' if expected[row] else 'non-entailment'} (entailment is label {index['entailment']}). "
            f"{swapped}: map them when the table is read (label_map=) or written."
        )


def _is_entailment(case: str) -> bool | None:
    """The label of all examples of a case of HANS, "le_", "se_", "ce_" or "ln_", "sn_", "cn_"; None for other ids."""
    parts = case_of(case)
    if parts is None or parts.heuristic not in _HEURISTICS:
        parts = _BY_SUBCASE.get(case_key(case))
    return None if parts is None else parts.heuristic_is_right
