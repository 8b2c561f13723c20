"""Evidence by ablation relabels whole sources."""

import numpy as np
import pytest

from hc_interp.heads.by_ablation import excess_test


def test_p_is_over_sources() -> None:
    """Three sources on each side: one of the 20 relabellings is as extreme, however many rows they have."""
    outside, inside = np.ones((60, 1)), np.zeros((60, 1))
    sources = [f"premise {i % 3}" for i in range(60)]
    (p,) = excess_test(outside, inside, sources, sources, seed=0)
    assert p == pytest.approx(1 / 20, abs=0.01)
