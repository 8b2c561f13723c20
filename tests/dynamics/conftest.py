"""A series from a model with a built circuit: a few updates disturb the circuit and do not destroy it."""

import pytest

import hc_interp as hc

STEPS = (0, 1, 2, 4)


@pytest.fixture(scope="session")
def world():
    return hc.testbeds.heuristic_core(0, "v", 0.02)


@pytest.fixture(scope="session")
def series(world, tmp_path_factory) -> hc.ModelSeries:
    out = tmp_path_factory.mktemp("series") / "built"
    return hc.finetune(
        world.model, world.task, out, steps=4, checkpoints=STEPS, batch_size=8, lr=3e-3, max_per_case=8, pull_pairs=4
    )
