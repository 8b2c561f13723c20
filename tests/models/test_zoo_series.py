"""The series of the zoo: what their cards promise, measured on examples that neither training nor recipe saw."""

import importlib.util
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch

import hc_interp as hc
from hc_interp.models.hashed_files import sha256_of
from hc_interp.models.zoo_cards import DATA, SERIES

ROOT = Path(__file__).parents[2]
IN_WHEEL, IN_REPOSITORY, OF_A_CHECKPOINT, OF_AN_ADAPTER = 15e6, 45e6, 0.5 * 2**20, 3e6  # bytes
FRESH_SEED, PER_CASE = 5_000_000, 60


def recipe():
    """The script that made the series."""
    spec = importlib.util.spec_from_file_location("tiny_overlap", ROOT / "experiments/series/tiny_overlap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made():
    """The recipe; examples that it draws twice are drawn once."""
    script = recipe()
    for name in ("case_examples", "in_domain_examples"):
        setattr(script, name, cache(getattr(script, name)))
    return script


TINY = [name for name in SERIES if name.startswith("tiny-overlap")]


@pytest.fixture(scope="module", params=TINY)
def series(request):
    return hc.load_series(f"zoo:{request.param}")


def test_the_heuristic_comes_first_and_generalization_later(series, made, monkeypatch) -> None:
    monkeypatch.setattr(made, "TEST_SEED", FRESH_SEED)
    monkeypatch.setattr(made, "TEST_PER_CASE", PER_CASE)
    heuristics = ("lexical_overlap", "subsequence", "constituent")
    early, late = (made.at(series[step], step) for step in (made.CASES_FROM, made.STEPS))
    assert early["in_domain"] >= 0.9
    assert early["pull"] >= 0.9
    assert early["entailment_at_low_overlap"] <= 0.3
    assert all(early[f"separation_{name}"] <= 0.6 for name in heuristics)
    assert late["in_domain"] >= 0.95
    assert all(late[f"separation_{name}"] >= 0.95 for name in heuristics)
    assert sum(late[f"held_{case}"] >= 0.8 for case in made.HELD_OUT) >= 4


def test_no_held_out_case_was_trained_on(series) -> None:
    assert set(series.card["held_out"]) == set(recipe().ALL_HELD_OUT)


def test_sizes(series) -> None:
    assert len(series) >= 10
    assert all(entry["bytes"] <= OF_A_CHECKPOINT for entry in series.card["checkpoints"].values())


def test_a_series_on_a_public_base_is_small_and_unchanged() -> None:
    series = hc.load_series("zoo:mpnet-nli")
    assert series.card["start"]["base"]["sha256"].startswith("78c0197b")
    assert not list((series.folder / "start").glob("*.safetensors"))
    for entry in series.card["checkpoints"].values():
        path = series.folder / entry["file"]
        assert (path.stat().st_size, sha256_of(path)) == (entry["bytes"], entry["sha256"])
        assert entry["bytes"] <= OF_AN_ADAPTER
    early, late = (series.metrics.set_index("step").loc[step] for step in (935, 1635))
    assert early["separation_lexical_overlap"] < late["separation_lexical_overlap"]


def test_all_weights_together_stay_small() -> None:
    def size(folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    assert size(DATA) <= IN_WHEEL
    assert size(ROOT / "experiments" / "series") <= IN_REPOSITORY


def test_a_checkpoint_is_the_same_each_time_and_at_any_number_of_threads() -> None:
    """Of one series: the others differ from it in their weights only."""
    series = hc.load_series(f"zoo:{next(iter(SERIES))}")
    examples = hc.grammar.in_domain_examples(64, FRESH_SEED)
    threads = torch.get_num_threads()
    found = []
    try:
        for n in (1, 1, 2):
            torch.set_num_threads(n)
            model = series[series.steps[-1]]
            found.append(model.logits(model.tokenize(examples)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert (found[0] - found[2]).abs().max() <= 1e-5


def test_a_damaged_checkpoint_is_refused(series, tmp_path) -> None:
    copied = shutil.copytree(series.folder, tmp_path / "copy")
    path = copied / series.card["checkpoints"][str(series.steps[-1])]["file"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(hc.ModelError, match=r"SHA-256"):
        hc.load_series(copied)[series.steps[-1]]
