"""Path effects to draw circuits and matrices from."""

from types import SimpleNamespace

import pytest
from made_results import path_effects

from hc_interp.components import EMBED, OUTPUT, Head


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
