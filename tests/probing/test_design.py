"""What a probe is asked, on which of many examples."""

import numpy as np

from hc_interp.probing.design import CONTROL_DRAWS, Design, limit_places
from hc_interp.probing.features import FeatureValues

DEFAULTS = {"n_folds": 5, "level": 0.95, "max_tokens": None, "control": True, "sources": None}


def test_each_control_task_is_drawn_anew(model, examples) -> None:
    targets = Design.of(model, examples, "token_overlap", seed=0, **DEFAULTS).targets
    controls = [tuple(targets[f"control {draw}"]) for draw in range(CONTROL_DRAWS)]
    assert len(set(controls)) == CONTROL_DRAWS


def test_which_examples_are_left_is_drawn_by_seed() -> None:
    """Whole examples, about as many as fit, and not the first."""
    row = np.repeat(np.arange(50), 4)
    values = FeatureValues("f", "token", "binary", row, row, row % 2 * 1.0, ("word",) * 200)
    kept = [set(limit_places(values, 80, seed).row.tolist()) for seed in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]
    assert {len(rows) for rows in kept} == {20}
    assert set(range(20)) not in kept
