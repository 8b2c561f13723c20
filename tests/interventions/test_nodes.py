"""A soft mask touches what it names."""

import torch
from tiny import tiny_batch

from hc_interp.components import MLP, Head
from hc_interp.interventions.nodes import Scale, SoftMask


def test_a_mask_over_some_components_leaves_the_others(any_model) -> None:
    batch, mask = tiny_batch(), torch.tensor([0.3, 0.6], dtype=torch.float64)
    expected = any_model.logits(batch, [Scale(Head(1, 2), 0.3), Scale(MLP(1), 0.6)])
    for given in (mask, mask.repeat(len(batch), 1)):
        result = any_model.logits(batch, SoftMask(given, 0, (Head(1, 2), MLP(1))))
        torch.testing.assert_close(result, expected)
