"""`load_task`: the tasks that have a name in the package."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples, LabelGroups
from hc_interp.data.grammar import CASES, case_examples, in_domain_examples
from hc_interp.data.grammar.cases import TWO_WAY
from hc_interp.data.label_evidence import check_case_labels
from hc_interp.data.overlap import concatenate, overlap_mix, regroup, words
from hc_interp.data.pair_rules import make_pairs, pair_kinds
from hc_interp.data.prompts.greater_than import greater_than
from hc_interp.data.prompts.ioi import NAMES, TEMPLATES, ioi
from hc_interp.data.read_table import read_table
from hc_interp.data.tables import (
    HANS,
    MNLI_TRAIN,
    MNLI_VALIDATION,
    NLI_CLASSES,
    PAWS,
    PROMPT_TASKS,
    QQP_CLASSES,
    QQP_TRAIN,
    QQP_VALIDATION,
    TASKS,
    Table,
    is_task_file,
    unknown_task,
)
from hc_interp.data.task import Task
from hc_interp.data.task_file.load import load_task_file
from hc_interp.data.template import check_template, with_template
from hc_interp.errors import DataError

THREE_WAY: LabelGroups = ((0,), (1,), (2,))
GRAMMAR_IN_DOMAIN, GRAMMAR_VALIDATION, GRAMMAR_CASE = 6000, 1000, 500  # examples of overlap-grammar


def load_task(
    name: str | Path,
    data_dir: str | Path | None = None,
    seed: int = 0,
    max_per_case: int | None = None,
    *,
    tokenizer: Any = None,
    template: str | None = None,
    names: Sequence[str] | None = None,
    templates: Sequence[str] | None = None,
) -> Task:
    """Load a task by name ("mnli-hans", "qqp-paws", "overlap-grammar", "ioi", "greater_than") or from its TOML file.

    - "mnli-hans": MNLI in domain; the 30 subcases of HANS, with contrast pairs made from them.
    - "qqp-paws": Quora question pairs in domain; PAWS duplicates and non-duplicates; no contrast pairs.
    - "overlap-grammar": the package's own sentences: NLI in domain, HANS' 30 subcases, contrast pairs; needs no data.
    - "ioi" and "greater_than": the package's own prompts for language models, scored by the answers of each row, with
      contrast pairs of the usual corruptions (`data/prompts/`). They are made for `tokenizer`, a model or a tokenizer:
      names and years are words of one token, so that all pairs are aligned. "ioi" takes `names` and `templates` of
      your own: "When {first} and {second} met, {subject} greeted", with {place} and {thing} if you like.
    - "my_task.toml": a task of your own. The file names tables of texts (csv, tsv, parquet, json, jsonl) and their
      columns, classes, cases, heuristics and contrast pairs; docs/how_to/own_data.md shows one.

    `template` writes each pair of sentences as one prompt, which a decoder needs: "{first} Question: {second} True or
    false?". Labels stay, for a model that is loaded with a word for each (`labels=`); the `overlap` split is left out.

    `data_dir` is a directory of parquet files, or "hub" to download them with `datasets`. `max_per_case` is the largest
    number of examples drawn for each case (None: all). `seed` determines this draw, the `overlap` split and the
    replacement words of contrast pairs. Raises `DataError` for an unknown task, for missing or faulty files, for a
    tokenizer that is missing or has too few words, and for a template that lacks its fields; `LabelError` for
    labels that contradict their names or HANS' subcases.
    """
    if name not in TASKS and not is_task_file(name):
        raise DataError(unknown_task(name))
    if max_per_case is not None and max_per_case < 1:
        raise DataError(f"max_per_case is {max_per_case}; expected 1 or more, or None for all examples.")
    if name != "ioi" and (names is not None or templates is not None):
        raise DataError(
            f"names={names!r} and templates={templates!r} were given for {name!r}. Only 'ioi' takes them; a pair of "
            "sentences is written by template=."
        )
    if template is not None:
        check_template(template)
        if name in PROMPT_TASKS:
            others = " ('ioi' takes templates=[...])" if name == "ioi" else ""
            raise DataError(
                f"template={template!r} was given for {name!r}, whose prompts are its own{others}. Leave it out."
            )
        return with_template(load_task(name, data_dir, seed, max_per_case), template)
    if is_task_file(name):
        if data_dir is not None:
            raise DataError(
                f"data_dir={str(data_dir)!r} was given for {str(name)!r}, which names its own tables. Leave it out; "
                "paths in the file begin at its folder."
            )
        return load_task_file(name, seed, max_per_case)
    assert isinstance(name, str)
    if name == "ioi":
        names, templates = (NAMES if names is None else names), (TEMPLATES if templates is None else templates)
        return ioi(tokenizer, seed, max_per_case, names, templates)
    if name == "greater_than":
        return greater_than(tokenizer, seed, max_per_case)
    if name == "overlap-grammar":
        return _overlap_grammar(seed, max_per_case)
    if data_dir is None:
        raise DataError(
            f"The task {name!r} needs data, and data_dir was not given. Pass the directory that holds its parquet "
            f"files: load_task({name!r}, data_dir='path/to/data'), or data_dir='hub' to download them."
        )
    return _LOADERS[name](data_dir, seed, max_per_case)


@dataclass(frozen=True)
class RulePairs:
    """A `PairMaker` that makes pairs from a task's cases by the rules of `pair_rules`, and stores them."""

    cases: Mapping[str, Examples]
    seed: int
    _made: dict[tuple[str, str], ContrastPairs] = field(default_factory=dict, repr=False)

    def kinds(self, case: str) -> tuple[str, ...]:
        return tuple(pair_kinds(case)) if case in self.cases else ()  # a user's own case has no rules

    def make(self, case: str, kind: str) -> ContrastPairs:
        if (case, kind) not in self._made:
            clean, corrupt = make_pairs(case, self.cases[case], kind, seed=self.seed)
            self._made[case, kind] = ContrastPairs(clean, corrupt, clean.label or (), kind=kind)
        return self._made[case, kind]


