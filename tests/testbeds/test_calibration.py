"""The calibration in small: a few worlds as it measures them, its bookkeeping, and its tables."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "experiments" / "calibration.py"


@pytest.fixture(scope="module")
def calibration():
    spec = importlib.util.spec_from_file_location("calibration", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.TRUTH_PAIRS, module.COVERAGE_PAIRS, module.SEARCH = 80, 400, {"seeds": range(1), "steps": 20}
    return module


@pytest.mark.parametrize(
    ("kind", "answer", "reason"),
    [
        ("heuristic core", "reads_from", "shown"),  # as drawn, with its own noise
        ("competing subnetworks", "does_not_read_from", "equivalent"),
        ("null", "inconclusive", "no generalizing heads"),
    ],
)
def test_a_world_is_one_row(calibration, kind, answer, reason, tmp_path) -> None:
    row = calibration.measure((kind, 35, "built", None if kind == "heuristic core" else 0.01))
    assert (row["answer"], row["reason"]) == (answer, reason)
    if kind != "null":
        assert row["order_truth"] == pytest.approx(row["order_T"], abs=0.05)
        assert row["edges_missed"] == 0
    calibration.append(tmp_path / "worlds.csv", [row | {"exact": False}])
    assert calibration.known(tmp_path / "worlds.csv", ["kind", "seed", "arm", "exact"]) == {
        (kind, "35", "built", "False")
    }


def test_an_exact_world_has_exact_edges(calibration) -> None:
    row = calibration.measure(("mixed", 35, "built", 0.0))
    assert (row["edges_right"], row["edges_false"], row["edges_missed"]) == (3, 0, 0)
    assert row["order_T"] == pytest.approx(0.5, abs=1e-3)


def test_coverage_counts_every_cut(calibration) -> None:
    rows = calibration.coverage(("competing subnetworks", 35))
    assert {row["pairs"] for row in rows} == {"order", "overlap"}
    assert all(row["intervals"] == 10 and row["inside"] >= 5 for row in rows)


def test_tables(calibration, tmp_path) -> None:
    rng = np.random.default_rng(0)
    base = {"arm": "built", "exact": False, "noise": 0.01}
    rows = [
        {"kind": "exchangeable", "seed": i, "answer": "inconclusive", "reason": "significance", "order_p": p, **base}
        for i, p in enumerate(rng.uniform(size=100))
    ]
    right = {"kind": "heuristic core", "answer": "reads_from", "reason": "shown", "order_truth": 1.0, **base}
    wrong = {"kind": "mixed", "answer": "does_not_read_from", "reason": "equivalent", "order_truth": 0.5, **base}
    edges = {"edges_right": 6, "edges_false": 2, "edges_missed": 4}
    rows += [right | {"seed": i} | edges for i in range(3)] + [wrong | {"seed": 0}]
    calibration.append(tmp_path / "worlds.csv", rows)
    said = "\n".join(calibration.report(tmp_path))
    assert "| heuristic core | built | 3 of 3: 100.0 % [29.2, 100.0] | 0 of 3: 0.0 % [0.0, 70.8] |  |" in said
    assert "significance 100" in said
    assert "Answers on the wrong side of the margin by the population's T: 1 of 4: 25.0 %" in said
    assert "precision 0.750, recall 0.600 (18 right, 6 false, 12 missed)" in said
    reached = int((np.array([row["order_p"] for row in rows[:100]]) <= 0.1).sum())
    assert f"p <= 0.1 in exchangeable worlds (order pairs): {reached} of 100" in said
