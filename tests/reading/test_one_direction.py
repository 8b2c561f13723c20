"""What one direction of a kind of pairs is judged by: its intervals, its units, and what makes it informative."""

from dataclasses import replace

import numpy as np
import pytest
from built_reading import CORE, READER, READERS, built_model, pairs

from hc_interp.components import Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.metrics import logit_diff
from hc_interp.reading.necessity import _why_undefined
from hc_interp.reading.one_direction import MIN_NODE_EFFECT, MIN_SOURCES
from hc_interp.reading.reads_from import reads_from
from hc_interp.statistics.units import Units


@pytest.fixture(scope="module")
def model():
    return built_model("direct", live=True)


def sourced(given: ContrastPairs, n_sources: int) -> ContrastPairs:
    names = tuple(f"premise {i % n_sources}" for i in range(len(given)))
    sides = {name: replace(getattr(given, name), source=names) for name in ("clean", "corrupt")}
    return replace(given, **sides)


def test_intervals_count_every_unit_of_the_pairs(model) -> None:
    """The core is one of its two heads, and the receivers read others too: then shares differ from pair to pair."""
    given = replace(sourced(pairs(), 12), units={"verb": [f"v{i % 6}" for i in range(24)], "template": ["t"] * 24})
    verdict = reads_from(model, given, core=CORE[:1], generalizing=[READER, Head(2, 1)])
    record, units = verdict.records["order"].directions["as_is"], Units.of(given.all_units)
    assert (record.units, record.few) == ({"source": 12, "verb": 6}, {"template": 1})
    assert record.node_effect.low == pytest.approx(units.mean(record.node).low)
    for route, found in record.routes.items():
        own = units.ratio(record.effects[route], record.node)
        assert (found.low, found.high) == pytest.approx((own.low, own.high), rel=1e-9)


def test_a_unit_of_few_levels_stands_in_the_sentence(model) -> None:
    given = replace(pairs(), units={"template": ["t"] * 24, "verb": ["saw", "met", "hit"] * 8})
    sentence = reads_from(model, given, core=CORE, generalizing=READERS).sentence()
    assert sentence.endswith("more than other heads of the same layers do, for this template and these 3 verbs.")


def test_many_pairs_of_few_sources_are_too_few(model) -> None:
    verdict = reads_from(model, sourced(pairs(), MIN_SOURCES - 1), core=CORE, generalizing=READERS)
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "too few pairs")
    enough = reads_from(model, sourced(pairs(), MIN_SOURCES), core=CORE, generalizing=READERS)
    assert enough.reading == "reads_specifically"


def test_a_core_head_beside_the_receivers_is_no_comparison_for_them(model) -> None:
    """L2H1 changes as much as the readers; as a core head that takes no part it may not stand for others."""
    free = reads_from(model, pairs(), core=CORE, generalizing=READERS).records["order"].directions["as_is"]
    assert Head(2, 1) in free.specificity["all"].heads
    verdict = reads_from(model, pairs(), core=[*CORE, Head(2, 1)], generalizing=READERS)
    assert verdict.unread == (Head(2, 1),)
    assert Head(2, 1) not in verdict.records["order"].directions["as_is"].specificity["all"].heads


def test_generalizing_heads_matter_from_one_percent_of_the_metric_on(model) -> None:
    """A metric that adds a constant makes the same change a smaller share of it."""

    def shifted(by: float):
        return lambda logits, rows: logit_diff(logits, rows) + by

    node = abs(
        float(
            reads_from(model, pairs(), core=CORE, generalizing=READERS).records["order"].directions["as_is"].node_effect
        )
    )
    for by, why in ((90 * node, ""), (110 * node, "the generalizing heads hardly matter")):
        verdict = reads_from(model, pairs(), core=CORE, generalizing=READERS, metric=shifted(by))
        assert verdict.records["order"].directions["as_is"].why == why
    assert MIN_NODE_EFFECT == 0.01


def test_edges_are_drawn_on_pairs_that_could_have_shown_the_reading(model) -> None:
    same = replace(pairs(kind="same"), corrupt=pairs().clean)
    verdict = reads_from(model, {"same": same, "order": pairs()}, core=CORE[:1], generalizing=READERS)
    assert verdict.kinds == ()
    assert [record.informative for record in verdict.records.values()] == [False, True]
    assert verdict.edges_kind == "order"
    assert np.abs(verdict.edges.effects.numpy()).max() > 0.01


def test_no_share_is_taken_of_hardly_any_change() -> None:
    assert "changes the metric by about 0" in _why_undefined(-0.045, -1.0, least=0.05)
    assert "the other way than the pairs do" in _why_undefined(0.055, -1.0, least=0.05)
    assert _why_undefined(-0.055, -1.0, least=0.05) == ""
