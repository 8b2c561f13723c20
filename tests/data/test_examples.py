"""`Examples`: every container of texts is the same data; rows, samples, fingerprints."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.data.examples import Examples
from hc_interp.errors import DataError, LabelError

FIRST, SECOND, LABEL = ["a b", "c", "d e"], ["x", "y", "z"], [0, 1, 0]


def made(kind=list, **more) -> Examples:
    return Examples(kind(FIRST), kind(SECOND), kind(LABEL), **more)


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        np.array,
        pd.Series,
        lambda v: pd.Series(v, index=[7, 7, 2]),
        lambda v: np.array(v, dtype=object),
        iter,
    ],
)
def test_every_container_is_the_same_data(kind) -> None:
    found, plain = made(kind), made()
    for name in ("first", "second", "label", "id", "source"):
        assert getattr(found, name) == getattr(plain, name)
        assert {type(item) for item in getattr(found, name)} <= {str, int}
    assert found.fingerprint() == plain.fingerprint()
    pd.testing.assert_frame_equal(found.to_frame(), plain.to_frame())


def test_defaults() -> None:
    assert made().id == ("0", "1", "2")
    assert made().source == tuple(FIRST)
    assert repr(made()) == "Examples(3 pairs, 3 sources)"
    single = Examples(FIRST)
    assert (single.second, single.label) == (None, None)
    assert list(single.to_frame()) == ["id", "first", "source"]
    assert made(label_free := list, groups=[[0], [1, 2]], classes=["e", "n", "c"]).groups == ((0,), (1, 2))
    assert made(label_free, classes=np.array(["e", "n"])).classes == ("e", "n")
    assert Examples(FIRST, label=torch.tensor(LABEL)).label == (0, 1, 0)
    assert Examples(FIRST, label=[0.0, np.int8(1), True]).label == (0, 1, 1)


def test_labels_may_be_names_of_classes() -> None:
    nli, two_way = ["entailment", "neutral", "contradiction"], [[0], [1, 2]]
    assert Examples(["a", "b"], label=["W", "F"], classes=["F", "W"]).label == (1, 0)
    assert Examples(["a", "b"], label=np.array(["F", "W"]), classes=["F", "W"]).label == (0, 1)
    assert Examples(["a", "b"], label=["neutral", "entailment"], classes=nli, groups=two_way).label == (1, 0)
    assert Examples(["a", "b"], label=["not_entailment", "Entailment"], classes=nli, groups=two_way).label == (1, 0)
    with pytest.raises(LabelError, match=r"Examples\.label has labels named 'X', which are not known as names of 'F'"):
        Examples(["a", "b"], label=["F", "X"], classes=["F", "W"])
    with pytest.raises(
        DataError, match=r"label holds 'F'; expected whole numbers.* Pass classes=\[\.\.\.\], the names"
    ):
        Examples(["a"], label=["F"])
    with pytest.raises(DataError, match=r"label holds 'F'; expected"):  # a number among names
        Examples(["a", "b"], label=["F", 1], classes=["F", "W"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Examples("one text"), "first is the one text 'one text'; expected a list"),
        (lambda: Examples(["a"], "b"), "second is the one text 'b'"),
        (lambda: Examples(["a", None]), "holds None where a text was expected"),
        (lambda: Examples(["a"], [float("nan")]), "holds nan where a text was expected"),
        (lambda: Examples(["a", 3]), "holds 3 where a text"),
        (lambda: Examples(["a"], ["b", "c"]), "second has 2 entries, first has 1"),
        (lambda: Examples(["a"], label=[]), "label has 0 entries, first has 1"),
        (lambda: Examples(["a"], id=["x", "y"]), "id has 2 entries"),
        (lambda: Examples(["a"], source=[]), "source has 0 entries"),
        (lambda: Examples(["a"], label=[0.7]), "label holds 0.7; expected whole numbers"),
        (lambda: Examples(["a"], label=[float("nan")]), "label holds nan"),
        (lambda: Examples(["a"], label=[None]), "label holds None"),
        (lambda: Examples(["a"], label=["entailment"]), "label holds 'entailment'"),
        (lambda: made().rows([3]), "Row 3 was asked for, but there are 3 rows"),
        (lambda: made()[1], "Rows were asked for by 1"),
        (lambda: made()[[0.5]], "float64"),
        (lambda: made()[np.array([True, False])], "a boolean mask of 3 entries"),
        (lambda: made().sample(-1), "A sample of -1 examples"),
    ],
)
def test_what_does_not_fit(make, message) -> None:
    with pytest.raises(DataError, match=message):
        make()


@settings(deadline=None)
@given(st.lists(st.integers(-3, 2)))
def test_rows(index) -> None:
    picked = made(groups=[[0], [1]], classes=["a", "b"]).rows(index)
    assert picked.first == tuple(FIRST[i] for i in index)
    assert picked.second == tuple(SECOND[i] for i in index)
    assert picked.label == tuple(LABEL[i] for i in index)
    assert picked.id == tuple("012"[i] for i in index)
    assert (picked.groups, picked.classes) == (((0,), (1,)), ("a", "b"))


def test_masks_and_slices() -> None:
    assert made()[np.array(made().label) == 0].first == ("a b", "d e")
    assert made()[pd.Series([False, True, False])].first == ("c",)
    assert made()[1:].id == ("1", "2")
    assert made()[::-1].id == ("2", "1", "0")


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 5))
def test_samples_are_named_by_their_seed(n, seed) -> None:
    examples = Examples([f"text {i}" for i in range(20)])
    one, two = examples.sample(n, seed), examples.sample(n, seed)
    assert one.id == two.id
    assert len(one) == min(n, 20)
    assert list(one.id) == sorted(set(one.id), key=int)


def test_samples_leave_global_randomness_alone() -> None:
    examples = Examples([f"text {i}" for i in range(200)])
    np.random.seed(0)  # noqa: NPY002 - the global state is what is tested
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert examples.sample(20, 1).id != examples.sample(20, 2).id
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_fingerprints_see_texts_labels_and_their_meaning() -> None:
    variants = [
        made(),
        Examples(FIRST, SECOND),
        Examples(FIRST),
        Examples(SECOND, FIRST, LABEL),
        Examples(FIRST, SECOND, [0, 0, 0]),
        Examples(FIRST[::-1], SECOND[::-1], LABEL[::-1]),
        made(groups=[[0], [1]]),
        made(groups=[[1], [0]]),
        made(classes=["a", "b"]),
        made(classes=["b", "a"]),
        made()[:2],
        Examples(["a b", "c", "d e "], SECOND, LABEL),
        Examples(["a", "b"], ["cd", "e"]),
        Examples(["a", "bc"], ["d", "e"]),
    ]
    assert len({examples.fingerprint() for examples in variants}) == len(variants)
    assert made().fingerprint() == made(id=["x", "y", "z"]).fingerprint() == made(source=["s"] * 3).fingerprint()


def test_a_notebook_shows_the_first_rows() -> None:
    html = Examples([f"text {i} <b>" for i in range(6)], label=[0] * 6)._repr_html_()
    assert "Examples(6, 6 sources)" in html
    assert "text 4 &lt;b&gt;" in html
    assert "text 5" not in html