def _mnli_hans(data_dir: str | Path, seed: int, max_per_case: int | None) -> Task:
    """The splits of MNLI have three labels; the cases of HANS, the pairs and the `overlap` split have two."""
    train = _examples(MNLI_TRAIN, read_table(MNLI_TRAIN, data_dir, seed), "mnli-train", THREE_WAY, NLI_CLASSES)
    validation = read_table(MNLI_VALIDATION, data_dir, seed)
    validation = _examples(MNLI_VALIDATION, validation, "mnli-validation", THREE_WAY, NLI_CLASSES)
    frame = read_table(HANS, data_dir, seed)
    hans = _examples(HANS, frame, "hans", TWO_WAY, NLI_CLASSES)
    # Reorderings of a sentence have the same words, hence the same source: no split separates them.
    hans = replace(hans, source=tuple(" ".join(sorted(words(text))) for text in hans.first))
    names = [f"{heuristic}_{subcase}" for heuristic, subcase in zip(frame["heuristic"], frame["subcase"], strict=True)]
    check_case_labels(names, hans.label or (), NLI_CLASSES, TWO_WAY, f"{HANS.file} in {data_dir}", hans.id)
    cases = _cases(hans, names, max_per_case, seed)
    return Task(
        "mnli-hans",
        train=train,
        validation=validation,
        cases=cases,
        groups=TWO_WAY,
        overlap=overlap_mix(regroup(validation, TWO_WAY), hans, seed=seed),
        pairs=RulePairs(cases, seed),
        classes=NLI_CLASSES,
    )


def _qqp_paws(data_dir: str | Path, seed: int, max_per_case: int | None) -> Task:
    """PAWS labels a pair of sentences, and no rule gives the label of a changed pair: there are no contrast pairs."""
    groups: LabelGroups = ((0,), (1,))
    train = _examples(QQP_TRAIN, read_table(QQP_TRAIN, data_dir, seed), "qqp-train", groups, QQP_CLASSES)
    validation = read_table(QQP_VALIDATION, data_dir, seed)
    validation = _examples(QQP_VALIDATION, validation, "qqp-validation", groups, QQP_CLASSES)
    frame = read_table(PAWS, data_dir, seed)
    paws = _examples(PAWS, frame, "paws", groups, QQP_CLASSES)
    names = ["paws_duplicate" if label else "paws_non_duplicate" for label in paws.label or ()]
    return Task(
        "qqp-paws",
        train=train,
        validation=validation,
        cases=_cases(paws, names, max_per_case, seed),
        groups=groups,
        overlap=overlap_mix(validation, paws, seed=seed),
        classes=QQP_CLASSES,
        heuristic={"paws_duplicate": True, "paws_non_duplicate": False},
        heuristic_label=1,
    )


def _overlap_grammar(seed: int, max_per_case: int | None) -> Task:
    """The package's own sentences. `train` and `validation` have no source in common."""
    in_domain = in_domain_examples(GRAMMAR_IN_DOMAIN + GRAMMAR_VALIDATION, seed)
    sources = np.array(in_domain.source)
    unique = sorted(set(sources))
    share = GRAMMAR_VALIDATION / len(in_domain)
    held_out = np.random.default_rng(seed).choice(unique, size=max(1, round(share * len(unique))), replace=False)
    is_held_out = np.isin(sources, held_out)
    n = GRAMMAR_CASE if max_per_case is None else max_per_case
    cases = {case: case_examples(case, n, seed) for case in CASES}
    validation = in_domain.rows(np.flatnonzero(is_held_out))
    return Task(
        "overlap-grammar",
        train=in_domain.rows(np.flatnonzero(~is_held_out)),
        validation=validation,
        cases=cases,
        groups=TWO_WAY,
        overlap=overlap_mix(regroup(validation, TWO_WAY), concatenate(list(cases.values())), seed=seed),
        pairs=RulePairs(cases, seed),
        classes=NLI_CLASSES,
    )


def _examples(
    table: Table, frame: pd.DataFrame, prefix: str, groups: LabelGroups, classes: tuple[str, ...]
) -> Examples:
    """The table as `Examples`: ids number the rows of the file, and the source is the first text."""
    first, second = (tuple(frame[column]) for column in table.texts)
    ids = tuple(f"{prefix}-{row}" for row in range(len(frame)))
    return Examples(first, second, tuple(frame["label"].tolist()), ids, first, groups, classes)


def _cases(examples: Examples, names: list[str], limit: int | None, seed: int) -> dict[str, Examples]:
    """The examples by the name of their case, at most `limit` of each, in order of first appearance."""
    column = np.array(names)
    cases = {case: examples.rows(np.flatnonzero(column == case)) for case in dict.fromkeys(names)}
    return cases if limit is None else {case: part.sample(limit, seed) for case, part in cases.items()}


_LOADERS: dict[str, Callable[[str | Path, int, int | None], Task]] = {"mnli-hans": _mnli_hans, "qqp-paws": _qqp_paws}
