"""Which values of a user's feature are two classes, which are numbers, and that the results say so."""

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from hc_interp.errors import DataError
from hc_interp.models.site import Site
from hc_interp.probing.classes import target_of
from hc_interp.probing.features import FeatureValues, feature_values
from hc_interp.probing.probe import Probe, fit_probe
from hc_interp.probing.probe_map import probe_map

NAN = float("nan")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
TWO = {
    "ints": ([3, 7, 3], ("3", "7")),
    "signs": ([1, -1, -1], ("-1", "1")),
    "signs as floats": ([1.0, -1.0, -1.0], ("-1", "1")),
    "zeros and ones as floats": ([0.0, 1.0, NAN], ("0", "1")),
    "booleans": ([True, False, None], ("False", "True")),
    "text": (["yes", "no", "yes"], ("no", "yes")),
    "numbers as text": (["10", "9", "9"], ("10", "9")),
    "ints beside NaN": ([2, 1, NAN], ("1", "2")),
    "objects": (np.array([5, 4, None], dtype=object), ("4", "5")),
    "numpy booleans": (np.array([True, False, True]), ("False", "True")),
    "numpy text": (np.array(["b", "a", "b"]), ("a", "b")),
    "tensor": (torch.tensor([1, -1, 1]), ("-1", "1")),
    "nullable ints": (pd.Series([4, 2, None], dtype="Int64"), ("2", "4")),
    "nullable booleans": (pd.Series([True, None, False], dtype="boolean"), ("False", "True")),
    "series of text": (pd.Series(["x", None, "w"]), ("w", "x")),
    "categorical": (pd.Categorical(["low", "high", None], categories=["low", "high"]), ("low", "high")),
    "series of categories": (pd.Series(["b", "a", "a"], dtype="category"), ("a", "b")),
    "categories of numbers": (pd.Categorical([0.5, 1.5, 0.5]), ("0.5", "1.5")),
    "an unused category": (pd.Categorical(["b", "a"], categories=["c", "b", "a"]), ("b", "a")),
    **{name: (np.array([2, 5, 2], dtype=name), ("2", "5")) for name in INTEGERS},
}


def values_of(feature, model, examples) -> FeatureValues:
    return feature_values(model, examples.rows(range(len(feature))), feature)


@pytest.mark.parametrize("name", TWO)
def test_two_classes(model, examples, name: str) -> None:
    feature, classes = TWO[name]
    values = values_of(feature, model, examples)
    assert (values.kind, values.classes) == ("binary", classes)
    assert values.target == f"class {classes[1]} against {classes[0]}"
    present = [item for item in (feature.tolist() if hasattr(feature, "tolist") else feature) if not pd.isna(item)]
    as_named = {"0.0": "0", "1.0": "1", "-1.0": "-1"}
    shown = [as_named.get(str(item), str(item)) for item in present]
    assert [classes[int(value)] for value in values.value] == shown
    assert values.target in repr(values)


@pytest.mark.parametrize(
    "feature",
    [
        [0.5, 1.0, 2.0],
        [0.0, 1.0, 2.0],  # whole numbers
        np.arange(3.0, dtype=np.float32),
        [2.0, 3.0, NAN],
        [0.0, 1.0, -1.0],
        [1, 2.5, 3],
        [Decimal("1.5"), Decimal(2), Decimal(3)],
        pd.Series([1.0, None, 2.0], dtype="Float64"),
        torch.tensor([1.0, 2.0, 3.0]),
    ],
)
def test_floats_are_numbers(model, examples, feature) -> None:
    values = values_of(feature, model, examples)
    assert (values.kind, values.classes, values.target) == ("real", (), "numbers")
    assert values.value.tolist() == [float(item) for item in feature if not pd.isna(item)]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ([0, 1, 2], r"integers of 3 values \(0, 1, 2\), which are classes.*\[value == 0 for.*or floats to predict"),
        (list("abcdef"), r"text of 6 values \('a', 'b', 'c', 'd', ...\).*\[value == 'a' for value in values\]"),
        ([-1, 0, 1], r"integers of 3 values \(-1, 0, 1\)"),
        (pd.Categorical([1, 2, 3]), "categories of 3 values"),
        ([7, 7, 7], "is 7 at all 3 places"),
        ([Fraction(1, 2), Fraction(1, 3)], "cannot be read as numbers or classes"),
        ([True, "a"], "cannot be read as numbers or classes"),
    ],
)
def test_more_than_two_classes_are_refused_and_the_mend_is_said(model, examples, feature, message: str) -> None:
    with pytest.raises(DataError, match=message):
        values_of(feature, model, examples)


def test_text_has_no_regression_to_offer() -> None:
    with pytest.raises(DataError) as caught:
        target_of(["a", "b", "c"])
    assert not re.search("float", str(caught.value))


def test_classes_of_tokens(model, examples) -> None:
    few = examples.rows(range(2))
    ids = [model.tokenizer(a, b)["input_ids"] for a, b in zip(few.first, few.second, strict=True)]
    rows = [["noun" if token % 2 else None for token in row] for row in ids]
    rows[0][0] = "none"
    values = feature_values(model, few, rows)
    assert (values.level, values.kind, values.classes) == ("token", "binary", ("none", "noun"))
    assert values.rows(np.array([0])).classes == values.classes
    assert len(values) == 1 + sum(token % 2 for row in ids for token in row)


def test_the_probe_of_a_sign_is_that_of_zeros_and_ones_and_says_so(model, examples, tmp_path) -> None:
    known = np.array([text.startswith("doctor") for text in examples.first])
    site = Site(1, "resid_post")
    plain = fit_probe(model, examples, site, known.astype(float))
    for feature, target in ((np.where(known, 1, -1), "class 1 against -1"), (known, "class True against False")):
        probe = fit_probe(model, examples, site, feature)
        assert torch.equal(probe.weights, plain.weights)
        assert probe.scores == plain.scores
        assert f"custom at {site}, {target}: accuracy" in repr(probe)
        loaded = Probe.load(probe.save(tmp_path / "probe.json"))
        assert loaded.places.feature.classes == probe.places.feature.classes
    assert "class yes against no" in repr(probe_map(model, examples, np.where(known, "yes", "no"), [site]))
    numbers = fit_probe(model, examples, site, known + 0.5 * np.arange(len(known)))
    assert f"custom at {site}, numbers: r2" in repr(numbers)
    with pytest.raises(DataError, match="a probe tells two apart"):
        fit_probe(model, examples, site, np.arange(len(known)) % 3)
