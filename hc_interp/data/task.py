"""`Task`: the splits, cases and contrast pairs of one question, such as "what does a model do on HANS?"."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Self

from hc_interp.data.as_frame import TableLike, as_frame
from hc_interp.data.contrast import ContrastPairs, PairMaker
from hc_interp.data.encode import TokenizingModel
from hc_interp.data.examples import Examples, LabelGroups, as_groups
from hc_interp.data.fitting import fitting
from hc_interp.data.frames import Columns, examples_from_frame
from hc_interp.data.grammar import case_key, case_of
from hc_interp.data.label_evidence import check_case_labels
from hc_interp.data.labels import check_labels
from hc_interp.errors import DataError, LabelError

ROLES = ("order", "overlap")  # kinds of pairs that the premises ask about
# `Examples`, or None in a task without the split. `Any` spares users, who know their task, a check at each use.
Split = Examples | Any


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled texts for one question.

    Masks and means use `train`, accuracy uses `validation` and `cases` (examples by case id), probes use `overlap`.
    `groups` is a partition of the class indices, which the labels index: [[0], [1, 2]] for the two labels of HANS on a
    model with three classes (None: every class is its own group). `classes` names the classes, which are then found by
    name in a model with another order. A split with its own groups or classes keeps these. With neither groups nor
    classes, labels are the model's class indices, and using a model with more classes than the task has labels (over
    all splits and pairs) is an error. `pairs` maps (case, kind) to `ContrastPairs`, or is a `PairMaker`.

    `heuristic[case]` says whether the shallow heuristic is right on a case, and `heuristic_label` is the label that it
    gives, as a number or as the name of a class (word overlap says "entailment"). Cases with ids of HANS' form have
    both without being told. The premises of a verdict need them. `heuristic_names[case]` names the heuristic that a
    case is about (default: that in an id of HANS' form, or "heuristic").

    `stands_for` says what kinds of pairs with names of your own show. "order": the heuristic is right on one side and
    wrong on the other, and what it looks at is the same on both. "overlap": what it looks at is there on the clean side
    alone. The premises ask about kinds of these two names, and about the kinds that stand for them.

    Raises `LabelError` for a label outside the groups, for a `heuristic_label` that is none, and for labels that
    contradict a case id of HANS, `DataError` for an empty split and for one that is not `Examples`.
    """

    name: str
    train: Split = None
    validation: Split = None
    cases: Mapping[str, Examples] | None = None
    groups: LabelGroups | None = None
    overlap: Split = None
    pairs: Mapping[tuple[str, str], ContrastPairs] | PairMaker | None = None
    classes: Sequence[str] | None = None
    heuristic: Mapping[str, bool] | None = None
    heuristic_label: int | Any = None  # after construction a number, also where a class was named
    stands_for: Mapping[str, str] | None = None
    heuristic_names: Mapping[str, str] | None = None
    _case_ids: dict[str, str] = field(init=False, repr=False, default_factory=dict)
    _n_labels: int | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", as_groups(self.groups))
        object.__setattr__(self, "classes", None if self.classes is None else tuple(self.classes))
        if self.groups and self.classes and sorted(c for g in self.groups for c in g) != list(range(len(self.classes))):
            raise LabelError(
                f"Task {self.name!r} has groups {self.groups} and classes {self.classes}; each class must be in "
                "exactly one group. Correct groups= or classes=."
            )
        object.__setattr__(self, "_n_labels", self._count_labels())
        for name in ("train", "validation", "overlap"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, self._stamped(getattr(self, name), name))
        cases = {str(case): self._stamped(part, f"case {case!r}") for case, part in (self.cases or {}).items()}
        for case, part in cases.items():
            if part.label and part.classes:
                where = f"Case {case!r} of task {self.name!r}"
                check_case_labels([case] * len(part), part.label, part.classes, part.groups, where, part.id)
        object.__setattr__(self, "cases", cases)
        self._set_heuristic()
        object.__setattr__(self, "heuristic_label", self._label_number(self.heuristic_label))
        self._check_stands_for()
        self._case_ids.update({case_key(case): case for case in cases})
        if isinstance(self.pairs, Mapping):
            object.__setattr__(self, "pairs", {k: self._stamped_pairs(k, v) for k, v in self.pairs.items()})
        elif self.pairs is not None and not isinstance(self.pairs, PairMaker):
            raise DataError(
                f"Task pairs were given as {type(self.pairs).__name__}; expected a mapping "
                f"{{(case, kind): ContrastPairs}} or an object with kinds(case) and make(case, kind)."
            )

    def __repr__(self) -> str:
        splits = [f"{name} {len(part)}" for name in ("train", "validation", "overlap") if (part := getattr(self, name))]
        return f"Task({self.name!r}, {', '.join([*splits, f'{len(self.cases or {})} cases'])})"

    def _repr_html_(self) -> str:
        """A row per split and case: its size, and whether the heuristic is right there."""
        splits = {name: part for name in ("train", "validation", "overlap") if (part := getattr(self, name))}
        right = {case: "right" if is_right else "wrong" for case, is_right in (self.heuristic or {}).items()}
        rows = [
            (escape(name), str(len(part)), str(len(set(part.source))), right.get(name, ""))
            for name, part in {**splits, **(self.cases or {})}.items()
        ]
        cells = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
        header = "<tr><th>split or case</th><th>examples</th><th>sources</th><th>heuristic</th></tr>"
        return f"<p><b>{escape(repr(self))}</b></p><table>{header}{cells}</table>"

    @classmethod
    def from_frames(
        cls,
        name: str,
        train: TableLike | None = None,
        validation: TableLike | None = None,
        cases: Mapping[str, TableLike] | None = None,
        *,
        columns: Columns | None = None,
        label_map: Mapping[object, int] | None = None,
        groups: LabelGroups | None = None,
        overlap: TableLike | None = None,
        pairs: Mapping[tuple[str, str], ContrastPairs] | PairMaker | None = None,
        classes: Sequence[str] | None = None,
        heuristic: Mapping[str, bool] | None = None,
        heuristic_label: int | str | None = None,
        stands_for: Mapping[str, str] | None = None,
        heuristic_names: Mapping[str, str] | None = None,
    ) -> Self:
        """Build a task from tables that have the same columns and labels.

        A table is a pandas frame, a `datasets.Dataset`, a list of dicts, a dict of columns, or the path of a csv, tsv,
        parquet, json or jsonl file. `columns` names the column for each of `first`, `second`, `label`, `id`, `source`,
        `answer`, `foil` (default: the column of that name), and for `units` one or a list, each the unit of its name:
        {"first": "premise", "units": ["verb", "noun"]}. `label_map` maps the table's labels to label numbers.
        Without it, labels that are names ("entailment", or those of a `ClassLabel`) are looked up in `classes`. Raises
        `DataError` naming split, column and row; `LabelError` for names that are not among `classes`, and for labels
        that contradict their names or a case of HANS ("ln_preposition" in column "subcase" or "case").
        """

        groups, classes = as_groups(groups), None if classes is None else tuple(classes)

        def read(table: TableLike, where: str) -> Examples:
            frame = as_frame(table, where, named=classes is not None and label_map is None)
            return examples_from_frame(frame, where, columns, label_map, groups, classes)

        def split(table: TableLike | None, where: str) -> Examples | None:
            return None if table is None else read(table, where)

        return cls(
            name,
            train=split(train, "train"),
            validation=split(validation, "validation"),
            cases={case: read(frame, f"case {case!r}") for case, frame in (cases or {}).items()},
            groups=groups,
            overlap=split(overlap, "overlap"),
            pairs=pairs,
            classes=classes,
            heuristic=heuristic,
            heuristic_label=heuristic_label,
            stands_for=stands_for,
            heuristic_names=heuristic_names,
        )

    @property
    def heuristics(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """For each heuristic the cases where it is right and those where it is wrong.

        Its name is that of `heuristic_names`, or that of HANS for cases with ids of HANS' form, else "heuristic".
        """
        found: dict[str, tuple[list[str], list[str]]] = {}
        for case, right in (self.heuristic or {}).items():
            parts = case_of(case)
            name = (self.heuristic_names or {}).get(case, parts.heuristic if parts else "heuristic")
            found.setdefault(name, ([], []))[0 if right else 1].append(case)
        return {name: (tuple(right), tuple(wrong)) for name, (right, wrong) in found.items()}

    def heuristic_of(self, case: str) -> str | None:
        """The name of the heuristic that a case is about; None where the task does not say."""
        case = self.case_id(case)
        return next((name for name, parts in self.heuristics.items() if case in (*parts[0], *parts[1])), None)

    def case_id(self, name: str) -> str:
        """The id in the task that `name` means; "/" and "-" are alike. Raises `DataError` listing the nearest ids."""
        if case_key(name) in self._case_ids:
            return self._case_ids[case_key(name)]
        near = difflib.get_close_matches(case_key(name), self._case_ids, n=3, cutoff=0.5)
        choices = [self._case_ids[key] for key in near] or list(self._case_ids.values())
        raise DataError(
            f"Task {self.name!r} has no case {name!r}; {'did you mean' if near else 'it has'} "
            f"{', '.join(choices) or 'no cases'}. task.cases holds all {len(self._case_ids)}."
        )

    def case(self, name: str) -> Examples:
        """The examples of one case. Raises `DataError` for an unknown case, and for one with contrast pairs only."""
        case = self.case_id(name)
        if case not in (self.cases or {}):
            raise DataError(
                f"Task {self.name!r} has only contrast pairs of {case!r}. Give it examples: cases={{{case!r}: ...}}."
            )
        return (self.cases or {})[case]

    def pair_kinds(self, case: str) -> tuple[str, ...]:
        """The kinds of contrast pairs of a case; empty if it has none. Raises `DataError` for an unknown case."""
        case = self.case_id(case)
        if self.pairs is None:
            return ()
        if isinstance(self.pairs, Mapping):
            return tuple(kind for name, kind in self.pairs if self.case_id(name) == case)
        return tuple(self.pairs.kinds(case))

    def kind_for(self, case: str, role: str) -> str | None:
        """The kind of a case's pairs that is called `role`, or else that `stands_for` it; None without such pairs.

        Raises `DataError` for two kinds of a case that stand for the same.
        """
        kinds = self.pair_kinds(case)
        own = [kind for kind in kinds if self.role_of(kind) == role]
        if role not in kinds and len(own) > 1:
            raise DataError(
                f"Case {case!r} of task {self.name!r} has pairs of the kinds {', '.join(map(repr, own))}, and "
                f"stands_for= says of each that it stands for {role!r}. Expected one: leave out the others."
            )
        return role if role in kinds else next(iter(own), None)

    def role_of(self, kind: str) -> str:
        """The name of a kind of pairs, or what it stands for."""
        return (self.stands_for or {}).get(kind, kind)

    def contrast_pairs(self, case: str, kind: str = "order", split: str | None = None) -> ContrastPairs:
        """The pairs of one case and kind; `split` is "select" or "test" (about half of the sources each), or None: all.

        When pairs are encoded, unaligned pairs that the task made are dropped and counted, and an unaligned pair that
        was given to the task is an error. Raises `DataError` for a kind that the case does not have, and if there is no
        pair.
        """
        case, kinds = self.case_id(case), self.pair_kinds(case)
        if kind not in kinds:
            raise DataError(
                f"Case {case!r} of task {self.name!r} has no {kind!r} pairs; it has "
                f"{', '.join(map(repr, kinds)) or 'none of any kind'}. Choose from task.pair_kinds(case)."
            )
        assert self.pairs is not None
        if isinstance(self.pairs, Mapping):
            names = next(names for names in self.pairs if names[1] == kind and self.case_id(names[0]) == case)
            pairs = self.pairs[names]
        else:
            pairs = self._stamped_pairs((case, kind), replace(self.pairs.make(case, kind), unaligned="drop"))
        pairs = pairs if split is None else pairs.by_split(split)
        if len(pairs) == 0:
            raise DataError(
                f"Case {case!r} yields no {kind!r} pairs{f' in the {split} split' if split else ''}; expected at "
                "least one. Give the case more examples, or choose another kind (task.pair_kinds(case)) or split."
            )
        return pairs

    def test_pairs(self, case: str, n: int, seed: int = 0) -> dict[str, ContrastPairs]:
        """At most `n` pairs of each kind of a case from the "test" split, drawn by `seed`: the pairs of a verdict.

        Raises `DataError` for an unknown case and for a case without pairs.
        """
        if not (kinds := self.pair_kinds(case)):
            raise DataError(
                f"{self.name} has no contrast pairs for {case}: no path can be patched on it. Choose another case. "
                f"{self._with_pairs()}"
            )
        return {kind: self.contrast_pairs(case, kind, split="test").sample(n, seed) for kind in kinds}

    def _with_pairs(self) -> str:
        """The cases that have pairs, as a sentence."""
        cases = [case for case in self._case_ids.values() if self.pair_kinds(case)]
        more = f" and {len(cases) - 5} more" if len(cases) > 5 else ""
        return f"Cases with pairs: {', '.join(cases[:5]) or 'none'}{more}."

    def _set_heuristic(self) -> None:
        """Store `heuristic` by the task's case ids; where it was not given, take HANS' word for cases with its ids."""
        cases = {case_key(case): case for case in self.cases or {}}
        if self.heuristic is None:
            label = self._entailment_label()
            named = {case: parts.label == "entailment" for case in self.cases or {} if (parts := case_of(case))}
            if label is None or not named:
                return
            object.__setattr__(self, "heuristic", named)
            object.__setattr__(self, "heuristic_label", label if self.heuristic_label is None else self.heuristic_label)
            return
        # A task of fewer cases keeps what is known of HANS' others.
        if unknown := [case for case in self.heuristic if case_key(case) not in cases and not case_of(case)]:
            raise DataError(
                f"heuristic= of task {self.name!r} names {unknown[0]!r}, which is no case of the task. Expected "
                f"some of {', '.join(self.cases or {}) or 'no cases'}."
            )
        if self.heuristic_label is None:
            raise DataError(
                f"heuristic= of task {self.name!r} was given without heuristic_label=, the label that the heuristic "
                "gives. Pass both, like heuristic_label=0."
            )
        about = set(map(case_key, self.heuristic))
        if unnamed := [case for case in self.heuristic_names or {} if case_key(case) not in about]:
            raise DataError(
                f"heuristic_names= of task {self.name!r} names {unnamed[0]!r}, of which heuristic= says nothing. Name "
                "cases of heuristic=."
            )
        known = {cases[case_key(c)]: bool(right) for c, right in self.heuristic.items() if case_key(c) in cases}
        object.__setattr__(self, "heuristic", known)
        if self.heuristic_names is not None:
            names = {case_key(case): name for case, name in self.heuristic_names.items()}
            object.__setattr__(self, "heuristic_names", {c: names[case_key(c)] for c in known if case_key(c) in names})

    def _check_stands_for(self) -> None:
        for kind, role in (self.stands_for or {}).items():
            if role not in ROLES or kind in ROLES:
                raise DataError(
                    f"stands_for= of task {self.name!r} holds {kind!r}: {role!r}. Expected your own name of a kind of "
                    "pairs, and 'order' or 'overlap': {'negation': 'order'}."
                )

    def _label_number(self, label: Any) -> int | None:
        """The label as a number; a name is that of a class that is a label by itself."""
        names = self._label_names()
        if label is None or (isinstance(label, int) and not isinstance(label, bool) and not names):
            return label
        by_name = {name: number for number, name in enumerate(names) if name}
        number = by_name.get(label) if isinstance(label, str) else label
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(names):
            return number
        known = ", ".join(f"{i} ({name})" if name else str(i) for i, name in enumerate(names))
        raise LabelError(
            f"heuristic_label={label!r} was given for task {self.name!r}. Expected one of its labels: "
            f"{known or 'a whole number, or classes= with the names'}."
        )

    def _label_names(self) -> list[str]:
        """For each label the class that it stands for alone; "" where it is several classes or has no name."""
        groups = self.groups or tuple((i,) for i in range(len(self.classes or ()) or self._n_labels or 0))
        return [self.classes[group[0]] if self.classes and len(group) == 1 else "" for group in groups]

    def _entailment_label(self) -> int | None:
        """The label that stands for the class "entailment" alone; None where the task does not say."""
        return next((label for label, name in enumerate(self._label_names()) if name == "entailment"), None)

    def fitting(self, model: TokenizingModel) -> Self:
        """The task without the rows that the model cannot read: rows of more tokens than its positions, or of none.

        A pair is left out if one of its sides cannot be read. Raises `DataError` for a split, case or kind of pairs
        that would become empty.
        """
        return fitting(self, model)

    def _count_labels(self) -> int | None:
        """The number of labels over all parts without their own groups or classes; None if none of them has labels."""
        sides = [self.train, self.validation, self.overlap, *(self.cases or {}).values()]
        if isinstance(self.pairs, Mapping):
            sides += [side for pairs in self.pairs.values() if isinstance(pairs, ContrastPairs) for side in pairs.sides]
        parts = [part for part in sides if isinstance(part, Examples) and part.groups is None and part.classes is None]
        return max((max(part.n_labels or 0, max(part.label) + 1) for part in parts if part.label), default=None)

    def _stamped(self, part: Examples, where: str) -> Examples:
        """The split, its labels checked, with the task's groups and classes if it has none of its own."""
        if not isinstance(part, Examples):
            raise DataError(
                f"The {where} of task {self.name!r} is a {type(part).__name__}; expected Examples. For pandas frames "
                "use Task.from_frames."
            )
        if len(part) == 0:
            raise DataError(f"The {where} of task {self.name!r} has no examples; leave it out (None) or fill it.")
        if part.groups is None and part.classes is None:
            part = replace(part, groups=self.groups, classes=self.classes, n_labels=self._n_labels)
        elif part.classes is None:
            part = replace(part, classes=self.classes)
        groups = part.groups
        if groups is None and part.classes is not None:
            groups = tuple((i,) for i in range(len(part.classes)))
        check_labels(part.label or (), groups, f"The {where} of task {self.name!r}", part.id)
        return part

    def _stamped_pairs(self, key: object, pairs: ContrastPairs) -> ContrastPairs:
        if not (isinstance(key, tuple) and len(key) == 2 and isinstance(pairs, ContrastPairs)):
            raise DataError(
                f"Task pairs hold {key!r}: {type(pairs).__name__}; expected (case, kind): ContrastPairs. "
                "Use keys such as ('my_case', 'order')."
            )
        self._case_ids.setdefault(case_key(key[0]), key[0])
        if isinstance(pairs.clean, Examples) and isinstance(pairs.corrupt, Examples):
            where = f"{key[1]} pairs of {key[0]}"
            clean = self._stamped(pairs.clean, f"clean side of {where}")
            corrupt = self._stamped(pairs.corrupt, f"corrupt side of {where}")
            pairs = replace(pairs, clean=clean, corrupt=corrupt)
        has_own = pairs.groups is not None or pairs.classes is not None
        groups, classes = (pairs.groups, pairs.classes) if has_own else (self.groups, self.classes)
        return replace(pairs, groups=groups, classes=classes or self.classes, kind=pairs.kind or key[1])
