"""The decision rules, as pure functions of their numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hc_interp.reading.decision import (
    AS_IS,
    REASONS,
    REVERSED,
    DirectionEvidence,
    Found,
    Rule,
    answer,
    decide,
    direction_reading,
    kind_reading,
)
from hc_interp.reading.premise_rules import PREMISES

NAN = float("nan")
RULE = Rule(margin=0.05, delta=0.3, alpha=0.05)
TRUNK = {"S": (-0.1, 0.1, 0.25), "R_O": (0.3, 0.4, 0.5)}
FLAT = {"low": -0.01, "T": 0.0, "high": 0.01, "p": 0.5}


def evidence(**changes) -> DirectionEvidence:
    """A direction that is specific by every rule, but for `changes`."""
    numbers = {"why": "", "T": 0.4, "low": 0.3, "high": 0.5, "p": 0.005, "n_labellings": 200, "size_limit": 0.1}
    numbers |= {"S": (0.4, 0.6, 0.8), "R_G": (0.4, 0.5, 0.6), "R_O": (0.1, 0.2, 0.3)}
    numbers |= {"p_D": 0.01, "n_labellings_D": 100, "compared": True}
    return DirectionEvidence(**{**numbers, **changes})  # type: ignore[arg-type]


def both(there: dict, back: dict | None = None) -> dict[str, DirectionEvidence]:
    return {AS_IS: evidence(**there), REVERSED: evidence(**(there if back is None else back))}


def reading(**kinds: dict[str, DirectionEvidence]) -> tuple[str, str]:
    found = decide(kinds, RULE)
    return found.reading, found.reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("reads_specifically", "specific")),
        ({"p": 0.05}, ("reads_specifically", "specific")),
        ({"n_labellings": 20, "p": 0.05}, ("reads_specifically", "specific")),
        ({"n_labellings": 19, "p": 1 / 19}, ("inconclusive", "resolution")),
        ({"p": 0.06}, ("inconclusive", "significance")),
        ({"p": NAN}, ("inconclusive", "significance")),
        ({"size_limit": 0.4}, ("inconclusive", "size")),
        ({"size_limit": 0.4 - 1e-9}, ("inconclusive", "size")),
        ({"size_limit": NAN}, ("inconclusive", "no size controls")),
        ({"size_limit": NAN, "p": 0.06}, ("inconclusive", "significance")),
        ({"size_limit": NAN, **FLAT}, ("does_not_read_from", "equivalent")),
        ({"low": 0.05}, ("inconclusive", "margin")),
        ({"low": -0.1, "T": 0.0, "high": 0.04}, ("inconclusive", "margin")),
        ({"low": -0.5, "T": -0.4, "high": -0.3}, ("inconclusive", "margin")),
        ({"low": 0.01, "T": 0.02, "high": 0.04}, ("does_not_read_from", "equivalent")),
        ({"low": -0.04, "T": 0.0, "high": 0.05}, ("inconclusive", "margin")),
        ({"low": NAN, "T": NAN, "high": NAN, "p": NAN}, ("inconclusive", "undefined")),
        ({"compared": False}, ("specificity_open", "no comparison")),
        (TRUNK, ("shared_trunk", "trunk")),
        ({**TRUNK, "p_D": 0.9}, ("shared_trunk", "trunk")),
        ({**TRUNK, "compared": False}, ("specificity_open", "no comparison")),
        ({**TRUNK, "R_O": (0.05, 0.4, 0.5)}, ("specificity_open", "specificity")),
        ({**TRUNK, "S": (-0.1, 0.1, 0.3)}, ("specificity_open", "specificity")),
        ({**TRUNK, "p": 0.06}, ("inconclusive", "significance")),
        ({"p_D": 0.051}, ("specificity_open", "specificity")),
        ({"p_D": NAN}, ("specificity_open", "specificity")),
        ({"n_labellings_D": 19, "p_D": 0.05}, ("specificity_open", "few heads")),
        ({"S": (0.3, 0.6, 0.8)}, ("specificity_open", "specificity")),
        ({"S": (NAN, NAN, NAN)}, ("specificity_open", "specificity")),
        ({"R_G": (0.05, 0.5, 0.6)}, ("specificity_open", "specificity")),
        ({"S": (0.2, 0.3, 0.4), "R_O": (0.6, 0.71, 0.8)}, ("specificity_open", "ceiling")),
    ],
)
def test_each_branch_of_one_direction(changes, expected) -> None:
    item = evidence(**changes)
    found = direction_reading(item, item.p, RULE)
    assert (found.reading, found.reason) == expected
    assert found.reason in REASONS
    assert reading(order=both(changes)) == expected  # one kind that says so in both directions


def test_p_of_a_kind_is_the_larger_of_its_directions() -> None:
    assert reading(order=both({}, {"p": 0.06})) == ("inconclusive", "significance")
    assert reading(order=both({}, {"p_D": 0.06})) == ("specificity_open", "specificity")
    assert decide({"order": both({"p": 0.01}, {"p": 0.03})}, RULE).p_holm == {"order": 0.03}


@pytest.mark.parametrize(
    ("there", "back", "expected"),
    [
        ({}, {"S": (0.2, 0.4, 0.6)}, ("specificity_open", "specificity")),
        (TRUNK, {"compared": False}, ("specificity_open", "no comparison")),
        ({}, TRUNK, ("inconclusive", "direction")),
        ({}, FLAT, ("inconclusive", "direction")),
        (FLAT, {"low": -0.01, "T": 0.1, "high": 0.2}, ("inconclusive", "direction")),
        ({}, {"low": 0.01}, ("inconclusive", "direction")),
    ],
)
def test_directions_that_differ_support_the_weaker_claim_or_none(there, back, expected) -> None:
    for first, second in ((there, back), (back, there)):
        parts = both({**first, "p": 0.01}, {**second, "p": 0.01})
        found = kind_reading(parts, 0.01, RULE)
        assert (found.reading, found.reason) == expected


def test_one_direction_alone_shows_nothing() -> None:
    assert reading(order={AS_IS: evidence()}) == ("inconclusive", "one direction")
    assert reading(order={AS_IS: evidence(p=0.5)}) == ("inconclusive", "significance")


def test_an_uninformative_direction_makes_the_kind_uninformative() -> None:
    silent = {"why": "the core hardly changes", "T": NAN, "low": NAN, "high": NAN, "p": NAN}
    assert reading(order=both({}, silent)) == ("inconclusive", "uninformative")
    assert reading(order=both({}), overlap=both({}, silent)) == ("reads_specifically", "specific")
    assert reading(order=both({"why": "too few pairs"})) == ("inconclusive", "too few pairs")
    assert reading() == ("inconclusive", "uninformative")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {"p_D": 0.5}, ("reads_specifically", "specific")),
        ({}, {"p": 0.04, "low": 0.01}, ("reads_specifically", "specific")),
        (TRUNK, {"p_D": 0.5}, ("shared_trunk", "trunk")),
        ({}, TRUNK, ("inconclusive", "kinds")),
        ({}, FLAT, ("inconclusive", "kinds")),
        (TRUNK, FLAT, ("inconclusive", "kinds")),
        ({"p_D": 0.5}, FLAT, ("inconclusive", "kinds")),
        ({"low": 0.01, "p": 0.5}, FLAT, ("inconclusive", "margin")),
        (FLAT, FLAT, ("does_not_read_from", "equivalent")),
        ({"p_D": 0.5}, {"low": 0.01, "p": 0.5}, ("specificity_open", "specificity")),
    ],
)
def test_kinds_together(first, second, expected) -> None:
    """One clear kind is enough where no other contradicts it; a denial needs all of them."""
    assert reading(order=both(first), overlap=both(second)) == expected
    assert reading(overlap=both(second), order=both(first)) == expected


def test_the_kinds_that_support_the_reading_are_named() -> None:
    found = decide({"order": both({}), "overlap": both({"p_D": 0.5})}, RULE)
    assert found.kinds == ("order",)
    assert found.by_kind == {
        "order": Found("reads_specifically", "specific"),
        "overlap": Found("specificity_open", "specificity"),
    }
    assert decide({"order": both({}), "overlap": both(TRUNK)}, RULE).kinds == ()


def test_holm_counts_informative_kinds_only() -> None:
    other = both({"p": 0.9, "low": 0.0})
    assert reading(order=both({"p": 0.03}), overlap=other) == ("inconclusive", "significance")
    silent = both({"p": 0.9, "low": 0.0, "why": "the core hardly changes"})
    assert reading(order=both({"p": 0.03}), overlap=silent) == ("reads_specifically", "specific")


def test_the_smallest_p_there_is_may_not_suffice_for_two_kinds() -> None:
    first, second = both({"p": 1 / 25, "n_labellings": 25}), both({"p": 0.9, "low": 0.0, "n_labellings": 25})
    assert reading(order=first, overlap=second) == ("inconclusive", "resolution")


@pytest.mark.parametrize(
    ("found", "states", "expected"),
    [
        ("reads_specifically", "holds holds holds", ("reads_from", "shown")),
        ("reads_specifically", "holds open holds", ("inconclusive", "premise open")),
        ("reads_specifically", "holds holds not_checked", ("inconclusive", "premise open")),
        ("reads_specifically", "holds fails open", ("premise_fails", "premise fails")),
        ("shared_trunk", "holds fails holds", ("premise_fails", "premise fails")),
        ("shared_trunk", "open open open", ("shared_trunk", "trunk")),
        ("does_not_read_from", "open holds open", ("does_not_read_from", "trunk")),
        ("specificity_open", "holds holds holds", ("inconclusive", "trunk")),
        ("inconclusive", "open holds holds", ("inconclusive", "trunk")),
        ("reads_specifically", None, ("inconclusive", "premises not checked")),
        ("shared_trunk", None, ("inconclusive", "premises not checked")),
    ],
)
def test_each_branch_of_the_answer(found, states, expected) -> None:
    given = states and dict(zip(PREMISES, (state.replace("_", " ") for state in states.split()), strict=True))
    assert answer(found, "trunk", given) == expected


share = st.one_of(st.floats(-0.3, 1.2), st.just(NAN))
ordered = st.one_of(st.tuples(share, share, share).map(lambda ends: tuple(sorted(ends))), st.just((NAN,) * 3))
directions = st.builds(
    lambda why, ends, p, n, size, s, r_g, r_o, p_d, n_d, compared: DirectionEvidence(
        why, ends[1], ends[0], ends[2], p, n, size, s, r_g, r_o, p_d, n_d, compared
    ),
    st.sampled_from(["", "", "", "too few pairs", "the core hardly changes"]),
    ordered,
    st.one_of(st.floats(0, 1), st.just(NAN)),
    st.sampled_from([1, 19, 20, 200]),
    share,
    ordered,
    ordered,
    ordered,
    st.one_of(st.floats(0, 1), st.just(NAN)),
    st.sampled_from([1, 19, 20, 200]),
    st.booleans(),
)
kinds = st.dictionaries(
    st.sampled_from("abcd"), st.fixed_dictionaries({AS_IS: directions}, optional={REVERSED: directions}), max_size=4
)


@given(kinds)
def test_a_specific_reading_needs_every_number_of_both_directions(items) -> None:
    found = decide(items, RULE)
    assert found.reason in REASONS
    for kind in found.kinds:
        assert set(items[kind]) == {AS_IS, REVERSED}
        for part in items[kind].values():
            if found.reading == "reads_specifically":
                assert part.low > 0.05
                assert part.size_limit < part.T
                assert part.p <= 0.05
                assert part.p_D <= 0.05
                assert part.S[0] > 0.3
                assert part.R_G[0] > 0.05
                assert part.compared
            if found.reading == "does_not_read_from":
                assert part.low > -0.05
                assert part.high < 0.05
    if found.reading == "does_not_read_from":
        assert set(found.kinds) == {kind for kind, parts in items.items() if not any(p.why for p in parts.values())}


@given(kinds)
def test_order_of_kinds_and_directions_does_not_matter(items) -> None:
    turned = {kind: dict(reversed(parts.items())) for kind, parts in reversed(items.items())}
    there, back = decide(items, RULE), decide(turned, RULE)
    assert (there.reading, set(there.kinds)) == (back.reading, set(back.kinds))
    if there.reading != "inconclusive" and there.reading != "specificity_open":
        assert there.reason == back.reason


def test_every_reason_is_a_clause_without_reading() -> None:
    """Sentences put reasons after "because"; only the answer reads_from may say that heads read from the core."""
    assert not any("read from" in words or "reads from" in words for words in REASONS.values())
