"""The nouns: names, order in the pass, subnetworks and their files, the size of a subnetwork."""

import json
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.components import EMBED, MLP, OUTPUT, Head, component, components, execution_order, is_upstream, universe
from hc_interp.errors import ComponentError, ResultError, SearchError
from hc_interp.shares import kept_count
from hc_interp.subnetwork import Subnetwork

ALL = universe(3, 4)
subsets = st.sets(st.sampled_from(ALL))


def sub(kept) -> Subnetwork:
    return Subnetwork(frozenset(kept), ALL)


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(0, 99))
def test_names_round_trip(layer, head) -> None:
    for item in (Head(layer, head), MLP(layer)):
        assert component(str(item)) == item
        assert component(f"  {str(item).lower()} ") == item
        assert component(item) is item


def test_names_are_those_of_the_field() -> None:
    assert [str(item) for item in (Head(3, 7), MLP(3), EMBED, OUTPUT)] == ["L3H7", "L3MLP", "embed", "output"]
    assert component("Embed") is EMBED
    assert component("output") is OUTPUT


@pytest.mark.parametrize(
    "bad", ["", "L3", "H7", "L3H", "L-1H2", "L3H7 L3H8", "3.7", "mlp3", "L3MLP1", None, 3, 3.7, (3, 7)]
)
def test_what_is_not_a_component(bad) -> None:
    with pytest.raises(ComponentError, match="is not a component"):
        component(bad)


@pytest.mark.parametrize("bad", [None, 3, ["L1H1", 3], ["nonsense"]])
def test_what_is_not_components(bad) -> None:
    with pytest.raises(ComponentError, match="is not a component"):
        components(bad)


def test_many_names() -> None:
    assert components("L1H2") == (Head(1, 2),)
    assert components(["L1H2", MLP(0), "l1h2", "embed"]) == (Head(1, 2), MLP(0), EMBED)
    assert components(sub([MLP(1), Head(1, 3)])) == (Head(1, 3), MLP(1))


def test_heads_and_mlps_stand_for_all_of_a_model() -> None:
    model = universe(2, 2)
    assert components("mlps, L0H1,embed,heads", model) == (
        MLP(0), MLP(1), Head(0, 1), EMBED, Head(0, 0), Head(1, 0), Head(1, 1),
    )  # fmt: skip
    assert components(["heads", MLP(1)], model) == (Head(0, 0), Head(0, 1), Head(1, 0), Head(1, 1), MLP(1))
    with pytest.raises(ComponentError, match="'head' is not a component"):
        components("head", model)
    with pytest.raises(ComponentError, match=r"'mlps' was given where no model says.*isinstance\(c, hc\.MLP\)"):
        components(["L0H0", "mlps"])


def test_universe_is_in_execution_order() -> None:
    assert len(ALL) == 3 * 4 + 3
    assert ALL[:6] == (Head(0, 0), Head(0, 1), Head(0, 2), Head(0, 3), MLP(0), Head(1, 0))
    assert list(ALL) == sorted(ALL, key=execution_order)
    assert universe(2, 2, mlps=False) == (Head(0, 0), Head(0, 1), Head(1, 0), Head(1, 1))
    assert len(universe(12, 12)) == 156


@pytest.mark.parametrize(
    ("sender", "receiver", "expected"),
    [
        ("L1H0", "L1H1", False), ("L1H0", "L1MLP", True), ("L1MLP", "L1H0", False), ("L1MLP", "L1MLP", False),
        ("L1MLP", "L2H0", True), ("L1H0", "L2H0", True), ("L2H0", "L1MLP", False), ("embed", "L0H0", True),
        ("embed", "output", True), ("L2MLP", "output", True), ("output", "L0H0", False), ("L0H0", "embed", False),
        ("output", "output", False), ("embed", "embed", False),
    ],
)  # fmt: skip
def test_upstream(sender, receiver, expected) -> None:
    assert is_upstream(component(sender), component(receiver)) is expected


@settings(deadline=None)
@given(subsets, subsets)
def test_algebra_is_that_of_sets(one, two) -> None:
    assert (sub(one) & sub(two)).kept == one & two
    assert (sub(one) | sub(two)).kept == one | two
    assert (sub(one) - sub(two)).kept == one - two
    assert set(sub(one).removed) == set(ALL) - one
    assert sub(one).sparsity == pytest.approx(1 - len(one) / 15)
    assert list(sub(one)) == [item for item in ALL if item in one]
    assert len(sub(one)) == len(one)
    assert set(sub(one).heads) | set(sub(one).mlps) == one
    assert all((str(item) in sub(one)) == (item in one) for item in ALL)


