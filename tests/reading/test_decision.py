"""The decision rule, as a pure function of its numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hc_interp.reading.decision import REASONS, Evidence, decide, signs_disagree
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
