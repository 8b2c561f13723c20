"""Systems that share layers score as separate passes do."""

import numpy as np
import pytest
import torch
from tiny import FAMILIES, LABELS, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.data.encode import EncodedBatch
from hc_interp.evaluation.systems import score_systems
from hc_interp.progress import SILENT

REMOVED = {
    "full": (), "late": ("L2H0",), "late too": ("L2H1", "L2MLP"), "middle": ("L1H0", "L2H0"), "most": ("L0H1", "L1MLP"),
    "most and late": ("L0H1", "L1MLP", "L2H2"), "late again": ("L2H0",),
}  # fmt: skip


@pytest.mark.parametrize("family", [name for name in FAMILIES if name in ("bert", "gpt2", "llama")])
@pytest.mark.parametrize("source", ["means", "donors"])
def test_they_equal_separate_passes(family, source) -> None:
    model = hc.load(tiny_module(family), labels=LABELS)
    batch = tiny_batch(6)
    values = (
        hc.mean_activations(model, batch)
        if source == "means"
        else hc.Donors(model, [tiny_batch(60, seed=s) for s in (1, 2)])
    )
    before = [hc.Scale("L1H1", 0.5)]
    systems = {name: frozenset(map(hc.component, items)) for name, items in REMOVED.items()}
    found = score_systems(model, [EncodedBatch(batch, torch.arange(6))], systems, values, (1,), before, SILENT)
    for row, items in zip(found, REMOVED.values(), strict=True):
        logits = model.logits(batch, [*before, hc.Ablate(list(items), values)])
        expected = logits[:, 1] - logits[:, [0, 2]].logsumexp(1)
        assert row == pytest.approx(expected.numpy(), abs=1e-9)
    assert np.ptp(found[:-1], axis=0).min() > 1e-6
