"""In the numeric rooms a tensor of another dtype or shape than annotated is an error while the tests run."""

import pytest
import torch
from checked import ALWAYS, LIMIT
from jaxtyping import TypeCheckError

from hc_interp.metrics import group_cross_entropy, group_mask
from hc_interp.models.site import Site
from hc_interp.probing.resamples import Resamples


def test_wrong_shapes_and_types_are_seen() -> None:
    logits, gold = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    assert group_cross_entropy(logits, gold).shape == (2,)
    with pytest.raises(TypeCheckError, match="gold"):
        group_cross_entropy(logits, gold[:1])
    with pytest.raises(TypeCheckError, match="logits"):
        group_cross_entropy(logits.long(), gold)


def test_dataclasses_are_checked() -> None:
    with pytest.raises(TypeCheckError, match="weights"):
        Resamples(torch.zeros(2, 2), torch.zeros(2), 0.95)


def test_what_names_no_shape_is_not_wrapped() -> None:
    assert not hasattr(Site.__post_init__, "__wrapped__")
    assert hasattr(group_mask, "__wrapped__")


@pytest.mark.parametrize("again", [1, 2])
def test_first_calls_are_checked_in_each_test(again) -> None:
    logits, gold = torch.zeros(2, 3), torch.ones(1, 3, dtype=torch.bool)
    for _ in range(ALWAYS):
        with pytest.raises(TypeCheckError):
            group_cross_entropy(logits, gold)
    assert group_cross_entropy(logits, gold).shape == (2,)  # no longer checked, until the next test begins


@pytest.mark.parametrize("again", [1, 2])
def test_later_calls_are_checked_where_shapes_or_types_are_new(again) -> None:
    gold = torch.ones(1, 3, dtype=torch.bool)
    for rows in range(2, LIMIT + 1):
        with pytest.raises(TypeCheckError):
            group_cross_entropy(torch.zeros(rows, 3), gold)
    with pytest.raises(TypeCheckError):
        group_cross_entropy(torch.zeros(2, 3, dtype=torch.float64), gold=gold)
    assert group_cross_entropy(torch.zeros(LIMIT + 1, 3), gold).shape == (LIMIT + 1,)
