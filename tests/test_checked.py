"""In the numeric rooms a tensor of another dtype or shape than annotated is an error while the tests run."""

import pytest
import torch
from checked import ALWAYS, LIMIT
from jaxtyping import TypeCheckError

from hc_interp.metrics import group_mask, logit_diff
from hc_interp.models.site import Site
from hc_interp.probing.resamples import Resamples


def test_wrong_shapes_and_types_are_seen() -> None:
    logits, gold, groups = torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), ((0,), (1, 2))
    assert logit_diff(logits, gold, groups).shape == (2,)
    with pytest.raises(TypeCheckError, match="gold"):
        logit_diff(logits, gold[:1], groups)
    with pytest.raises(TypeCheckError, match="logits"):
        logit_diff(logits.long(), gold, groups)


def test_dataclasses_are_checked() -> None:
    with pytest.raises(TypeCheckError, match="weights"):
        Resamples(torch.zeros(2, 2), torch.zeros(2), 0.95)


def test_what_names_no_shape_is_not_wrapped() -> None:
    assert not hasattr(Site.__post_init__, "__wrapped__")
    assert hasattr(group_mask, "__wrapped__")


@pytest.mark.parametrize("again", [1, 2])
def test_first_calls_are_checked_in_each_test(again) -> None:
    logits, gold, groups = torch.zeros(2, 3), torch.zeros(1, dtype=torch.long), ((0,), (1, 2))
    for _ in range(ALWAYS):
        with pytest.raises(TypeCheckError):
            logit_diff(logits, gold, groups)
    assert logit_diff(logits, gold, groups).shape == (2,)  # no longer checked, until the next test begins


@pytest.mark.parametrize("again", [1, 2])
def test_later_calls_are_checked_where_shapes_or_types_are_new(again) -> None:
    gold, groups = torch.zeros(1, dtype=torch.long), ((0,), (1, 2))
    for rows in range(2, LIMIT + 1):
        with pytest.raises(TypeCheckError):
            logit_diff(torch.zeros(rows, 3), gold, groups)
    with pytest.raises(TypeCheckError):
        logit_diff(torch.zeros(2, 3, dtype=torch.float64), gold=gold, groups=groups)
    assert logit_diff(torch.zeros(LIMIT + 1, 3), gold, groups).shape == (LIMIT + 1,)
