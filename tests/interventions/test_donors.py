"""A donor is another text of the same length, drawn by seed, whole with its token types."""

from dataclasses import replace

import pytest
import torch
from tiny import tiny_batch

from hc_interp.data.batch import Batch
from hc_interp.interventions.donors import Donors


@pytest.fixture
def batch() -> Batch:
    """Forty texts of one length."""
    return replace(tiny_batch(40, 8), attention_mask=torch.ones(40, 8, dtype=torch.long))


def test_another_seed_draws_other_donors(tiny_bert, batch) -> None:
    drawn = [Donors(tiny_bert, batch, seed).batch_for(batch).input_ids for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any(1).float().mean() > 0.5


def test_no_text_is_its_own_donor(tiny_bert, batch) -> None:
    """Nor a copy of it: of three texts, each there twice, one of the two others is drawn."""
    few = batch.rows(range(3))
    for seed in range(8):
        drawn = Donors(tiny_bert, [few, few], seed).batch_for(few).input_ids
        assert not (drawn == few.input_ids).all(1).any()


def test_a_donor_brings_its_token_types(tiny_bert) -> None:
    batch = tiny_batch(6, 9)
    types = batch.attention_mask * (torch.arange(9) >= 1)  # the second text begins at once
    donor = Batch(
        torch.where(batch.attention_mask.bool(), batch.input_ids + 1, 1).clamp(max=59), batch.attention_mask, types
    )
    result = Donors(tiny_bert, donor).batch_for(batch)
    assert not torch.equal(types, batch.token_type_ids)
    assert torch.equal(result.token_type_ids, types)
    assert torch.equal(result.attention_mask, batch.attention_mask)
