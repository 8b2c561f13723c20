"""The calibration in small: a few worlds as it measures them, its bookkeeping, and its tables."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

import hc_interp as hc

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NOISE = 0.01
SEED = 35
PARTS = ("_tables", "_worlds", "_truth", "_coverage")
MEASURED = {"trunk": ("built",), "null": ("built", "searched")}


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        found = {name: importlib.import_module(f"calibration{name}") for name in ("", *PARTS)}
        patch.setattr(found["_truth"], "NOISE", (NOISE, NOISE))
        patch.setattr(found[""], "TRUTH_PAIRS", (80,))
        patch.setattr(found["_coverage"], "PAIRS", 400)
        yield found


@pytest.fixture(scope="module")
def calibration(modules):
    return modules[""]


@pytest.fixture(scope="module")
def worlds(calibration) -> dict[str, list[dict]]:
    """One world of two kinds."""
    return {kind: calibration.measure((kind, SEED, False, arms)) for kind, arms in MEASURED.items()}


def test_what_is_true_is_said(worlds, modules) -> None:
    trunk, (nothing, searched) = worlds["trunk"][0], worlds["null"]
    assert (trunk["answer"], trunk["reading"]) == ("shared_trunk", "shared_trunk")
    assert trunk["order_truth"] == pytest.approx(trunk["order_as_is_T"], abs=0.05)
    assert (trunk["order_true_R_G"], trunk["order_true_S"]) == (1, 0)
    assert trunk["order_reversed_S"] == pytest.approx(0, abs=0.05)
    assert trunk["edges_missed"] == 0
    assert (nothing["reading_reason"], nothing["true_model_generalizes"]) == ("no generalizing heads", "fails")
    assert (searched["core_is_built"], searched["ends_are_built"], searched["measured"]) == (True, True, False)
    assert not modules["_tables"].wrong_answers(frame([trunk, nothing, searched])).any()


def frame(rows: list[dict]) -> pd.DataFrame:
    """Rows with the columns that the tables read, as they stand in a file."""
    calibration = importlib.import_module("calibration")
    return pd.DataFrame(rows).reindex(columns=calibration.COLUMNS["worlds.csv"])


def test_every_kind_can_be_built_and_knows_what_is_true(modules) -> None:
    calibration, kinds = modules[""], modules["_worlds"].KINDS
    assert set(kinds) >= {"trunk", "half trunk", "weak but exclusive", "random BERT", "graded, S = 0.45"}
    for name in ("graded, S = 0.45", "still decoys", "trunk, one other head"):
        world = calibration.build(name, SEED)
        assert world.premises
        assert world.reading
    assert [calibration.variant(calibration.build("graded, S = 0.45", seed)) for seed in (0, 1)] == [
        "R_G=0.2",
        "R_G=0.5",
    ]


def test_a_row_is_taken_over_only_where_a_verdict_sees_the_same(calibration) -> None:
    """The verdict depends on heads, and in the core alone on MLPs of the circuit, not on who named them."""
    world = calibration.build("heuristic core", 39)  # through the MLP
    universe = world.model.components
    built = calibration.reading_ends(world, world.core, world.generalizing)
    assert calibration.reading_ends(world, world.core[1:], world.generalizing) != built
    for kept, same in ((world.core, False), ((*world.core, hc.MLP(0)), True)):
        core = hc.heuristic_core([hc.Subnetwork(kept, universe)])
        assert (calibration.reading_ends(world, core, world.generalizing) == built) == same


def test_the_largest_heads_stand_above_the_core(calibration) -> None:
    world = calibration.build("random BERT", 1)
    calibration.use_plain_hooks(world.model)
    core = SimpleNamespace(heads=(hc.Head(1, 0), hc.Head(2, 3)))
    found = calibration.largest(world, core)
    assert len(found) == calibration.N_LARGEST
    assert all(head.layer > 1 and head not in core.heads for head in found)


def test_truth_takes_more_pairs_near_the_margin(calibration, modules, monkeypatch) -> None:
    world = calibration.build("competing subnetworks", SEED)
    roles = calibration.HeadRoles.of(world.model, world.core, world.generalizing)
    ends = (roles.core, roles.generalizing)
    few = calibration.truth(world, "overlap", *ends, (80, 320))
    assert few["truth_pairs"] == 80
    monkeypatch.setattr(modules["_truth"], "MARGIN", abs(few["truth"]) + few["truth_error"])
    more = calibration.truth(world, "overlap", *ends, (80, 320))
    assert more["truth_pairs"] == 400
    assert more["truth_error"] < few["truth_error"]
    assert abs(more["truth"] - few["truth"]) < 5 * few["truth_error"]


def test_coverage_counts_every_cut(modules) -> None:
    rows = modules["_coverage"].coverage(("heuristic core", SEED))
    expected = {("T", "order"), ("T", "overlap"), ("S", "order"), ("S", "overlap"), ("separation", "core alone")}
    assert {(row["statistic"], row["of"]) for row in rows} == expected
    assert all(row["intervals"] == 10 and row["inside"] >= 7 for row in rows)
    separation = rows[-1]
    assert 0.4 < separation["truth"] < 1
    assert 0.7 < separation["width"] / (2 * 1.96 * separation["spread"]) < 2


def test_a_stopped_run_goes_on(calibration, worlds, tmp_path, monkeypatch) -> None:
    """What is in the file is not asked for again; an arm that is missing is."""
    asked = []
    monkeypatch.setattr(calibration, "measure", lambda job: asked.append(job) or [])
    calibration.append(tmp_path / "worlds.csv", worlds["null"] + worlds["trunk"])
    calibration.run(tmp_path, 1, None, calibration.ARMS, SEED, quick=True)
    assert {job[0] for job in asked} == set(calibration.KINDS) - {"null"}
    assert [job[3] for job in asked if job[0] == "trunk"] == [("searched",)]
    assert [job[3] for job in asked if job[0] == "random BERT"] == [("searched", "largest")]


def test_a_world_that_fails_is_said_and_loses_no_other(calibration, worlds, tmp_path, monkeypatch) -> None:
    def measured(job):
        if job[0] == "null":
            raise hc.HCError("no such luck")
        return worlds["trunk"]

    monkeypatch.setattr(calibration, "measure", measured)
    with pytest.raises(SystemExit, match=r"(?s)These worlds failed.*'null', 35.*no such luck"):
        calibration.run(tmp_path, 1, None, ("built",), SEED, ("null", "trunk"), quick=True)
    assert pd.read_csv(tmp_path / "worlds.csv", keep_default_na=False)["kind"].tolist() == ["trunk"]


def test_a_kind_has_as_many_worlds_as_it_asks_for(calibration, tmp_path, monkeypatch) -> None:
    """Worlds without noise are among the first, and coverage is asked of few; a quick run has neither."""
    asked, covered = [], []
    monkeypatch.setattr(calibration, "measure", lambda job: asked.append(job) or [])
    monkeypatch.setattr(calibration, "coverage", lambda job: covered.append(job) or [])
    calibration.run(tmp_path, None, None, calibration.ARMS, 5, ("trunk", "mixed"))
    noisy = [job for job in asked if not job[2]]
    assert [sum(job[0] == kind for job in noisy) for kind in ("trunk", "mixed")] == [400, 40]
    assert sum("searched" in job[3] for job in noisy) == 80
    assert [(job[0], job[1]) for job in asked if job[2]] == [
        (kind, 5 + i) for i in (0, 10, 20, 30) for kind in ("trunk", "mixed")
    ]
    assert covered == [("trunk", 5), ("mixed", 5), *(("trunk", 5 + i) for i in range(40, 400, 40))]
    asked.clear()
    covered.clear()
    calibration.run(tmp_path, None, None, calibration.ARMS, 5, ("trunk", "mixed"), quick=True)
    assert (len(asked), covered) == (2 * calibration.QUICK_WORLDS, [])


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


HOLD = {f"true_{name}": "holds" for name in ("model_generalizes", "core_is_heuristic", "heads_generalize")}
BASE = {"kind": "graded", "arm": "built", "exact": False, "ends_are_built": True, "seed": 0, **HOLD}
NONE = {"order_true_R_G": 0.0, "order_truth": 0.01}
READ = {"order_true_R_G": 0.5, "order_truth": 0.5}


@pytest.mark.parametrize(
    ("answer", "world", "wrong"),
    [
        ("reads_from", {**READ, "order_true_S": 0.45}, False),
        ("reads_from", {**READ, "order_true_S": 0.15}, True),
        ("reads_from", {**READ, "order_true_S": 0.45, "true_heads_generalize": "fails"}, True),
        ("reads_from", {**NONE}, True),
        ("reads_from", {"kind": "random BERT"}, True),
        ("shared_trunk", {**READ, "order_true_S": 0.15}, False),
        ("shared_trunk", {**READ, "order_true_S": 0.45}, True),
        ("shared_trunk", {**READ, "order_true_S": 0.45, "overlap_true_R_G": 0.5, "overlap_true_S": 0.1}, False),
        ("shared_trunk", {"kind": "random BERT"}, False),
        ("does_not_read_from", NONE, False),
        ("does_not_read_from", {**READ, "order_true_S": 0.45}, True),
        ("premise_fails", {**READ, "order_true_S": 0.45}, True),
        ("premise_fails", {**READ, "order_true_S": 0.45, "true_core_is_heuristic": "fails"}, False),
        ("premise_fails", {"kind": "random BERT"}, False),
        ("inconclusive", {**READ, "order_true_S": 0.45}, False),
    ],
)
def test_what_counts_as_wrong(modules, answer, world, wrong) -> None:
    assert modules["_tables"].wrong_answers(frame([{**BASE, **world, "answer": answer}])).tolist() == [wrong]


def test_tables(calibration, modules, tmp_path) -> None:
    tables = modules["_tables"]
    shown = {"answer": "reads_from", "reason": "shown", "reading": "reads_specifically", "reading_reason": "specific"}
    denied = {"answer": "does_not_read_from", "reading": "does_not_read_from"}
    numbers = {f"order_{way}_{name}": 0.5 for way in ("as_is", "reversed") for name in ("T", "p", "S", "p_D")}
    right = {
        **BASE,
        **READ,
        **numbers,
        **shown,
        "kind": "heuristic core",
        "order_true_S": 1.0,
        "heads_generalize": "holds",
    }
    edges = {"edges_right": 6, "edges_false": 2, "edges_missed": 4}
    rows = [right | {"seed": i} | edges for i in range(3)]
    rows += [right | {"arm": "searched", "core_is_built": i > 0, "ends_are_built": i > 0, "seed": i} for i in range(3)]
    rows += [BASE | READ | denied | {"kind": "mixed", "order_true_S": 1.0}]
    truths = enumerate((0.02, -0.02, 0.07))
    rows += [BASE | NONE | denied | {"kind": "competing subnetworks", "overlap_truth": t, "seed": i} for i, t in truths]
    open_ = {"answer": "inconclusive", "reading": "inconclusive"}
    open_ |= {"reason": "significance", "reading_reason": "significance", "kind": "exchangeable"}
    rows += [BASE | open_ | {"order_as_is_p": p / 100, "seed": p} for p in range(1, 101)]
    calibration.append(tmp_path / "worlds.csv", rows)
    cover = {"kind": "mixed", "statistic": "T", "of": "order", "truth": 0.5, "intervals": 50, "inside": 45}
    calibration.append(tmp_path / "coverage.csv", [cover | {"width": 0.04, "spread": s} for s in (0.01, 0.0)])
    said = "\n".join(tables.report(tmp_path))
    assert "| heuristic core: a wrong answer <= 10% | built | 0 of 3: 0.0 % [0.0, 70.8] | yes |" in said
    assert "| mixed: a wrong answer <= 10% | built | 1 of 1: 100.0 % [2.5, 100.0] | no |" in said
    assert "| competing subnetworks: a wrong answer <= 10% | built | 1 of 3: 33.3 % [0.8, 90.6] | no |" in said
    assert "reading reads_specifically >= 95% | searched | 3 of 3: 100.0 % [29.2, 100.0] | yes |" in said
    assert (
        "exchangeable: reading reads_specifically upper bound <= 8% | built | 0 of 100: 0.0 % [0.0, 3.6] | yes" in said
    )
    assert "competing subnetworks: reading reads_specifically upper bound <= 8% | built | 0 of 3: 0.0 %" in said
    assert "heads_generalize, where true: holds >= 95% | all | 5 of 109: 4.6 %" in said
    assert "coverage of T >= 92% | built | 45 of 50: 90.0 % [78.2, 96.7] | no |" in said
    assert "median width of T <= 1.5 of what is needed | built | 1.02 | yes |" in said
    assert "| heuristic core | searched | 3 of 3: 100.0 % [29.2, 100.0] | 0 of 3" in said
    assert "| 0 of 2 |" in said  # of the searched worlds two have the built heads, and are judged
    assert "significance 100" in said
    assert "holds 3 (true: holds)" in said
    assert "T is inside the margin: 2 of 2" in said
    assert "T is outside the margin: 1 of 1" in said
    assert "heuristic core: the searched core is the built one in 2 of 3" in said
    assert "| heuristic core | in all weights | 0.750 | 0.600 | 18 | 6 | 12 |" in said
    assert "p <= 0.1 in 10 of 100" in said
    drawn: pd.DataFrame = tables.verdict_frame(tables.rows_of(tmp_path))
    cell = drawn[(drawn["world"] == "mixed") & (drawn["verdict"] == "does_not_read_from")].iloc[0]
    assert (cell["rate"], cell["n"]) == (1.0, 1)
    assert hc.figures.calibration(drawn).title


def test_the_script_runs_and_goes_on(calibration, monkeypatch, tmp_path, capsys) -> None:
    def call(seeds: int) -> None:
        given = ["--quick", "--worlds", str(seeds), "--kinds", "null", "--arms", "built", "--on", "here"]
        monkeypatch.setattr("sys.argv", ["calibration.py", "--out", str(tmp_path), *given])
        calibration.main()

    call(1)
    first = (tmp_path / "worlds.csv").read_text().splitlines()
    call(2)
    assert (tmp_path / "worlds.csv").read_text().splitlines()[: len(first)] == first
    assert len(first) == 2
    assert len(pd.read_csv(tmp_path / "worlds.csv")) == 2
    assert "| null: a wrong answer <= 10% | built | 0 of 2" in capsys.readouterr().out
