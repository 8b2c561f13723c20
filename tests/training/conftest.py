"""A tiny start of random weights, a task for it, and a short training."""

from pathlib import Path
from shutil import copytree

import pytest
from training_start import TASK, start_of

import hc_interp as hc


@pytest.fixture(scope="session")
def start():
    return start_of("bert")


@pytest.fixture
def train(start, tmp_path):
    """`hc.finetune` of a few steps into a folder, by default `out`."""

    def short(out="out", **options):
        given = {"steps": 5, "batch_size": 6, "lr": 3e-3, **options}
        return hc.finetune(given.pop("start", start), given.pop("task", TASK), tmp_path / out, **given)

    return short


@pytest.fixture(scope="session")
def finished(start, tmp_path_factory):
    """The series of that training, made once. Tests only read it."""
    return hc.finetune(start, TASK, tmp_path_factory.mktemp("series") / "out", steps=5, batch_size=6, lr=3e-3)


@pytest.fixture
def copied(finished, tmp_path):
    """The folder of a copy of that series, which a test may damage."""
    return Path(copytree(finished.folder, tmp_path / "copy"))
