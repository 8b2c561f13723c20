"""Tables of every kind make the same task."""

import datasets
import pandas as pd
import pytest

from hc_interp.data.as_frame import as_frame
from hc_interp.data.task import Task
from hc_interp.errors import DataError, LabelError

CLASSES = ("entailment", "neutral", "contradiction")
ROWS = [{"first": "a b", "second": "c", "label": "neutral"}, {"first": "d", "second": "e f", "label": "entailment"}]
FRAME = pd.DataFrame(ROWS)


def written(folder, suffix):
    path = folder / f"table{suffix}"
    match suffix:
        case ".csv":
            FRAME.to_csv(path, index=False)
        case ".tsv":
            FRAME.to_csv(path, index=False, sep="\t")
        case ".parquet":
            FRAME.to_parquet(path)
        case ".json":
            FRAME.to_json(path, orient="records")
        case ".jsonl":
            FRAME.to_json(path, orient="records", lines=True)
    return path


GIVEN = {
    "a data set": lambda folder: datasets.Dataset.from_pandas(FRAME),
    "a streamed data set": lambda folder: datasets.Dataset.from_pandas(FRAME).to_iterable_dataset(),
    "a list of rows": lambda folder: ROWS,
    "a dict of columns": lambda folder: FRAME.to_dict("list"),
    "an arrow table": lambda folder: datasets.Dataset.from_pandas(FRAME).data.table,
    "a path as text": lambda folder: str(written(folder, ".csv")),
    **{suffix: lambda folder, suffix=suffix: written(folder, suffix) for suffix in
       (".csv", ".tsv", ".parquet", ".json", ".jsonl")},
}  # fmt: skip


@pytest.mark.parametrize("kind", GIVEN)
def test_a_table_of_any_kind_makes_the_same_task(kind, tmp_path) -> None:
    expected = Task.from_frames("mine", FRAME, FRAME, {"c": FRAME}, overlap=FRAME, classes=CLASSES)
    table = GIVEN[kind](tmp_path)
    found = Task.from_frames("mine", table, table, {"c": table}, overlap=table, classes=CLASSES)
    assert expected.train.label == (1, 0)
    for name in ("train", "validation", "overlap"):
        assert getattr(found, name).fingerprint() == getattr(expected, name).fingerprint()
    assert found.case("c").fingerprint() == expected.case("c").fingerprint()


@pytest.mark.parametrize("through", ["memory", "parquet"])
def test_numbers_of_a_data_set_go_by_the_names_that_it_gives_them(through, tmp_path) -> None:
    """Its 0 is "contradiction", whatever the task's 0 is."""
    names = datasets.ClassLabel(names=["contradiction", "entailment", "neutral"])
    features = datasets.Features({"first": datasets.Value("string"), "label": names})
    table = datasets.Dataset.from_dict({"first": ["a", "b", "c"], "label": [0, 1, 2]}, features=features)
    if through == "parquet":
        table.to_parquet(tmp_path / "table.parquet")
        table = tmp_path / "table.parquet"
    assert Task.from_frames("mine", table, classes=CLASSES).train.label == (2, 0, 1)
    assert Task.from_frames("mine", table).train.label == (0, 1, 2)
    with pytest.raises(LabelError, match="labels named 'contradiction'"):
        Task.from_frames("mine", table, classes=("yes", "maybe", "perhaps"))


def test_a_row_of_a_data_set_without_a_label_is_no_class(tmp_path) -> None:
    features = datasets.Features({"first": datasets.Value("string"), "label": datasets.ClassLabel(names=[*CLASSES])})
    table = datasets.Dataset.from_dict({"first": ["a", "b"], "label": [0, -1]}, features=features)
    with pytest.raises(DataError, match="-1"):
        Task.from_frames("mine", table, classes=CLASSES)


def broken(folder):
    (folder / "broken.csv").write_bytes(b"first,label\n\xff\xfe,0\n")
    return folder / "broken.csv"


def broken_parquet(folder):
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.array([b"\xff\xfe"], pyarrow.binary()).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"first": text, "label": [0]}), folder / "broken.parquet")
    return folder / "broken.parquet"


def cut(folder):
    path = written(folder, ".parquet")
    path.write_bytes(path.read_bytes()[:-20])
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: 3, r"train was given as int: 3\. Expected a pandas DataFrame, a datasets\.Dataset"),
        (lambda folder: ["a"], r"train was given as list: \['a'\]"),
        (lambda folder: folder / "none.csv", r"none\.csv, which is no file"),
        (lambda folder: "table.xlsx", r"table\.xlsx, which has the suffix '\.xlsx'"),
        (lambda folder: datasets.DatasetDict({"dev": datasets.Dataset.from_pandas(FRAME)}), r"dataset\['dev'\]"),
        (lambda folder: {"first": ["a", "b"], "label": [1]}, "cannot be read as a table"),
        (lambda folder: [], "train has no rows"),
        (broken, r"cannot be read as csv \(UnicodeDecodeError"),
        (broken_parquet, r"train holds bytes in column 'first' that are not UTF-8 text"),
        (cut, "cannot be read as parquet"),
    ],
)
def test_what_is_no_table_is_refused(make, message, tmp_path) -> None:
    with pytest.raises(DataError, match=message):
        Task.from_frames("mine", train=make(tmp_path), classes=CLASSES)


def test_a_frame_is_left_as_it_is() -> None:
    assert as_frame(FRAME, "train") is FRAME
