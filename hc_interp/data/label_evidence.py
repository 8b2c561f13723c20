"""Checks of label numbers against what the data itself contains: names of classes, and case ids that imply a label.

Two files may number the same labels differently. Labels with names are renumbered as the task numbers them. Labels that
contradict the id of their case are an error. Label numbers with neither a name nor such an id are used unchanged.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hc_interp.data.examples import LabelGroups
from hc_interp.data.grammar import CASES, case_key, case_of
from hc_interp.data.labels import group_numbers, is_named, normalise, numbers_of_names
from hc_interp.errors import LabelError

_HEURISTICS = {parts.heuristic for case in CASES if (parts := case_of(case))}
_BY_SUBCASE = {  # "ln_passive": the parts of "lexical_overlap_ln_passive"
    case_key(case.removeprefix(f"{parts.heuristic}_")): parts for case in CASES if (parts := case_of(case))
}


def class_names(feature: Any) -> tuple[str, ...] | None:
    """The names of a `ClassLabel` feature, given as the object or as its JSON; None for any other feature."""
    names = feature.get("names") if isinstance(feature, Mapping) else getattr(feature, "names", None)
    if isinstance(names, Mapping):  # {"0": "entailment", ...}
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(names) if names and is_named(names) else None


def names_in_parquet(metadata: Mapping[bytes, bytes] | None, column: str) -> tuple[str, ...] | None:
    """The class names of a column that `datasets` wrote into a parquet file's metadata; None without any."""
    record = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    return class_names(record.get("info", {}).get("features", {}).get(column))


def check_label_map(
    label_map: Mapping[object, int], classes: Sequence[str], groups: LabelGroups | None, where: str
) -> None:
    """Raise `LabelError` if `label_map` maps the name of a class to the number of a group without that class."""
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
    """Raise `LabelError` if labels contradict ids of HANS' cases; all examples of such a case have the same label.

    `cases` holds one id for each label, with or without the heuristic: "lexical_overlap_le_passive" and "le_passive"
    imply entailment, "ln_passive" non-entailment. Other ids are not checked, and neither are classes without one that
    means entailment.
    """
    index = group_numbers(["entailment"], classes, groups, whole=True)
    if index is None:
        return
    expected = [_is_entailment(case) for case in cases]
    n_checked = sum(item is not None for item in expected)
    wrong = [
        row for row, item in enumerate(expected) if item is not None and (labels[row] == index["entailment"]) != item
    ]
    if wrong:
        row = wrong[0]
        name = f" (id {ids[row]})" if ids else ""
        swapped = "The two labels seem to be exchanged" if len(wrong) == n_checked else "Some labels are wrong"
        raise LabelError(
            f"{where} has {len(wrong)} of {n_checked} labels that contradict the id of their case; the first is in row "
            f"{row}{name}: label {labels[row]} in {cases[row]!r}, whose examples are all "
            f"{'entailment' if expected[row] else 'non-entailment'} (entailment is label {index['entailment']}). "
            f"{swapped}: map them when the table is read (label_map=) or written."
        )


def _is_entailment(case: str) -> bool | None:
    """Whether all examples of a case of HANS are entailment ("le_", "se_", "ce_"); None for ids of no such case."""
    parts = case_of(case)
    if parts is None or parts.heuristic not in _HEURISTICS:
        parts = _BY_SUBCASE.get(case_key(case))
    return None if parts is None else parts.heuristic_is_right
