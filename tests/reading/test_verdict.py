"""What a verdict says in words and tables: the answer, the parts of T, the numbers of every kind and direction."""

import itertools
from dataclasses import replace

import pytest
from built_reading import CORE, READERS, built_model, pairs

from hc_interp.interventions.means import mean_activations
from hc_interp.reading.decision import REASONS
from hc_interp.reading.reads_from import reads_from
from hc_interp.reading.sentences import few_levels, parts_text, percent, reading_text
from hc_interp.reading.specificity import UNDEFINED
from hc_interp.reading.verdict import VERDICT_COLUMNS, Verdict
from hc_interp.statistics.tests import Interval


@pytest.fixture(scope="module")
def direct() -> Verdict:
    return reads_from(built_model("direct", live=True), pairs(), core=CORE, generalizing=READERS)


def test_numbers_are_a_row_of_texts_for_each_direction(direct) -> None:
    table = direct.numbers()
    assert table.to_dict("records") == [
        {
            "pairs": f"24 order, {way}",
            "T": "100 % [100, 100]",
            "of it": "100 % directly, 0 % more through MLPs, 0 % only through other heads",
            "p": "0.036",
            "S": "100 % [100, 100]",
            "p of D": "0.036",
            "reading": "reads specifically (specific)",
        }
        for way in ("as they are", "reversed")
    ]


def test_parts_add_up_to_the_share_and_name_what_each_route_adds(direct) -> None:
    first = direct.records["order"].directions["as_is"]

    def at(value: float) -> Interval:
        return Interval(value, value - 0.1, value + 0.1, 24)

    routes = {"all": at(0.69), "direct": at(0.006), "mlps": at(0.15)}
    found = replace(first, routes=routes)
    assert sum(found.parts.values()) == pytest.approx(0.69)
    assert parts_text(found) == "0.6 % directly, 14 % more through MLPs, 54 % only through other heads"
    assert parts_text(replace(first, routes={"all": at(0.69)})) == ""
    assert parts_text(replace(first, routes={"all": UNDEFINED, "direct": UNDEFINED})) == ""


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0"), (-0.0004, "0"), (0.0049, "0.5"), (-0.006, "-0.6"), (0.6949, "69"), (1.004, "100")]
)
def test_shares_in_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_no_sentence_but_that_of_yes_says_reads_from(direct) -> None:
    readings = ("reads_specifically", "shared_trunk", "specificity_open", "does_not_read_from", "inconclusive")
    answers = ("shared_trunk", "does_not_read_from", "premise_fails", "inconclusive")
    reasons = ("premises not checked", "premise open", *REASONS)
    for reading, answer, reason in itertools.product(readings, answers, reasons):
        sentence = replace(direct, reading=reading, answer=answer, reason=reason, reading_reason="direction").sentence()
        assert "read from" not in sentence.replace("read from.", "")
        assert "reads from" not in sentence
        assert sentence.endswith(".")
        assert ". " not in sentence  # one sentence
    assert "read from" in replace(direct, answer="reads_from", reason="shown").sentence()


def test_readings_in_words_give_their_reason() -> None:
    open_reading = reading_text("specificity_open", "few heads", "G", "C", "±5 %")
    assert open_reading == (
        "G depend on C; whether more than other heads do is open, because too few heads share a layer with the "
        "generalizing heads for p of D to reach significance"
    )
    trunk = reading_text("shared_trunk", "trunk", "G", "C", "±5 %")
    assert trunk == "G depend on C no more than other heads of the same layers do"


def test_units_without_levels_are_not_named(direct) -> None:
    first = direct.records["order"].directions["as_is"]
    assert few_levels(replace(first, few={"template": 1, "verb": 0})) == "for this template"
    assert few_levels(replace(first, few={})) == ""


def test_an_uninformative_kind_says_why_in_the_table(direct) -> None:
    record = direct.records["order"]
    silent = {name: replace(part, why="the core hardly changes") for name, part in record.directions.items()}
    table = replace(direct, records={"order": replace(record, directions=silent)}).numbers()
    assert set(table["reading"]) == {"the core hardly changes"}


def test_the_table_has_the_same_columns_whatever_was_measured(direct) -> None:
    """Nothing tested, one route, no means, too few sources."""
    model = built_model("direct", live=True)
    found = [
        direct,
        reads_from(model, pairs(), core=CORE, generalizing=[]),
        reads_from(model, pairs(), core=CORE, generalizing=READERS, routes=("all",)),
        reads_from(model, pairs(4), core=CORE, generalizing=READERS, means=mean_activations(model, pairs().clean)),
    ]
    for verdict in found:
        assert tuple(verdict.to_frame().columns) == VERDICT_COLUMNS


def test_a_note_of_both_directions_stands_once(direct) -> None:
    assert "order: necessity and sufficiency under means: no means were given" in direct.notes
    assert len(set(direct.notes)) == len(direct.notes)
