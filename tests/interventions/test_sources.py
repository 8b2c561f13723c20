"""Pairs as a source: both sides have one layout."""

from dataclasses import replace

import pytest
from texts import word_tokenizer
from tiny import LABELS, tiny_module

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.errors import InterventionError
from hc_interp.interventions.sites import Patch
from hc_interp.models.load import load


def test_sides_of_different_lengths_are_refused() -> None:
    model = load(tiny_module("bert"), tokenizer=word_tokenizer(["the old judge saw"]), labels=LABELS)
    clean = Examples(("the judge saw", "the old judge"), None, (0, 1), ("a", "b"))
    batch = model.tokenize(clean)
    corrupt = replace(clean, first=("saw the judge", "the judge"))
    with pytest.raises(InterventionError, match="Pair b has sides of different lengths"):
        model.logits(batch, Patch("L1H1", ContrastPairs(clean, corrupt, clean.label)))
    aligned = replace(clean, first=("saw the judge", "judge the old"))
    model.logits(batch, Patch("L1H1", ContrastPairs(clean, aligned, clean.label)))
