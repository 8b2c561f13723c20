"""Results as a run would leave them, made up but built through the real classes, so that pictures have data."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hc_interp.components import EMBED, OUTPUT, Head, components, is_upstream
from hc_interp.patching.effects import PathEffects


def path_effects(senders, receivers, *, n_pairs=40, through=("q", "k", "v"), seed=0, density=0.25, scale=0.05):
    """Every path from senders into receivers; a share `density` of them carries an effect of about `scale`."""
    rng = np.random.default_rng(seed)
    rows, strength = [], []
    for sender in components(senders):
        for receiver in components(receivers):
            for name in through if isinstance(receiver, Head) else ("in",):
                rows.append((str(sender), str(receiver), name))
                live = is_upstream(sender, receiver) and sender != receiver
                size = rng.normal(0.8, 0.8) if rng.random() < density else 0.0
                strength.append((live, size * scale))
    live = np.array([item[0] for item in strength])
    size = np.array([item[1] for item in strength])
    node = -1.5 + 0.2 * rng.normal(size=(n_pairs, 1)) + np.zeros((1, len(rows)))
    noise = rng.normal(size=(n_pairs, len(rows)))
    effects = live * (node * size + 0.01 * scale * noise)
    extent = np.ones_like(effects)
    return PathEffects(
        rows=tuple(rows),
        downstream=tuple(map(bool, live)),
        effects=torch.from_numpy(effects),
        node=torch.from_numpy(node),
        total=torch.from_numpy(-3 + 0.1 * rng.normal(size=n_pairs)),
        explained=torch.from_numpy(effects / -1.5),
        extent=torch.from_numpy(extent),
        sources=tuple(f"premise {i}" for i in range(n_pairs)),
        ids=tuple(map(str, range(n_pairs))),
        route="direct",
        metric="logit_diff",
        level=0.95,
        seed=seed,
    )


CORE = [Head(0, 3), Head(0, 7), Head(1, 1), Head(1, 4), Head(1, 10), Head(2, 2), Head(2, 7), Head(2, 11), Head(3, 6)]
GENERALIZING = [Head(3, 0), Head(4, 3), Head(4, 8), Head(5, 6), Head(5, 11)]


@pytest.fixture(scope="session")
def small():
    """Six layers, nine heuristic and five generalizing heads."""
    return SimpleNamespace(core=CORE, generalizing=GENERALIZING, edges=path_effects(CORE, GENERALIZING))


@pytest.fixture(scope="session")
def full():
    """All heads of a 12 x 12 model, every third one generalizing; MLPs and both ends measured."""
    heads = [Head(layer, head) for layer in range(12) for head in range(12)]
    generalizing = [item for item in heads if item.layer > 5 and item.head % 3 == 0]
    core = [item for item in heads if item not in generalizing]
    senders = [EMBED, *core[::5], "L2MLP", "L10MLP"]
    receivers = [*generalizing[::3], "L3MLP", "L11MLP", OUTPUT]
    edges = path_effects(senders, receivers, through=("v",), density=0.15, n_pairs=30)
    return SimpleNamespace(core=core, generalizing=generalizing, edges=edges)


@pytest.fixture(scope="session")
def make_effects():
    return path_effects
