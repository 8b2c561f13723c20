"""Evidence by contrast: its p is over sources, and a model must tell both sides of pairs apart."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from built_reading import CORE, READER, built_model, pairs

from hc_interp.data.contrast import ContrastPairs, split_of
from hc_interp.data.task import Task
from hc_interp.heads.generalizing import GeneralizingHeads, generalizing_heads
from hc_interp.models.load import load


def found_on(given: ContrastPairs, bias: float = 0.0) -> GeneralizingHeads:
    """On the built model, with `bias` added to the logit of entailment."""
    model = built_model("direct")
    module = deepcopy(model.module)
    with torch.no_grad():
        module.classifier.bias[0] += bias
    moved = load(module, tokenizer=model.tokenizer, labels=model.labels)
    return generalizing_heads(moved, Task("built", pairs={("built", "order"): given}), core=CORE)


def test_p_is_over_sources() -> None:
    given = pairs(60, split=None)
    names = tuple(f"premise {i % 8}" for i in range(60))
    sides = {name: replace(getattr(given, name), source=names) for name in ("clean", "corrupt")}
    found = found_on(replace(given, **sides))
    n = sum(split_of(name) == "select" for name in set(names))
    assert 1 < n < 8
    assert found.table.set_index("head").loc[str(READER), "p"] == pytest.approx(2 / 2**n)


@pytest.mark.parametrize("bias", [60.0, -60.0])
def test_an_answer_that_is_always_the_same_is_at_floor(bias) -> None:
    """It is right on one side of every pair, though the logits move as before."""
    found = found_on(pairs(60, split=None), bias)
    assert (found.table["share"] > 0.05).any()
    assert found.heads == found.relay == ()
    assert "both sides of 0% of the order pairs" in found.notes[0]
    assert READER in found_on(pairs(60, split=None)).heads
