"""Which class a logit stands for is read or given, never guessed."""

from types import SimpleNamespace

import pytest

from hc_interp.errors import LabelError
from hc_interp.models.labels import read_labels


def config(*names, keys=None) -> SimpleNamespace:
    return SimpleNamespace(num_labels=len(names), id2label=dict(zip(keys or range(len(names)), names, strict=True)))


def test_order_is_that_of_the_checkpoint() -> None:
    assert read_labels(config("contradiction", "ENTAILMENT", " Neutral"), None, "m") == (
        "contradiction",
        "entailment",
        "neutral",
    )
    assert read_labels(config("b", "a", keys=[1, 0]), None, "m") == ("a", "b")


def test_given_labels_win() -> None:
    assert read_labels(config("LABEL_0", "LABEL_1"), ["Not_Duplicate", "Duplicate"], "m") == (
        "not_duplicate",
        "duplicate",
    )
    assert isinstance(read_labels(config("a", "b"), ["c", "d"], "m"), tuple)


@pytest.mark.parametrize(
    "names",
    [
        ("LABEL_0", "LABEL_1"),
        ("label_1", "label_0"),
        ("0", "1"),
        ("label 0", "label 1"),
        ("class_0", "class_1"),
        ("a", "LABEL_1"),
        ("a", ""),
        ("a", "A"),
    ],
)
def test_unnamed_labels_are_refused(names) -> None:
    with pytest.raises(LabelError, match=r"mine does not name its labels .* hc\.load\(\.\.\., labels=\["):
        read_labels(config(*names), None, "mine")


def test_missing_and_shifted_keys_are_refused() -> None:
    with pytest.raises(LabelError, match="does not name its labels"):
        read_labels(config("a", "b", keys=[1, 2]), None, "m")


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"], ["a", "a"], ["a", " A "], []])
def test_wrong_number(labels) -> None:
    with pytest.raises(LabelError, match=r"but m has 2 classes. Give one name for each logit"):
        read_labels(config("x", "y"), labels, "m")


def test_one_text_is_no_list() -> None:
    with pytest.raises(LabelError, match="labels='ab' is one text"):
        read_labels(config("x", "y"), "ab", "m")
