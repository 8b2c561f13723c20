"""What a verdict's sentence says: the answer, its reason, and the numbers of every kind of pairs."""

from dataclasses import replace

import pytest
from built_reading import CORE, READER, built_model, pairs

from hc_interp.interventions.means import mean_activations
from hc_interp.reading.necessity import UNDEFINED
from hc_interp.reading.reads_from import reads_from
from hc_interp.reading.verdict import VERDICT_COLUMNS, Verdict
from hc_interp.statistics.tests import Interval


@pytest.fixture(scope="module")
def direct() -> Verdict:
    return reads_from(built_model("direct"), pairs(), core=CORE, generalizing=[READER])


def test_sentence_says_what_the_numbers_say(direct) -> None:
    sentence = direct.sentence()
    assert sentence == (
        "On order pairs the generalizing heads (1) read from the core heads (2) directly: significant, above the size "
        "controls, and the whole interval above the margin. Change of the logit_diff when the generalizing heads see "
        "corrupt outputs of the core heads, as a share of that when they are corrupted outright [95 % interval]: 24 "
        "order pairs 100.0 % [100.0, 100.0] (p = 0.036, Holm p = 0.036, 28 labellings), 95th percentile of 6 sets of "
        "like-sized heads: 0.0 %, scaled up from 50 % of the core's |dz|, for heads that are neither core nor "
        "generalizing: 0.0 % [0.0, 0.0]."
    )


def test_sentence_gives_every_kind_its_numbers(direct) -> None:
    first = direct.records["order"]
    near = replace(first, kind="overlap", specificity=Interval(0.88, 0.83, 0.94, 24))
    alone = replace(first, kind="swap", specificity_heads=(), specificity=UNDEFINED)
    still = replace(first, kind="same", why="the core hardly changes")
    sentence = replace(
        direct,
        answer="inconclusive",
        reason="significance",
        kinds=(),
        via="",
        records={item.kind: item for item in (near, alone, still)},
        p_holm={"overlap": 0.1, "swap": 0.2},
    ).sentence()
    assert "Whether the generalizing heads (1) read from the core heads (2) stays open (significance)" in sentence
    overlap, swap = sentence[sentence.index("24 overlap pairs") :].split("; ", 1)
    assert "Holm p = 0.1," in overlap
    assert "for heads that are neither core nor generalizing: 88.0 % [83.0, 94.0]" in overlap
    assert "Holm p = 0.2," in swap
    assert "neither core nor generalizing" not in swap  # not measured
    assert sentence.endswith("Pairs that cannot tell: same (the core hardly changes).")


def test_sentence_of_no(direct) -> None:
    first = direct.records["order"]
    flat = replace(first, routes={"all": Interval(-0.0001, -0.02, 0.03, 24)}, p=0.6)
    sentence = replace(
        direct, answer="does_not_read_from", reason="equivalent", via="", records={"order": flat}, p_holm={"order": 0.6}
    ).sentence()
    assert "do not read from the core heads (2), to a margin of ±5 %: the whole interval inside the margin." in sentence
    assert "24 order pairs 0.0 % [-2.0, 3.0] (p = 0.6, Holm p = 0.6, 28 labellings)" in sentence


def test_specificity_that_is_not_defined_is_said_so(direct) -> None:
    record = replace(direct.records["order"], specificity=UNDEFINED)
    sentence = replace(direct, records={"order": record}).sentence()
    assert "for heads that are neither core nor generalizing: undefined" in sentence


def test_the_table_has_the_same_columns_whatever_was_measured(direct) -> None:
    """Nothing tested, one route, no means, too few sources."""
    model = built_model("direct")
    found = [
        direct,
        reads_from(model, pairs(), core=CORE, generalizing=[]),
        reads_from(model, pairs(), core=CORE, generalizing=[READER], routes=("all",)),
        reads_from(model, pairs(4), core=CORE, generalizing=[READER], means=mean_activations(model, pairs().clean)),
    ]
    for verdict in found:
        assert tuple(verdict.to_frame().columns) == VERDICT_COLUMNS
