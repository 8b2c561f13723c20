"""The calibration in small: a few worlds as it measures them in both arms, its bookkeeping, and its tables."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import hc_interp as hc

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NOISE = 0.01
EXPECTED = {
    "heuristic core": ("reads_from", "shown"),
    "competing subnetworks": ("does_not_read_from", "equivalent"),
    "null": ("inconclusive", "no generalizing heads"),
}


@pytest.fixture(scope="module")
def calibration():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        module = importlib.import_module("calibration")
        patch.setattr(module, "NOISE", (NOISE, NOISE))
        patch.setattr(module, "TRUTH_PAIRS", (80, 320))
        patch.setattr(module, "COVERAGE_PAIRS", 400)
        yield module


@pytest.fixture(scope="module")
def worlds(calibration) -> dict[str, list[dict]]:
    """One world of each kind, both arms."""
    return {kind: calibration.measure((kind, 35, False, calibration.ARMS)) for kind in calibration.KINDS}


def test_what_is_true_is_said(worlds) -> None:
    for kind, expected in EXPECTED.items():
        assert (worlds[kind][0]["answer"], worlds[kind][0]["reason"]) == expected, kind
    assert worlds["exchangeable"][0]["answer"] != "reads_from"
    for kind in ("heuristic core", "competing subnetworks", "mixed"):
        row = worlds[kind][0]
        assert row["order_truth"] == pytest.approx(row["order_T"], abs=0.05)
        assert row["edges_missed"] == 0
    assert worlds["null"][1]["reason"] == "no generalizing heads"


def test_the_search_finds_what_was_built_in(worlds) -> None:
    for kind, (built, searched) in worlds.items():
        assert built["measured"]
        assert searched["core_is_built"], kind
        assert searched["ends_are_built"], kind
        assert (searched["answer"], searched["measured"]) == (built["answer"], False)


def test_a_row_that_was_taken_over_is_the_row_that_would_be_measured(calibration) -> None:
    """The verdict depends on core and readers alone, not on who found them or what relays were listed with them."""
    world = calibration.build("competing subnetworks", 35)
    core = hc.heuristic_core([hc.Subnetwork(frozenset(world.core), world.model.components)])
    found = hc.generalizing_heads(world.model, world.task, core=core)
    assert isinstance(found, hc.GeneralizingHeads)
    assert found.relay
    ends = calibration.reading_ends(world, core, found)
    assert ends == calibration.reading_ends(world, world.core, world.generalizing)
    assert ends != calibration.reading_ends(world, world.core[1:], world.generalizing)
    one, other = (
        calibration.answer(world, c, g, world.means) for c, g in ((world.core, world.generalizing), (core, found))
    )
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value == other[name] or (value != value and other[name] != other[name]), name


def test_truth_takes_more_pairs_near_the_margin(calibration, monkeypatch) -> None:
    world = calibration.build("competing subnetworks", 35)
    core, _, readers = calibration.reading_ends(world, world.core, world.generalizing)
    few = calibration.truth(world, "overlap", core, readers)
    assert few["truth_pairs"] == 80
    monkeypatch.setattr(calibration, "MARGIN", abs(few["truth"]) + few["truth_error"])
    more = calibration.truth(world, "overlap", core, readers)
    assert more["truth_pairs"] == 400
    assert more["truth_error"] < few["truth_error"]
    assert abs(more["truth"] - few["truth"]) < 5 * few["truth_error"]


def test_an_exact_world_has_exact_edges(calibration) -> None:
    (row,) = calibration.measure(("mixed", 35, True, ("built",)))
    assert (row["noise"], row["exact"]) == (0, True)
    assert (row["edges_right"], row["edges_false"], row["edges_missed"]) == (3, 0, 0)
    assert row["order_T"] == pytest.approx(0.5, abs=1e-3)


def test_coverage_counts_every_cut(calibration) -> None:
    rows = calibration.coverage(("competing subnetworks", 35))
    assert {row["pairs"] for row in rows} == {"order", "overlap"}
    assert all(row["intervals"] == 10 and row["inside"] >= 5 for row in rows)


def test_a_stopped_run_goes_on(calibration, worlds, tmp_path, monkeypatch) -> None:
    """What is in the file is not asked for again; an arm that is missing is."""
    asked = []

    class Pool:
        def __init__(self, processes: int) -> None: ...
        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *args: object) -> None: ...
        def imap_unordered(self, work, jobs):
            asked.extend(jobs)
            return []

    calibration.append(tmp_path / "worlds.csv", worlds["mixed"] + worlds["exchangeable"][:1])
    monkeypatch.setattr(calibration.multiprocessing, "get_context", lambda how: type("Context", (), {"Pool": Pool}))
    calibration.run(tmp_path, 1, 1, calibration.ARMS, 35)
    left = [job for job in asked if len(job) == 4 and not job[2]]
    assert {job[0] for job in left} == set(calibration.KINDS) - {"mixed"}
    assert [job[3] for job in left if job[0] == "exchangeable"] == [("searched",)]


def test_plain_hooks_equal_the_backend(calibration) -> None:
    world, plain = (calibration.build("mixed", 35) for _ in range(2))
    calibration.use_plain_hooks(plain.model)
    batch, universe = world.model.tokenize(world.task.train.sample(12)), world.model.components
    gates = torch.rand(12, len(universe), generator=torch.Generator().manual_seed(0))
    found = []
    for model, means in ((world.model, world.means), (plain.model, plain.means)):
        mask = gates.clone().requires_grad_()
        logits = model.logits(batch, [hc.SoftMask(mask, means, universe)])
        logits[:, 0].sum().backward()
        found.append((logits.detach(), mask.grad))
        assert mask.grad.abs().max() > 0.01
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    with pytest.raises(hc.HCError, match="no tap 'q'"):
        plain.model.run(batch, capture=[hc.Site(0, "q")])


def test_tables(calibration, tmp_path) -> None:
    tables = importlib.import_module("calibration_tables")
    rng = np.random.default_rng(0)
    base = {"arm": "built", "exact": False, "noise": 0.01, "core_is_built": True, "ends_are_built": True}
    rows = [
        {"kind": "exchangeable", "seed": i, "answer": "inconclusive", "reason": "significance", "order_p": p, **base}
        for i, p in enumerate(rng.uniform(size=100))
    ]
    right = {"kind": "heuristic core", "answer": "reads_from", "reason": "shown", "order_truth": 1.0, **base}
    wrong = {"kind": "mixed", "answer": "does_not_read_from", "reason": "equivalent", "order_truth": 0.5, **base}
    apart = {"kind": "competing subnetworks", "answer": "does_not_read_from", "reason": "equivalent", **base}
    edges = {"edges_right": 6, "edges_false": 2, "edges_missed": 4}
    rows += [right | {"seed": i} | edges for i in range(3)] + [wrong | {"seed": 0}]
    rows += [apart | {"order_truth": 0.01, "overlap_truth": t, "seed": i} for i, t in enumerate((0.02, -0.02, 0.07))]
    rows += [right | {"arm": "searched", "core_is_built": i > 0} for i in range(3)]
    calibration.append(tmp_path / "worlds.csv", rows)
    said = "\n".join(tables.report(tmp_path))
    assert "| heuristic core | built | 3 of 3: 100.0 % [29.2, 100.0] | 0 of 3: 0.0 % [0.0, 70.8] |  |" in said
    assert "significance 100" in said
    assert "| heuristic core: reads_from >= 95% | built | 3 of 3: 100.0 % [29.2, 100.0] | yes |" in said
    assert "exchangeable: reads_from <= 5%, whole interval <= 8% | built | 0 of 100: 0.0 % [0.0, 3.6] | yes |" in said
    assert (
        "competing subnetworks: reads_from <= 5%, whole interval <= 8% | built | 0 of 3: 0.0 % [0.0, 70.8] | no |"
        in said
    )
    assert "Answers on the wrong side of the margin by the population's T: 2 of 10: 20.0 %" in said
    assert "T is inside the margin: 2 of 2" in said
    assert "T is outside the margin: 1 of 1" in said
    assert "heuristic core: the searched core is the built one in 2 of 3" in said
    assert "| heuristic core | in all weights | 0.750 | 0.600 | 18 | 6 | 12 |" in said
    reached = int((np.array([row["order_p"] for row in rows[:100]]) <= 0.1).sum())
    assert f"p <= 0.1 in {reached} of 100" in said
    frame: pd.DataFrame = tables.verdict_frame(tables.rows_of(tmp_path))
    cell = frame[(frame["world"] == "mixed") & (frame["verdict"] == "does_not_read_from")].iloc[0]
    assert (cell["rate"], cell["n"]) == (1.0, 1)
    assert hc.figures.calibration(frame).title
