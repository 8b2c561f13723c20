"""Named tasks from directories, from the hub and from the grammar; every fault of a file is named."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hc_interp.data import load as load_module
from hc_interp.data.align import encode_pairs
from hc_interp.data.examples import Examples
from hc_interp.data.label_evidence import names_in_parquet
from hc_interp.data.labels import resolve_groups
from hc_interp.data.load import load_task
from hc_interp.data.overlap import word_overlap, words
from hc_interp.data.read_table import read_table
from hc_interp.data.tables import HANS, MNLI_TRAIN, MNLI_VALIDATION, PAWS, QQP_TRAIN, QQP_VALIDATION, TASKS
from hc_interp.errors import DataError, LabelError

TABLES = (MNLI_TRAIN, MNLI_VALIDATION, HANS, QQP_TRAIN, QQP_VALIDATION, PAWS)
SWAP = "lexical_overlap_ln_subject/object_swap"
REAL = os.environ.get("HC_INTERP_DATA")
needs_data = pytest.mark.skipif(not REAL, reason="HC_INTERP_DATA does not name a data directory")


def table_frame(table, n=24):
    """Rows with every label at low and at high overlap."""
    nouns = ["doctor", "lawyer", "actor", "judge", "spy", "poet"]
    pairs = [(nouns[i % 6], nouns[(i + 1 + i // 6) % 6]) for i in range(n)]
    first = [f"the {a} saw the {b} ." for a, b in pairs]
    second = [f"the {b} saw the {a} ." if i % 2 else "no word is shared" for i, (a, b) in enumerate(pairs)]
    labels = [table.labels[(i // 2) % len(table.labels)] for i in range(n)]
    frame = pd.DataFrame({table.texts[0]: first, table.texts[1]: second, "label": labels, "unread": range(n)})
    if table.tags:
        frame["heuristic"] = "lexical_overlap"
        frame["subcase"] = ["ln_subject/object_swap" if label else "le_conjunction" for label in labels]
    return frame


@pytest.fixture
def directory(tmp_path):
    for table in TABLES:
        path = tmp_path / f"{table.file}.parquet"
        path.parent.mkdir(exist_ok=True)
        table_frame(table).to_parquet(path)
    return tmp_path


def test_mnli_hans_from_a_directory(directory):
    task = load_task("mnli-hans", data_dir=directory)
    assert task.train.groups == task.validation.groups == ((0,), (1,), (2,))
    assert task.groups == task.overlap.groups == task.case(SWAP).groups == ((0,), (1, 2))
    assert list(task.cases) == ["lexical_overlap_le_conjunction", SWAP]
    assert set(task.case(SWAP).label) == {1}
    frame = table_frame(HANS)
    assert task.case("lexical_overlap_ln_subject-object_swap").first == tuple(frame.premise[frame.label == 1])
    assert task.train.id[3] == "mnli-train-3"
    assert task.train.source == task.train.first
    assert task.case(SWAP).source[0] == " ".join(sorted(task.case(SWAP).first[0].replace(".", "").split()))
    # a model with another order of classes is read rightly
    assert resolve_groups(("contradiction", "entailment", "neutral"), task.case(SWAP)) == ((1,), (0, 2))
    assert resolve_groups(("contradiction", "entailment", "neutral"), task.train) == ((1,), (2,), (0,))


def test_qqp_paws_has_two_cases_and_no_pairs(directory):
    task = load_task("qqp-paws", data_dir=str(directory))
    assert {case: set(part.label) for case, part in task.cases.items()} == {
        "paws_non_duplicate": {0},
        "paws_duplicate": {1},
    }
    assert task.pair_kinds("paws_duplicate") == ()
    assert resolve_groups(("duplicate", "not_duplicate"), task.validation) == ((1,), (0,))


def test_max_per_case_draws_by_seed(directory):
    task = load_task("mnli-hans", data_dir=directory, max_per_case=5, seed=1)
    assert {len(part) for part in task.cases.values()} == {5}
    again, other = (load_task("mnli-hans", data_dir=directory, max_per_case=5, seed=seed) for seed in (1, 2))
    assert task.case(SWAP).id == again.case(SWAP).id != other.case(SWAP).id
    with pytest.raises(DataError, match="max_per_case is 0"):
        load_task("mnli-hans", data_dir=directory, max_per_case=0)


def spoil(directory, table, **changes):
    table_frame(table).assign(**changes).to_parquet(directory / f"{table.file}.parquet")


def at(values, row, value):
    values = list(values)
    values[row] = value
    return values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda f: {"premise": at(f.premise, 5, None)}, r"no text in column 'premise', row 5\. .*dropna"),
        (lambda f: {"hypothesis": range(len(f))}, r"holds 0 \(int\) in column 'hypothesis', row 0; expected text"),
        (lambda f: {"subcase": at(f.subcase, 2, None)}, r"no text in column 'subcase', row 2"),
        (lambda f: {"label": at(f.label, 4, 2)}, r"label 2 in column 'label', row 4; expected one of \[0, 1\]"),
        (lambda f: {"label": at(f.label, 4, np.nan)}, r"labels of type float64 in column 'label'"),
        (lambda f: {"label": f.label.astype(str)}, r"labels of type .* in column 'label' \(row 0: '0'\)"),
    ],
)
def test_faulty_columns_name_path_column_and_row(directory, changes, message):
    spoil(directory, HANS, **changes(table_frame(HANS)))
    with pytest.raises(DataError, match=rf"hans/validation\.parquet .*{message}"):
        load_task("mnli-hans", data_dir=directory)


def test_missing_directory_file_and_column(directory, tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist or is a file.*mnli/train_sample.parquet.*'hub'"):
        load_task("mnli-hans", data_dir=tmp_path / "nowhere")
    with pytest.raises(DataError, match="does not exist or is a file"):
        load_task("mnli-hans", data_dir=directory / "paws_qqp.parquet")
    table_frame(HANS).drop(columns="heuristic").to_parquet(directory / "hans/validation.parquet")
    with pytest.raises(DataError, match=r"hans/validation.parquet has no column 'heuristic'; it has 'premise'"):
        load_task("mnli-hans", data_dir=directory)
    (directory / "hans/validation.parquet").unlink()
    with pytest.raises(DataError, match=r"hans/validation.parquet is missing; .*columns premise, hypothesis, label"):
        load_task("mnli-hans", data_dir=directory)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_unreadable_files(directory, damage):
    path = directory / "mnli/train_sample.parquet"
    content = {"truncated": path.read_bytes()[:-40], "text": b"premise,hypothesis\n", "empty": b""}[damage]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mnli/train_sample.parquet cannot be read as parquet .*copy it again"):
        load_task("mnli-hans", data_dir=directory)


def test_file_without_rows(directory):
    table_frame(QQP_TRAIN).iloc[:0].to_parquet(directory / "qqp/train_sample.parquet")
    with pytest.raises(DataError, match=r"qqp/train_sample.parquet has no rows"):
        load_task("qqp-paws", data_dir=directory)


def test_only_needed_columns_are_read(directory):
    assert list(read_table(HANS, directory).columns) == ["premise", "hypothesis", "label", "heuristic", "subcase"]


def test_unknown_task_and_missing_data_dir():
    with pytest.raises(DataError, match=r"no task 'mnli_hans'; did you mean 'mnli-hans'\? The tasks are 'mnli-hans',"):
        load_task("mnli_hans")
    with pytest.raises(DataError, match=r"no task 'squad'; the tasks are"):
        load_task("squad")
    with pytest.raises(DataError, match=r"data_dir was not given.*data_dir='hub'"):
        load_task("mnli-hans")
    assert set(TASKS) == {"mnli-hans", "qqp-paws", "overlap-grammar", "ioi", "greater_than"}
    assert all(isinstance(description, str) for description in TASKS.values())


@pytest.fixture
def hub(monkeypatch):
    """`datasets.load_dataset` answers from the same stand-in tables, by hub name and split."""
    import datasets

    asked = []

    def load_dataset(path, name=None, *, split, revision=None):
        asked.append((path, name, split, revision))
        table = next(t for t in TABLES if (t.hub.path, t.hub.name, t.hub.split) == (path, name, split))
        return datasets.Dataset.from_pandas(table_frame(table, n=48))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_hub_gives_the_same_tasks(hub):
    nli, qqp = load_task("mnli-hans", data_dir="hub"), load_task("qqp-paws", data_dir="hub")
    assert len(nli.train) == 48
    assert len(nli.cases) == 2
    assert set(qqp.cases) == {"paws_duplicate", "paws_non_duplicate"}
    assert hub == [
        ("nyu-mll/glue", "mnli", "train", None),
        ("nyu-mll/glue", "mnli", "validation_matched", None),
        ("jhu-cogsci/hans", None, "validation", "refs/convert/parquet"),
        ("nyu-mll/glue", "qqp", "train", None),
        ("nyu-mll/glue", "qqp", "validation", None),
        ("google-research-datasets/paws", "labeled_final", "validation", None),
    ]


def test_hub_sample_is_drawn_by_seed(hub):
    from dataclasses import replace

    small = replace(QQP_TRAIN, hub=replace(QQP_TRAIN.hub, limit=10))
    first, again, other = (read_table(small, "hub", seed).question1.tolist() for seed in (0, 0, 1))
    assert len(first) == 10
    assert first == again != other


def test_hub_failure_says_what_to_do(monkeypatch):
    import datasets

    def offline(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        DataError, match=r"hub:nyu-mll/glue/mnli \(train\) could not be loaded \(ConnectionError: no route"
    ):
        load_task("mnli-hans", data_dir="hub")


def test_hub_column_missing(monkeypatch):
    import datasets

    bare = datasets.Dataset.from_dict({"premise": ["a"]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: bare)
    with pytest.raises(DataError, match="has no column 'hypothesis', 'label'; it has 'premise'"):
        load_task("mnli-hans", data_dir="hub")


def test_overlap_grammar_needs_no_data(tiny_model):
    task = load_task("overlap-grammar", max_per_case=40)
    assert len(task.cases) == 30
    assert {len(part) for part in task.cases.values()} == {40}
    assert task.train.groups == ((0,), (1,), (2,))
    assert not set(task.train.source) & set(task.validation.source)
    assert "order" in task.pair_kinds(SWAP)
    pairs = task.contrast_pairs(SWAP, split="test")
    assert set(pairs.gold) == {1}
    assert set(pairs.reversed().gold) == {0}
    vocabulary = {
        word for part in (pairs.clean, pairs.corrupt) for text in part.first + part.second for word in words(text)
    }
    assert encode_pairs(tiny_model([*sorted(vocabulary), "."]), pairs).dropped == 0
    again = load_module._overlap_grammar.__wrapped__(0, 40)  # a second making (tests/conftest.py keeps the first)
    assert task.contrast_pairs(SWAP).fingerprint() == again.contrast_pairs(SWAP).fingerprint()
    balanced(task.overlap)


@needs_data
def test_real_mnli_hans():
    start = time.process_time()  # what else the machine does is no matter here
    task = load_task("mnli-hans", data_dir=Path(REAL))
    assert time.process_time() - start < 2
    assert len(task.cases) == 30
    assert {len(part) for part in task.cases.values()} == {1000}
    assert (len(task.train), len(task.validation)) == (14_958, 9_815)
    assert len(task.contrast_pairs(SWAP, split="test")) > 300
    balanced(task.overlap)


@needs_data
def test_real_qqp_paws():
    task = load_task("qqp-paws", data_dir=REAL)
    assert {case: len(part) for case, part in task.cases.items()} == {
        "paws_non_duplicate": 8696,
        "paws_duplicate": 3967,
    }
    balanced(task.overlap)


def balanced(part: Examples) -> None:
    """Labels are equally frequent and overlap does not tell them apart more than its strata allow."""
    overlap = np.array([word_overlap(a, b) for a, b in zip(part.first, part.second, strict=True)])
    labels = np.array(part.label)
    assert labels.mean() == 0.5
    assert abs(overlap[labels == 0].mean() - overlap[labels == 1].mean()) < 0.1
    assert overlap.std() > 0.1


def spellings(table):
    """The classes of a table in another order and spelling, so that every number means something else."""
    return [name.upper().replace("_", "-") for name in table.classes[::-1]]


def renumbered(table, labels):
    return [len(table.classes) - 1 - label for label in labels]


def features(frame, names):
    """`datasets` features of a table whose labels are named."""
    import datasets

    kinds = {column: datasets.Value("string" if frame[column].dtype == object else "int64") for column in frame}
    kinds |= {column: datasets.Value("string") for column in frame if isinstance(frame[column].iloc[0], str)}
    return datasets.Features({**kinds, "label": datasets.ClassLabel(names=names)})


def task_of(table):
    return "qqp-paws" if "q" in table.file else "mnli-hans"


def labels_of(task):
    """Every label of a task by the id of its example."""
    parts = [task.train, task.validation, task.overlap, *task.cases.values()]
    return {name: label for part in parts for name, label in zip(part.id, part.label, strict=True)}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
@pytest.mark.parametrize("how", ["parquet", "text", "category", "hub", "hub text"])
def test_named_labels_are_mapped_by_name(directory, monkeypatch, table, how):
    import datasets

    expected = labels_of(load_task(task_of(table), data_dir=directory))
    names, frame = spellings(table), table_frame(table)
    frame["label"] = renumbered(table, frame["label"])
    if "text" in how or how == "category":
        frame["label"] = [names[label] for label in frame["label"]]
    if how == "category":
        frame["label"] = frame["label"].astype("category")
    named = how in ("parquet", "hub")
    given = datasets.Dataset.from_pandas(frame, features=features(frame, names) if named else None)
    if how.startswith("hub"):
        plain = {t.hub: datasets.Dataset.from_pandas(table_frame(t)) for t in TABLES}

        def load_dataset(path, name=None, *, split, revision=None):
            hub = next(t.hub for t in TABLES if (t.hub.path, t.hub.name, t.hub.split) == (path, name, split))
            return given if hub == table.hub else plain[hub]

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    elif how == "parquet":
        given.to_parquet(directory / f"{table.file}.parquet")
    else:
        frame.to_parquet(directory / f"{table.file}.parquet")
    found = labels_of(load_task(task_of(table), data_dir="hub" if how.startswith("hub") else directory))
    assert found == expected


@pytest.mark.parametrize("how", ["parquet", "text"])
def test_three_names_are_read_where_two_classes_are_asked_for(directory, how):
    import datasets

    names, frame = ["contradiction", "entailment", "neutral"], table_frame(HANS)
    frame["label"] = [(0, 2)[row % 2] if label else 1 for row, label in enumerate(frame["label"])]
    if how == "text":
        frame["label"] = [names[label] for label in frame["label"]]
    given = datasets.Dataset.from_pandas(frame, features=None if how == "text" else features(frame, names))
    given.to_parquet(directory / "hans/validation.parquet")
    assert read_table(HANS, directory).label.tolist() == table_frame(HANS).label.tolist()


@pytest.mark.parametrize("how", ["parquet", "text"])
def test_unknown_names_are_named(directory, how):
    import datasets

    frame, names = table_frame(MNLI_TRAIN), ["entailment", "perhaps", "never"]
    if how == "text":
        frame["label"] = [names[label] for label in frame["label"]]
    given = datasets.Dataset.from_pandas(frame, features=None if how == "text" else features(frame, names))
    given.to_parquet(directory / "mnli/train_sample.parquet")
    with pytest.raises(LabelError, match=r"mnli/train_sample.parquet.* labels named 'perhaps', 'never', which are not"):
        load_task("mnli-hans", data_dir=directory)


@pytest.mark.parametrize("names", [["0", "1"], ["LABEL_0", "LABEL_1"]])
def test_numbers_are_no_names(directory, names):
    import datasets

    frame = table_frame(PAWS)
    given = datasets.Dataset.from_pandas(frame, features=features(frame, names))
    given.to_parquet(directory / "paws_qqp.parquet")
    assert read_table(PAWS, directory).label.tolist() == frame.label.tolist()


def test_names_are_read_from_metadata_in_both_forms():
    def metadata(names):
        return {b"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}}).encode()}

    assert names_in_parquet(metadata(["b", "a"]), "label") == ("b", "a")
    assert names_in_parquet(metadata({"1": "b", "10": "c", "0": "a"}), "label") == ("a", "b", "c")
    assert names_in_parquet(metadata(["b", "a"]), "other") is None
    assert names_in_parquet({b"pandas": b"{}"}, "label") is names_in_parquet(None, "label") is None


def flipped(rows):
    """HANS with the labels of some rows exchanged; a place for all rows is None."""
    frame = table_frame(HANS)
    return [1 - v if rows is None or row in rows else v for row, v in enumerate(frame.label)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, r"24 of 24 labels .* row 0 \(id hans-0\): label 1 in 'lexical_overlap_le_conj.*seem to be exchanged"),
        ((7, 3), r"2 of 24 labels .* row 3 \(id hans-3\): label 0 in .*ln_subject/.* Some labels are wrong"),
    ],
)
def test_labels_that_contradict_the_subcases_are_an_error(directory, rows, message):
    spoil(directory, HANS, label=flipped(rows))
    with pytest.raises(LabelError, match=rf"hans/validation in .* has {message}"):
        load_task("mnli-hans", data_dir=directory)


def test_labels_that_contradict_the_subcases_are_an_error_from_the_hub(monkeypatch):
    import datasets

    def load_dataset(path, name=None, *, split, revision=None):
        table = next(t for t in TABLES if (t.hub.path, t.hub.name, t.hub.split) == (path, name, split))
        frame = table_frame(table)
        return datasets.Dataset.from_pandas(frame.assign(label=flipped(None)) if table is HANS else frame)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(LabelError, match=r"hans/validation in hub has 24 of 24 labels"):
        load_task("mnli-hans", data_dir="hub")
