"""What the reads-from test is measured with, against a loop over pairs, one at a time."""

import pytest
import torch
from path_pairs import make_pairs

from hc_interp.components import Head
from hc_interp.interventions.sites import Steer
from hc_interp.models.site import Site
from hc_interp.patching.joint_effects import PairRuns


@pytest.mark.parametrize("general", [False, True])
def test_sizes_are_means_over_positions_that_are_no_padding(tiny_bert, general) -> None:
    pairs = make_pairs(6)
    assert not bool(pairs.clean.attention_mask.all())
    before = [Steer(Site(0, "resid_pre"), torch.linspace(-1, 1, 24, dtype=torch.float64))] if general else []
    sizes = PairRuns.of(tiny_bert, pairs, "logit_diff", before, 64).head_sizes()
    site, change, value = Site(1, "z", 2), [], []
    for row in range(len(pairs)):
        clean, corrupt = (
            tiny_bert.run(side.rows([row]).trim(), before, capture=site).captured[site][0] for side in pairs.sides
        )
        change += (corrupt - clean).norm(dim=-1).tolist()
        value += clean.norm(dim=-1).tolist()
    assert sizes.change[Head(1, 2)] == pytest.approx(sum(change) / len(change))
    assert sizes.value[Head(1, 2)] == pytest.approx(sum(value) / len(value))
