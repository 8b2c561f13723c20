"""The decision rule and the null, as pure functions of their numbers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hc_interp.components import Head
from hc_interp.reading.decision import REASONS, Evidence, decide, signs_disagree
from hc_interp.reading.relabelling import count_labellings, labellings, layer_pools, matched_receivers, size_controls
from hc_interp.statistics.tests import holm

MARGIN, ALPHA, NAN = 0.05, 0.05, float("nan")


def evidence(**changes) -> Evidence:
    """A kind that shows reading by every rule, but for `changes`."""
    numbers = {"kind": "order", "why": "", "statistic": 0.4, "low": 0.3, "high": 0.5, "p": 0.005, "n_labellings": 200}
    return Evidence(**{**numbers, "size_limit": 0.1, "necessity": ((0.2, 0.4), (0.1, 0.3)), **changes})  # type: ignore[arg-type]


def answer(*items: Evidence) -> tuple[str, str]:
    found = decide(items, margin=MARGIN, alpha=ALPHA)
    return found.answer, found.reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("reads_from", "shown")),
        ({"p": 0.05}, ("reads_from", "shown")),
        ({"n_labellings": 20, "p": 0.05}, ("reads_from", "shown")),
        ({"n_labellings": 19, "p": 1 / 19}, ("inconclusive", "resolution")),
        ({"why": "too few pairs"}, ("inconclusive", "too few pairs")),
        ({"why": "the core hardly changes"}, ("inconclusive", "uninformative")),
        ({"p": 0.06}, ("inconclusive", "significance")),
        ({"size_limit": 0.4}, ("inconclusive", "size")),
        ({"size_limit": 0.4 - 1e-9}, ("inconclusive", "size")),
        ({"size_limit": NAN}, ("inconclusive", "no size controls")),
        ({"size_limit": NAN, "p": 0.06}, ("inconclusive", "significance")),
        ({"size_limit": NAN, "low": -0.04, "statistic": 0.0, "high": 0.04}, ("does_not_read_from", "equivalent")),
        ({"low": 0.05}, ("inconclusive", "margin")),
        ({"low": -0.1, "statistic": 0.0, "high": 0.04}, ("inconclusive", "margin")),
        ({"low": -0.5, "statistic": -0.4, "high": -0.3}, ("inconclusive", "margin")),
        ({"low": -0.04, "statistic": 0.0, "high": 0.04}, ("does_not_read_from", "equivalent")),
        ({"low": 0.01, "statistic": 0.02, "high": 0.04}, ("does_not_read_from", "equivalent")),
        ({"low": -0.04, "statistic": 0.0, "high": 0.05}, ("inconclusive", "margin")),
        ({"low": NAN, "statistic": NAN, "high": NAN, "p": NAN}, ("inconclusive", "undefined")),
        ({"necessity": ((0.2, 0.4), (-0.4, -0.1))}, ("inconclusive", "ablation")),
        ({"necessity": ((0.2, 0.4), (-0.04, -0.01))}, ("reads_from", "shown")),
        ({"necessity": ((0.2, 0.4), (-0.4, 0.1), (NAN, NAN))}, ("reads_from", "shown")),
    ],
)
def test_each_branch(changes, expected) -> None:
    assert answer(evidence(**changes)) == expected
    assert expected[1] in REASONS


def test_nothing_to_decide_on() -> None:
    assert answer() == ("inconclusive", "uninformative")


def test_one_kind_that_shows_it_is_enough_and_is_named() -> None:
    flat = evidence(kind="overlap", low=-0.01, statistic=0.0, high=0.01, p=0.5)
    found = decide([flat, evidence()], margin=MARGIN, alpha=ALPHA)
    assert (found.answer, found.kinds) == ("reads_from", ("order",))


def test_every_informative_kind_must_be_inside_the_margin() -> None:
    flat = evidence(low=-0.01, statistic=0.0, high=0.01, p=0.5)
    unclear = evidence(kind="overlap", low=-0.01, statistic=0.1, high=0.2, p=0.5)
    silent = evidence(kind="other", why="the core hardly changes", low=NAN, high=NAN, statistic=NAN, p=NAN)
    assert answer(flat, unclear) == ("inconclusive", "margin")
    found = decide([flat, silent], margin=MARGIN, alpha=ALPHA)
    assert (found.answer, found.kinds) == ("does_not_read_from", ("order",))


def test_holm_counts_informative_kinds_only() -> None:
    other = evidence(kind="overlap", p=0.9, low=0.0)
    assert answer(evidence(p=0.03), other) == ("inconclusive", "significance")
    silent = evidence(kind="overlap", p=0.9, low=0.0, why="the core hardly changes")
    assert answer(evidence(p=0.03), silent) == ("reads_from", "shown")


def test_the_smallest_p_there_is_may_not_suffice_for_two_kinds() -> None:
    first, second = evidence(p=1 / 25, n_labellings=25), evidence(kind="overlap", p=0.9, low=0.0, n_labellings=25)
    assert answer(first, second) == ("inconclusive", "resolution")


share = st.one_of(st.floats(-0.3, 1.2), st.just(NAN))
kinds = st.builds(
    lambda kind, why, ends, p, n, size, necessity: Evidence(kind, why, *ends, p, n, size, necessity),
    st.sampled_from("abcdef"),
    st.sampled_from(["", "", "", "too few pairs", "the core hardly changes"]),
    st.one_of(
        st.tuples(*[st.floats(-0.3, 1.2)] * 3).map(sorted).map(lambda e: (e[1], e[0], e[2])), st.just((NAN,) * 3)
    ),
    st.one_of(st.floats(0, 1), st.just(NAN)),
    st.sampled_from([1, 19, 20, 200]),
    share,
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)).map(lambda e: (e[0], e[0] + e[1])), max_size=3).map(tuple),
)


@given(st.lists(kinds, max_size=4, unique_by=lambda item: item.kind))
def test_an_answer_is_given_exactly_when_its_rules_hold(items) -> None:
    found = decide(items, margin=MARGIN, alpha=ALPHA)
    informative = [item for item in items if not item.why]
    adjusted = holm(np.array([item.p for item in informative])) if informative else []
    able = bool(informative) and all(item.n_labellings >= 20 for item in informative)
    able = able and not any(signs_disagree(item.necessity, MARGIN) for item in informative)
    shown = [
        item.kind
        for item, p in zip(informative, adjusted, strict=True)
        if p <= ALPHA
        and item.statistic > item.size_limit + 1e-6 * max(abs(item.statistic), abs(item.size_limit))
        and item.low > MARGIN
    ]
    inside = [item.kind for item in informative if abs(item.low) < MARGIN and abs(item.high) < MARGIN]
    assert (found.answer == "reads_from") == (able and bool(shown))
    assert (found.answer == "does_not_read_from") == (able and not shown and len(inside) == len(informative))
    assert found.reason in REASONS
    assert list(found.kinds) == (shown if found.answer == "reads_from" else inside if found.answer[0] == "d" else [])


@given(st.lists(kinds, min_size=1, max_size=4, unique_by=lambda item: item.kind))
def test_order_of_kinds_does_not_matter(items) -> None:
    there, back = (decide(order, margin=MARGIN, alpha=ALPHA) for order in (items, items[::-1]))
    assert (there.answer, there.reason, set(there.kinds)) == (back.answer, back.reason, set(back.kinds))


# -- the null ---------------------------------------------------------------------------------------------------------

heads = st.builds(Head, st.integers(0, 3), st.integers(0, 3))


@given(st.sets(heads, min_size=1), st.sets(heads, min_size=1), st.integers(0, 5))
def test_labellings_keep_the_count_in_each_layer(core, receivers, seed) -> None:
    core, receivers = tuple(sorted(core - receivers)), tuple(sorted(receivers))
    layers = layer_pools(core, receivers, 4)
    found, exhaustive = labellings(layers, 30, seed)
    last = max(head.layer for head in receivers)
    wanted = [sum(head.layer == layer for head in core) if layer < last else 0 for layer in range(4)]
    assert exhaustive == (count_labellings(layers) < 30)
    assert len(found) == (count_labellings(layers) if exhaustive else 30)
    for labelling in found:
        assert [sum(head.layer == layer for head in labelling) for layer in range(4)] == wanted
        assert len(set(labelling)) == len(labelling)
        assert not set(labelling) & set(receivers)


def test_all_labellings_are_those_of_itertools_and_the_observed_is_there_once() -> None:
    core, receivers = (Head(0, 1), Head(0, 3), Head(1, 0)), (Head(0, 0), Head(2, 2))
    found, exhaustive = labellings(layer_pools(core, receivers, 4), 199, seed=0)
    first = itertools.combinations([Head(0, 1), Head(0, 2), Head(0, 3)], 2)
    expected = [(*pair, Head(1, i)) for pair in first for i in range(4)]
    assert exhaustive
    assert found == expected
    assert found.count(core) == 1


def test_as_many_labellings_as_permutations_are_drawn_not_listed() -> None:
    layers = layer_pools((Head(0, 0),), (Head(1, 0),), 8)
    assert labellings(layers, 9, 0)[1]
    assert not labellings(layers, 8, 0)[1]


def test_random_labellings_are_uniform_and_seeded() -> None:
    layers = layer_pools((Head(0, 0), Head(0, 1)), (Head(1, 0),), 6)
    found, _ = labellings(layers, 15, seed=3)
    assert found == labellings(layers, 15, seed=3)[0]
    assert found != labellings(layers, 15, seed=4)[0]
    counts = dict.fromkeys(itertools.combinations(range(6), 2), 0)
    for seed in range(300):
        for first, second in labellings(layers, 15, seed)[0]:
            counts[first.head, second.head] += 1
    assert max(abs(count - 300) for count in counts.values()) < 5 * math.sqrt(300)


@given(st.data())
def test_size_controls_are_other_heads_of_the_same_layers(data) -> None:
    core = data.draw(st.sets(heads, min_size=1, max_size=6))
    receivers = (Head(4, 0),)
    size = {Head(i, j): data.draw(st.floats(0, 5)) for i in range(5) for j in range(4)}
    layers = layer_pools(tuple(core), receivers, 4)
    found = size_controls(layers, size, 10, seed=0)
    crowded = any(len(layer.others) < len(layer.core) for layer in layers)
    assert bool(found) != crowded
    assert len(set(found)) == len(found) <= 10
    for control in found:
        assert not set(control) & core
        assert sorted(head.layer for head in control) == sorted(head.layer for head in core)


def test_size_controls_are_the_nearest_in_size() -> None:
    size = {Head(0, i): float(i) for i in range(10)}
    found = size_controls(layer_pools((Head(0, 9),), (Head(1, 0),), 10), size, 39, seed=0)
    assert sorted(found) == [(Head(0, 6),), (Head(0, 7),), (Head(0, 8),)]


def test_matched_receivers_are_neither_core_nor_receiver_and_downstream_of_the_core() -> None:
    size = {Head(i, j): i + j / 10 for i in range(3) for j in range(3)}
    core, receivers = (Head(0, 0), Head(2, 2)), (Head(2, 0), Head(2, 1))
    assert matched_receivers(receivers, core, size, 3) == (Head(1, 1), Head(1, 2))
    assert matched_receivers((Head(1, 0), Head(1, 1), Head(1, 2)), (Head(0, 0),), size, 3) == ()
    assert matched_receivers((Head(2, 1),), (Head(1, 0),), size, 3) in ((Head(2, 0),), (Head(2, 2),))
