"""Every branch of the rules of the premises, on made-up numbers."""

import numpy as np
import pytest

from hc_interp.reading.premise_rules import Comparison, core_is_heuristic, heads_generalize, model_generalizes
from hc_interp.statistics.tests import Interval


def number(value: float, half: float = 0.02) -> Interval:
    return Interval(value, value - half, value + half, 50)


@pytest.mark.parametrize(
    ("separation", "answer"),
    [(number(0.8), "holds"), (number(0.5), "fails"), (number(0.65), "open"), (number(np.nan), "open")],
)
def test_a_model_generalizes_by_its_whole_interval(separation, answer) -> None:
    assert model_generalizes(separation, Interval(2.0, 1.5, 2.5, 10), "order sensitivity")[0] == answer


@pytest.mark.parametrize(
    ("auc", "pull", "signal", "answer"),
    [
        (number(0.1), number(0.9), number(0.2), "holds"),
        (number(-0.1), number(0.9), number(0.2), "fails"),
        (number(0.1), number(0.5), number(0.2), "fails"),
        (number(0.1), number(0.9), number(-0.2), "fails"),
        (number(0.01), number(0.9), number(0.2), "open"),
        (number(0.1), number(0.81), number(0.2), "open"),
        (number(0.1), number(0.9), number(np.nan), "open"),
        (number(0.1), None, number(0.2), "open"),
        (number(0.01), number(0.5), number(0.2), "fails"),
    ],
)
def test_a_core_is_heuristic_if_all_of_three_hold(auc, pull, signal, answer) -> None:
    found, reasons = core_is_heuristic(auc, pull, signal)
    assert found == answer
    assert len(reasons) == 3


ABOVE = Comparison(number(0.2), 1.0, 99)
ALIKE = Comparison(number(0.0), 0.5, 99)
UNSURE = Comparison(number(0.06, 0.1), 0.96, 99)
FEW = Comparison(number(0.2), 1.0, 19)
BIG, SMALL, HARM = number(0.5), number(0.05), number(-0.3)


@pytest.mark.parametrize(
    ("loss", "gain", "losses", "gains", "answer", "reason"),
    [
        (BIG, BIG, (ABOVE, ABOVE), (ABOVE, ABOVE), "holds", ""),
        (BIG, BIG, (ABOVE, FEW), (ABOVE, FEW), "holds", ""),
        (SMALL, BIG, (ABOVE, ABOVE), (ABOVE, ABOVE), "open", "redundant"),
        (BIG, SMALL, (ABOVE, ABOVE), (ALIKE, ALIKE), "open", "not sufficient"),
        (BIG, HARM, (ABOVE, ABOVE), (ABOVE, ABOVE), "open", "not sufficient"),
        (SMALL, SMALL, (ALIKE, ALIKE), (ALIKE, ALIKE), "fails", ""),
        (BIG, SMALL, (ALIKE, ALIKE), (ALIKE, ALIKE), "fails", ""),
        (BIG, BIG, (UNSURE, UNSURE), (UNSURE, UNSURE), "open", "neither"),
        (BIG, BIG, (ALIKE, ALIKE), (UNSURE, UNSURE), "open", "neither"),
        (BIG, BIG, (ABOVE, ALIKE), (ABOVE, ABOVE), "open", "disagree"),
        (BIG, BIG, (ABOVE, ABOVE), (ABOVE, ALIKE), "open", "disagree"),
        (BIG, BIG, (FEW, ABOVE), (FEW, ABOVE), "open", "resolution: 19"),
        (number(np.nan), BIG, (ABOVE, ABOVE), (ABOVE, ABOVE), "open", "no in-domain gap"),
        (BIG, BIG, (Comparison(number(0.2), 0.9, 99),) * 2, (ABOVE, ABOVE), "open", "redundant"),
        (BIG, BIG, (Comparison(number(0.04), 1.0, 99),) * 2, (ABOVE, ABOVE), "open", "redundant"),
    ],
)
def test_heads_generalize_if_loss_and_gain_are_shown(loss, gain, losses, gains, answer, reason) -> None:
    kinds = ("within layers", "disjoint")
    found, reasons = heads_generalize(
        loss, gain, dict(zip(kinds, losses, strict=True)), dict(zip(kinds, gains, strict=True)), "within layers"
    )
    assert found == answer
    assert reason in reasons[-1]


@pytest.mark.parametrize(
    ("sensitivity", "answer"),
    [((0.1, 0.2, 0.3), "holds"), ((0.05, 0.2, 0.3), "open"), ((0.0, 0.01, 0.02), "fails"), ((np.nan,) * 3, "open")],
)
def test_a_model_that_generalizes_does_so_by_more_than_a_trifle(sensitivity, answer) -> None:
    """Ranks alone would take a steady difference of any size for knowledge."""
    low, value, high = sensitivity
    sure = Interval(1.0, 1.0, 1.0, 10)
    found, reasons = model_generalizes(sure, Interval(value, low, high, 10), "order sensitivity")
    assert found == answer
    assert len(reasons) == 2
    weak = Interval(0.5, 0.4, 0.6, 10)
    assert model_generalizes(weak, Interval(value, low, high, 10), "case sensitivity")[0] == "fails"
