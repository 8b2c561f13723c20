"""No file that is read back loads with another value after a bit of it flipped; `experiments/damage.py` in small."""

import importlib
import random
from pathlib import Path

import pytest
from jaxtyping import config

from hc_interp.records.result import MODULES

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def damage(monkeypatch):
    """The experiment. It makes up the fields of results, so the shapes of their tensors are not checked here."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("damage")


def test_flipped_bits_in_files_of_every_kind_are_called_damage(damage, tmp_path) -> None:
    files = damage.saved_files(tmp_path)
    assert {file.kind for file in files} > {*MODULES, "Subnetwork", "manifest"}
    table = damage.damaged(files, 3 * len(files), random.Random(0))
    assert table["refused as damaged"].sum() == 3 * len(files) >= 60
    assert table["loaded with another value"].sum() == 0


def test_damage_that_no_checksum_guards_is_counted(damage, tmp_path) -> None:
    """The experiment can fail: a value that is changed, checksum and all, loads as another."""
    file = next(file for file in damage.saved_files(tmp_path) if file.kind == "Subnetwork")
    before = damage.encode(file.read())
    file.path.write_text('{"kind": "Subnetwork", "kept": ["L0H0"], "universe": ["L0H0", "L0H1"]}')
    assert damage.outcome(file, before) == "loaded with another value"
