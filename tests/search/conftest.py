"""A tiny classifier in which half of the components do nothing, so that the best mask is known."""

import pytest
import torch
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.components import MLP, Head
from hc_interp.data.batch import Batch
from hc_interp.models.load import load

PLANTED = frozenset({Head(0, 0), Head(0, 2), Head(1, 1), Head(2, 0), MLP(0), MLP(2)})


def planted_module(dtype: torch.dtype = torch.float32):
    """A BERT of 3 layers x 3 heads whose components outside `PLANTED` add a constant."""
    module = tiny_module("bert", seed=3, dtype=dtype)
    with torch.no_grad():
        for number, layer in enumerate(module.bert.encoder.layer):
            out = layer.attention.output.dense.weight
            for head in range(3):
                if Head(number, head) not in PLANTED:
                    out[:, head * 8 : head * 8 + 8] = 0
            if MLP(number) not in PLANTED:
                layer.output.dense.weight.zero_()
    return module


@pytest.fixture(scope="session")
def planted() -> frozenset:
    """The components of the planted model that matter."""
    return PLANTED


@pytest.fixture(scope="session")
def planted_model():
    return load(planted_module(), labels=LABELS)


@pytest.fixture(scope="session")
def rows() -> Batch:
    """120 rows with labels."""
    batch = tiny_batch(120, 10)
    labels = torch.randint(0, 3, (120,), generator=torch.Generator().manual_seed(5))
    return Batch(batch.input_ids, batch.attention_mask, batch.token_type_ids, labels=labels, ids=batch.ids)
