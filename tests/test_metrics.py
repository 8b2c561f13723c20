"""Metrics against values worked out by hand."""

import math

import pytest
import torch

from hc_interp.errors import HCError
from hc_interp.metrics import MetricRows, correct, group_mask, logit_diff, path_metric, prob_diff

LOGITS = torch.log(torch.tensor([[6.0, 3.0, 1.0], [1.0, 4.0, 5.0], [2.0, 2.0, 6.0]], dtype=torch.float64))
GOLD = torch.tensor([0, 1, 1])
ROWS = MetricRows.labelled
SINGLE, HANS = ((0,), (1,), (2,)), ((0,), (1, 2))


def test_group_mask() -> None:
    assert group_mask(HANS, 3).tolist() == [[True, False, False], [False, True, True]]
    assert group_mask(((2, 0), (1,)), 3).tolist() == [[True, False, True], [False, True, False]]


@pytest.mark.parametrize(
    ("groups", "odds"),
    [(HANS, [6 / 4, 9 / 1, 8 / 2]), (SINGLE, [6 / 4, 4 / 6, 2 / 8]), (((1, 2), (0,)), [4 / 6, 1 / 9, 2 / 8])],
)
def test_by_hand(groups, odds) -> None:
    expected = torch.tensor(odds, dtype=torch.float64)
    torch.testing.assert_close(logit_diff(LOGITS, ROWS(GOLD, groups)), expected.log())
    torch.testing.assert_close(prob_diff(LOGITS, ROWS(GOLD, groups)), (expected - 1) / (expected + 1))


def test_correct_is_hans_rule() -> None:
    """Arg max over the classes: neutral and contradiction together may outweigh entailment and still lose."""
    logits = torch.tensor([[4.0, 3.9, 3.9], [1.0, 2.0, 0.0], [1.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    assert correct(logits, ROWS(torch.tensor([1, 1, 1, 1]), HANS)).tolist() == [0, 1, 1, 0]
    assert correct(logits, ROWS(torch.tensor([0, 0, 0, 0]), HANS)).tolist() == [1, 0, 0, 1]
    assert float(logit_diff(logits, ROWS(torch.tensor([1, 1, 1, 1]), HANS))[0]) > 0


def test_two_classes_and_signs() -> None:
    logits, gold = torch.tensor([[2.0, -1.0]]), torch.tensor([1])
    assert float(logit_diff(logits, ROWS(gold, ((0,), (1,))))) == pytest.approx(-3)
    assert float(prob_diff(logits, ROWS(gold, ((0,), (1,))))) == pytest.approx(-math.tanh(1.5))


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    value = logit_diff(logits, ROWS(torch.tensor([1]), HANS))
    assert value.tolist() == pytest.approx([-1e4])
    value.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0].tolist() == pytest.approx([-1, 0, 1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_measured_in_float32(dtype) -> None:
    logits = torch.tensor([[3.0, 1.0, 0.5]], dtype=dtype)
    for metric in (logit_diff, prob_diff):
        score = metric(logits, ROWS(torch.tensor([0]), HANS))
        assert score.dtype == torch.float32
        torch.testing.assert_close(score, metric(logits.float(), ROWS(torch.tensor([0]), HANS)))
    ones = correct(logits.expand(1001, 3), ROWS(torch.zeros(1001, dtype=torch.long), HANS))
    assert float(ones.cumsum(0)[-1]) == 1001  # in bfloat16 counting ends at 256


def test_double_stays_double() -> None:
    assert {metric(LOGITS, ROWS(GOLD, HANS)).dtype for metric in (logit_diff, prob_diff, correct)} == {torch.float64}


def test_path_metric() -> None:
    assert path_metric("logit_diff") is logit_diff
    assert path_metric("prob_diff") is prob_diff
    own = path_metric(lambda logits, rows: logits[:, 0])
    assert own(torch.tensor([[1.0, 2.0]]), ROWS(torch.tensor([0]), ((0,), (1,)))).tolist() == [1.0]
    for name in ("kl", "accuracy", ""):
        with pytest.raises(HCError, match=r"is not a metric for paths. Use logit_diff, prob_diff or a function"):
            path_metric(name)
