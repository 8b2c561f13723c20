"""A sample of good subnetworks that was not drawn by chains: its shared core and its mixing are as asked for."""

import numpy as np
import pandas as pd
import torch

from hc_interp.search.sampling.sample import SubnetworkSample
from hc_interp.subnetwork import Subnetwork


def good_sample(items, always, mixed: bool = True, others: int = 4) -> SubnetworkSample:
    """Masks that all keep `always` and `others` more: each equally often, or the same ones in all draws of a chain."""
    rng = np.random.default_rng(0)
    core, rest = ([i for i, item in enumerate(items) if (item in always) is word] for word in (True, False))
    masks = np.zeros((3, 8, 100, len(items)), dtype=bool)
    masks[..., core] = True
    for chain in range(8):
        for draw in range(100):
            drawn = rng.choice(rest, others, replace=False)
            masks[:, chain, draw, drawn if mixed else np.roll(rest, -chain)[:others]] = True
    losses = [0.9 if item in always else 0.1 for item in items]
    best = Subnetwork([items[i] for i in (*core, *rest[:others])], items)
    return SubnetworkSample(
        items, 0.5, 0.1, best, 0.05, (0.5, 1.0, 2.0), torch.from_numpy(masks), torch.full((3, 8, 100), 0.06),
        pd.DataFrame({"component": map(str, items), "loss": losses, "repairs": 1}),
        torch.from_numpy(masks[0, 0, np.arange(len(items))]), pd.DataFrame(), pd.DataFrame(),
    )  # fmt: skip