@settings(deadline=None)
@given(st.permutations(ALL), subsets)
def test_order_given_does_not_matter(shuffled, kept) -> None:
    mixed = Subnetwork(frozenset(kept), shuffled)
    assert mixed == sub(kept)
    assert hash(mixed) == hash(sub(kept))
    assert list(mixed) == list(sub(kept))
    assert mixed.removed == sub(kept).removed


def test_ends_of_sparsity() -> None:
    assert sub([]).sparsity == 1
    assert sub(ALL).sparsity == 0
    assert Subnetwork(frozenset(), ()).sparsity == 0
    assert "sparsity 0.933" in repr(sub([MLP(0)]))


def test_what_no_subnetwork_can_be() -> None:
    with pytest.raises(ComponentError, match="keeps L7H0, L9MLP, outside its universe of 15"):
        sub([Head(7, 0), MLP(9)])
    with pytest.raises(ComponentError, match="holds embed, an end of the stream"):
        Subnetwork(frozenset(), (*ALL, EMBED))
    with pytest.raises(ComponentError, match="outside its universe"):
        sub([OUTPUT])
    with pytest.raises(ComponentError, match="different universes"):
        sub([]) & Subnetwork(frozenset(), universe(2, 4))
    with pytest.raises(TypeError, match="unsupported operand"):
        sub([]) & {Head(0, 0)}
    with pytest.raises(ComponentError, match="is not a component"):
        assert "nonsense" in sub([])


@settings(deadline=None)
@given(subsets)
def test_save_and_load(tmp_path_factory, kept) -> None:
    path = tmp_path_factory.mktemp("sub") / "one.json"
    assert sub(kept).save(path) == path
    assert Subnetwork.load(path) == sub(kept)


def test_saved_names_can_be_read_by_eye(tmp_path) -> None:
    record = json.loads(sub([MLP(1), Head(0, 2)]).save(tmp_path / "one.json").read_text())
    assert record["kind"] == "Subnetwork"
    assert record["kept"] == ["L0H2", "L1MLP"]
    assert record["universe"] == [str(item) for item in ALL]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "3", '{"kept": [], "universe": []}', '{"kind": "Other", "kept": [], "universe": []}',
        '{"kind": "Subnetwork", "kept": ["L0H0"]}', '{"kind": "Subnetwork", "kept": ["L0H0"], "universe": ["L1H0"]}',
        '{"kind": "Subnetwork", "kept": ["what"], "universe": ["what"]}',
        '{"kind": "Subnetwork", "kept": null, "universe": null}',
        '{"kind": "Subnetwork", "kept": [], "universe": ["embed", "L0H0"]}',
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, content) -> None:
    path = tmp_path / "one.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=r"one\.json is not a saved Subnetwork"):
        Subnetwork.load(path)


def test_missing_and_binary_files(tmp_path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("missing", "binary", "."):
        with pytest.raises(ResultError, match="is not a saved Subnetwork"):
            Subnetwork.load(tmp_path / name)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 1000))
def test_kept_count_is_the_definition_in_exact_arithmetic(n, thousandths) -> None:
    exact = math.floor((1 - Fraction(thousandths, 1000)) * n + Fraction(1, 2))
    assert kept_count(n, thousandths / 1000) == exact


@pytest.mark.parametrize(
    ("n", "sparsity", "kept"),
    [(156, 0.5, 78), (156, 0.7, 47), (5, 0.9, 1), (5, 0.5, 3), (78, 0, 78), (78, 1, 0), (15, 0.30000000000000004, 11)],
)
def test_kept_count_by_hand(n, sparsity, kept) -> None:
    assert kept_count(n, sparsity) == kept


@pytest.mark.parametrize("sparsity", [-0.1, 1.5, 50, float("nan"), "0.5"])
def test_sparsity_is_a_share(sparsity) -> None:
    with pytest.raises(SearchError, match="expected 0 to 1"):
        kept_count(156, sparsity)


def test_without() -> None:
    whole = Subnetwork(frozenset(universe(2, 2)), universe(2, 2))
    smaller = whole.without(["L0H1", MLP(1)])
    assert smaller.removed == (Head(0, 1), MLP(1))
    assert smaller.without("L0H1") == smaller
    assert whole.without([]) == whole
    assert whole.without(smaller).kept == {Head(0, 1), MLP(1)}
    for outside in ("L5H0", "embed"):
        with pytest.raises(ComponentError, match="outside its universe"):
            whole.without(outside)


def test_a_notebook_shows_what_a_subnetwork_keeps() -> None:
    html = Subnetwork(["L0H1", "L1MLP"], [*universe(1, 2), MLP(1)])._repr_html_()
    assert "Subnetwork(2 of 4 kept, sparsity 0.500)" in html
    assert "<tr><td>L0</td><td>○</td><td>●</td><td>○</td></tr>" in html
    assert "<tr><td>L1</td><td></td><td></td><td>●</td></tr>" in html
