"""Results survive a file: every kind of value they hold, and clear errors for files that are not theirs."""

import dataclasses
import importlib
import json
import re
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hc_interp
from hc_interp.checksum import FORMAT, write_checked
from hc_interp.components import EMBED, MLP, OUTPUT, Head, universe
from hc_interp.errors import ResultError
from hc_interp.records.result import MODULES, Result, read
from hc_interp.subnetwork import Subnetwork


@dataclass(frozen=True, eq=False)
class Holder(Result):
    value: Any

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({"a": [1], "b <&": ["<script>"]})


@dataclass(frozen=True, eq=False)
class OtherHolder(Result):
    inner: Holder
    more: tuple[Holder, ...]


@pytest.fixture
def back(tmp_path):
    """A value after a round trip through a file."""
    return lambda value: Holder.load(Holder(value).save(tmp_path / "x.json")).value


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from([Head(1, 2), MLP(0), EMBED, OUTPUT]),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.tuples(st.text(), st.integers()), inner)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(plain)
def test_plain_values(tmp_path_factory, value) -> None:
    path = tmp_path_factory.mktemp("result") / "x.json"
    found = Holder.load(Holder(value).save(path)).value
    assert found == value
    assert type(found) is type(value)


def test_numbers_that_json_has_not(back) -> None:
    found = back([float("nan"), float("inf"), -float("inf"), np.float32("nan"), np.int64(3), np.bool_(True)])
    assert np.isnan(found[0])
    assert found[1:3] == [float("inf"), -float("inf")]
    assert np.isnan(found[3])
    assert found[4:] == [3, True]


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 3), (1, 2, 2)], ids=str)
def test_tensors(back, dtype, shape) -> None:
    tensor = (torch.randn(shape) * 3).to(dtype)
    found = back(tensor)
    assert found.dtype == dtype
    assert found.shape == tensor.shape
    assert torch.equal(found, tensor)
    found.fill_(1)  # memory of its own, writable


