"""Which estimated paths go on to be measured on all pairs."""

import torch

from hc_interp.patching.estimate.selection import ExactSelection


def test_a_row_survives_until_as_many_others_as_are_wanted_are_surely_larger() -> None:
    """The first is larger on average but hardly known; the second is known well, and may be the largest."""
    estimates = torch.zeros(16, 3, dtype=torch.float64)
    spread = torch.tensor([1.0, -1.0] * 8, dtype=torch.float64)
    exact = torch.stack([1 + 0.7 * spread, 0.8 + 0.01 * spread, 0.1 + 0.01 * spread], dim=1)
    selection = ExactSelection(0.05, [], [])
    assert selection.survivors(estimates, {"effects": exact}, [0, 1, 2], n_top=1) == [0, 1]
    assert selection.survivors(estimates, {"effects": exact}, [0, 1, 2], n_top=3) == [0, 1, 2]
