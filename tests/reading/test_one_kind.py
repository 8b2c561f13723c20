"""What a kind of pairs is judged by: its intervals, its sources, and heads that stand beside the receivers."""

from dataclasses import replace

import numpy as np
import pytest
from built_reading import CORE, DECOYS, READER, built_model, pairs
from made_results import kind_record

from hc_interp.components import Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.reading.decision import Decision
from hc_interp.reading.necessity import MIN_NODE_EFFECT, _why_undefined
from hc_interp.reading.one_kind import MIN_SOURCES
from hc_interp.reading.reads_from import _via, reads_from
from hc_interp.statistics.tests import bootstrap, ratio_interval


@pytest.fixture(scope="module")
def model():
    return built_model("direct")


def sourced(given: ContrastPairs, n_sources: int) -> ContrastPairs:
    names = tuple(f"premise {i % n_sources}" for i in range(len(given)))
    sides = {name: replace(getattr(given, name), source=names) for name in ("clean", "corrupt")}
    return replace(given, **sides)


def test_intervals_are_expanded_percentiles_over_sources(model) -> None:
    """The core is one of its two heads, and the receivers read others too: then shares differ from pair to pair."""
    given = sourced(pairs(), 12)
    verdict = reads_from(model, given, core=CORE[:1], generalizing=[READER, Head(2, 1)])
    record, common = verdict.records["order"], {"clusters": given.sources, "level": 0.95, "seed": 0}
    plain = bootstrap(record.node, **common)
    own = bootstrap(record.node, **common, method="expanded")
    assert own.low < plain.low < plain.high < own.high
    assert (record.node_effect.low, record.node_effect.high) == pytest.approx((own.low, own.high), rel=1e-12)
    for route, found in record.routes.items():
        own = ratio_interval(record.effects[route], record.node, **common, method="expanded")
        assert (found.low, found.high) == pytest.approx((own.low, own.high), rel=1e-12)


def test_many_pairs_of_few_sources_are_too_few(model) -> None:
    verdict = reads_from(model, sourced(pairs(), MIN_SOURCES - 1), core=CORE, generalizing=[READER])
    assert (verdict.answer, verdict.reason) == ("inconclusive", "too few pairs")
    enough = reads_from(model, sourced(pairs(), MIN_SOURCES), core=CORE, generalizing=[READER])
    assert enough.answer == "reads_from"


def test_a_core_head_beside_the_receivers_is_no_comparison_for_them(model) -> None:
    """L2H1 changes as much as the reader; as a core head that takes no part it may not stand for others."""
    assert reads_from(model, pairs(), core=CORE, generalizing=[READER]).records["order"].specificity_heads == (
        Head(2, 1),
    )
    verdict = reads_from(model, pairs(), core=[*CORE, Head(2, 1)], generalizing=[READER])
    assert verdict.unread == (Head(2, 1),)
    (other,) = verdict.records["order"].specificity_heads
    assert other not in {READER, Head(2, 1), *CORE, *DECOYS}


def test_a_route_is_named_only_where_its_interval_is_above_the_margin() -> None:
    record = kind_record("order", 0.42)  # direct about .13, through MLPs about .29
    found = {"order": record}
    decision = Decision("reads_from", "shown", ("order",))
    assert record.routes["direct"].low > 0
    assert [_via(decision, found, margin) for margin in (0.05, 0.2, 0.35)] == [
        "direct",
        "through MLPs",
        "through other heads",
    ]


def test_edges_are_drawn_on_pairs_that_could_have_shown_the_reading(model) -> None:
    same = replace(pairs(kind="same"), corrupt=pairs().clean)
    verdict = reads_from(model, {"same": same, "order": pairs()}, core=CORE[:1], generalizing=[READER])
    assert verdict.kinds == ()
    assert [record.informative for record in verdict.records.values()] == [False, True]
    assert verdict.edges_kind == "order"
    assert np.abs(verdict.edges.effects.numpy()).max() > 0.01


def test_no_share_is_taken_of_hardly_any_change() -> None:
    assert "changes the metric by about 0" in _why_undefined(-0.9 * MIN_NODE_EFFECT, -1.0)
    assert "the other way than the pairs do" in _why_undefined(1.1 * MIN_NODE_EFFECT, -1.0)
    assert _why_undefined(-1.1 * MIN_NODE_EFFECT, -1.0) == ""