def test_tensors_that_are_views_or_need_gradients(back) -> None:
    weight = torch.randn(3, 4, requires_grad=True)
    assert torch.equal(back(weight.T), weight.detach().T)
    assert not back(weight).requires_grad
    assert torch.isnan(back(torch.tensor([float("nan"), 1.0]))).tolist() == [True, False]
    assert torch.equal(back(torch.ones(1).expand(5)), torch.ones(5))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3)),
        np.arange(6).reshape(2, 3).T,
        np.array(3.5),
        np.array([True, False]),
        np.array([1, 2], ">i4"),
        np.array([np.nan, np.inf]),
        np.array(["a", "bcd"]),
        np.array([], dtype=object),
        np.float16([1.5]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays(back, array) -> None:
    found = back(array)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_arrays_of_objects_keep_what_they_hold(back) -> None:
    array = np.empty((2, 2), dtype=object)
    array[:] = [[Head(1, 2), None], [float("nan"), "a"]]
    found = back(array)
    assert found.shape == (2, 2)
    assert found[0].tolist() == [Head(1, 2), None]
    assert np.isnan(found[1, 0])
    tuples = np.empty(2, dtype=object)
    tuples[0], tuples[1] = (1, 2), (3, 4)
    assert back(tuples).tolist() == [(1, 2), (3, 4)]


def test_frames(back) -> None:
    frame = pd.DataFrame(
        {
            "text": ["é", "", "<"],
            "number": [1.5, np.nan, np.inf],
            "count": [1, 2, 3],
            "small": np.array([1, 2, 3], "int16"),
            "flag": [True, False, True],
            "who": [Head(0, 1), MLP(2), OUTPUT],
            "pair": [(1, 2), (3, 4), ()],
            "maybe": pd.Series([1, None, "x"], dtype=object),
            "missing": ["a", None, np.nan],
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "kind": pd.Categorical(["x", "y", "x"]),
            "none": pd.Series([None] * 3, dtype=object),
            7: [1, 2, 3],
        }
    )
    found = back(frame)
    pd.testing.assert_frame_equal(found, frame)
    assert [type(value) for value in found["who"]] == [Head, MLP, type(OUTPUT)]
    empty = frame.drop(columns="kind").iloc[:0]  # categories are those of the values
    pd.testing.assert_frame_equal(back(empty), empty)
    pd.testing.assert_frame_equal(back(pd.DataFrame()), pd.DataFrame(), check_column_type=False)
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    pd.testing.assert_frame_equal(back(twice), twice)


def test_dicts_with_any_keys(back) -> None:
    value = {(Head(0, 1), "q"): 1.5, Head(2, 0): {"a": (1, 2)}, 3: None, None: [], "__tuple__": "not a tag", True: {}}
    assert back(value) == value


def test_nested_results_and_subnetworks(tmp_path) -> None:
    kept = Subnetwork(frozenset([Head(0, 1)]), universe(2, 2))
    outer = OtherHolder(Holder(kept), (Holder(torch.ones(2)), Holder({"deep": Holder(1)})))
    path = tmp_path / "x.json"
    outer.save(path)
    for found in (OtherHolder.load(path), Result.load(str(path))):
        assert isinstance(found, OtherHolder)
        assert found.inner.value == kept
        assert torch.equal(found.more[0].value, torch.ones(2))
        assert found.more[1].value["deep"].value == 1


@pytest.mark.parametrize(
    "bad", [{1, 2}, object(), 1j, np.longdouble(1), pd.Timestamp("2020-01-01")], ids=lambda bad: type(bad).__name__
)
def test_what_cannot_be_saved_leaves_no_file(tmp_path, bad) -> None:
    with pytest.raises(TypeError, match=f"cannot hold a {type(bad).__name__}"):
        Holder([bad]).save(tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def good(value: Any = 1) -> dict:
    return {"result": {"__result__": "Holder", "fields": {"value": value}}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "hello",
        json.dumps(good() | {"format": FORMAT}),  # which has no checksum, as all of this format have
        json.dumps(good() | {"format": 0}),
        json.dumps(good() | {"format": None}),
        {},
        {"result": {"__result__": "Holder", "fields": {"other": 1}}},
        {"result": {"__result__": "Holder", "fields": [1]}},
        good({"__what__": 1}),
        good({}),
        good({"__component__": "L1Q1"}),
        good({"__component__": 3}),
        good({"__subnetwork__": {"kept": ["L0H0"], "universe": []}}),
        good({"__array__": {"dtype": "float64", "shape": [2], "data": "AAAA"}}),
        good({"__array__": {"dtype": "nonsense", "shape": [2], "data": ""}}),
        good({"__tensor__": {"dtype": "nonsense", "shape": [2], "data": ""}}),
        good({"__tensor__": {"dtype": "float32", "shape": [3], "data": "AAAAAA=="}}),
        good({"__tensor__": {"dtype": "float32", "shape": [0], "data": "A"}}),
        good({"__frame__": [["a", "int64", ["x"]]]}),
        good({"__frame__": [["a"]]}),
    ],
)
def test_foreign_old_and_damaged_files(tmp_path, content) -> None:
    path = tmp_path / "x.json"
    if isinstance(content, str):
        path.write_text(content)
    else:
        write_checked(path, content)
    with pytest.raises(ResultError, match=r"x\.json is not a saved Holder .* save the result again"):
        Holder.load(path)


def test_every_truncation_is_noticed(tmp_path) -> None:
    path = Holder({"a": torch.ones(3), "b": [1, 2]}).save(tmp_path / "x.json")
    whole = path.read_bytes().rstrip()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ResultError, match="is not a saved Holder"):
            Holder.load(path)


def test_missing_binary_and_other_results(tmp_path) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for name in ("missing.json", "binary", "."):
        with pytest.raises(ResultError, match="is not a saved Holder"):
            Holder.load(tmp_path / name)
    path = Holder(1).save(tmp_path / "x.json")
    with pytest.raises(ResultError, match=r"holds a Holder, not a OtherHolder. Load it with Holder\.load"):
        OtherHolder.load(path)


def test_html_escapes() -> None:
    html = Holder("<b>&")._repr_html_()
    assert "<script>" not in html
    assert "&lt;b>&amp;" in html
    assert "&lt;script&gt;" in html


def test_the_table_of_kinds_is_the_subclasses_there_are() -> None:
    root = Path(hc_interp.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.name != "__main__.py":
            name = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
            importlib.import_module(name)
    own = {kind.__name__: kind.__module__ for kind in _subclasses(Result) if kind.__module__.startswith("hc_interp.")}
    assert own == MODULES


def _subclasses(kind: type) -> set[type]:
    return {kind for item in kind.__subclasses__() for kind in (item, *_subclasses(item))}


READ_ALL = """
import json, sys
from pathlib import Path
import hc_interp as hc

folder = Path(sys.argv[1])
try:
    hc.Evaluation.load(folder / "PathEffects.json")
except hc.ResultError as error:
    message = str(error)
kinds = {path.stem: f"{type(hc.read(path)).__module__}.{type(hc.read(path)).__name__}" for path in folder.iterdir()}
print(json.dumps([message, kinds]))
"""


def test_a_fresh_interpreter_reads_a_file_of_each_kind(tmp_path, results) -> None:
    real = {type(part).__name__: part for part in (results.run().edges, results.verdict(None), results.probe(0.7))}
    for name, module in MODULES.items():
        kind = getattr(importlib.import_module(module), name)
        result = real.get(name) or object.__new__(kind)
        for item in dataclasses.fields(kind) if name not in real else ():
            object.__setattr__(result, item.name, ())
        result.save(tmp_path / f"{name}.json")
    Subnetwork(frozenset([Head(0, 1)]), universe(2, 2)).save(tmp_path / "Subnetwork.json")
    run = subprocess.run([sys.executable, "-c", READ_ALL, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    message, kinds = json.loads(run.stdout)
    assert re.search(
        r"holds a PathEffects, not a Evaluation\. Load it with PathEffects\.load, or with hc\.read", message
    )
    assert kinds == {name: f"{module}.{name}" for name, module in MODULES.items()} | {
        "Subnetwork": "hc_interp.subnetwork.Subnetwork"
    }


def test_read_gives_what_was_saved_and_refuses_what_was_not(tmp_path) -> None:
    kept = Subnetwork(frozenset([Head(0, 1)]), universe(2, 2))
    assert read(kept.save(tmp_path / "kept.json")) == kept
    assert read(Holder(kept).save(tmp_path / "x.json")).value == kept
    with pytest.raises(ResultError, match=r"holds a Subnetwork, not a Holder\. Load it with Subnetwork\.load"):
        Holder.load(tmp_path / "kept.json")
    write_checked(tmp_path / "x.json", {"result": {"__result__": "Mine", "fields": {}}})
    with pytest.raises(
        ResultError, match=r"holds a Mine, and no imported module defines .* Import the module that does, then read"
    ):
        read(tmp_path / "x.json")
    with pytest.raises(ResultError, match="is not a saved Result"):
        read(tmp_path / "missing.json")


def test_the_names_of_the_packages_own_results_are_taken() -> None:
    with pytest.raises(ResultError, match=r"a result called Probe, which is .* of hc_interp\.probing\.probe"):
        type("Probe", (Result,), {"__module__": "mine"})


@dataclass(frozen=True, eq=True)
class OfANotebook(Result):
    number: int


def test_an_empty_class_of_the_same_name_does_not_hide_a_whole_one(tmp_path) -> None:
    path = OfANotebook(3).save(tmp_path / "made.json")
    for _ in range(3):
        empty = types.new_class("OfANotebook", (Result,))  # as cloudpickle does whenever it reads the class
    assert read(path) == OfANotebook(3)
    newer = dataclass(frozen=True)(empty)
    with pytest.raises(ResultError, match="number"):
        read(path)  # a cell that is run again defines the class anew
    assert len(Result._kinds["OfANotebook"]) <= 2
    assert newer is empty
