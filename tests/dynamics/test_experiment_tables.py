"""The tables of the experiment on training under interventions, on rows whose answer is known."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hc_interp as hc

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ARMS = ("a", "c", "e0", "e1")


@pytest.fixture(scope="module")
def tables():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        yield importlib.import_module("dynamics_tables")


def rows(tables, lost: dict[str, float], seeds: int = 12, noise: float = 0.01, clean: bool = True) -> pd.DataFrame:
    """Arm a gains .2 on held-out cases; an arm x gains the share `1 - lost[x]` of it."""
    rng = np.random.default_rng(0)
    made = []
    for seed in range(seeds):
        for arm in ARMS:
            for step, share in ((0, 0.0), (2400, 0.5), (tables.STEPS, 1.0)):
                gain = 0.2 * share * (1 - lost.get(arm, 0.0))
                auc = 0.7 if (arm, step, clean) == ("c", 0, False) else 0.98 + 0.01 * share
                row = {"held_out": 0.5 + gain + noise * share * rng.normal(), "in_domain_auc": auc, "in_domain": 0.9}
                about = {"seed": seed, "arm": arm, "rise": 0.0, "unmatched": False, "seconds": 1}
                made.append({**about, "system": "trained", "step": step, "trained": 0.9, **row})
        made.append({**about, "arm": "c", "system": "without the cut", "step": tables.STEPS, "trained": 0.9, **row})
    return pd.DataFrame(made)


def test_the_lost_share_is_that_of_the_rows(tables) -> None:
    found = tables.losses(tables.gains(rows(tables, {"c": 0.6, "e0": 0.2, "e1": 0.1}, noise=0.0)), 0.95)
    assert found["loss"].to_dict() == pytest.approx({"c": 0.6, "e": 0.15, "c - e": 0.45})
    assert found["low"].tolist() == pytest.approx(found["loss"].tolist())  # no noise: points
    assert found["seeds"].tolist() == [12, 12, 12]


@pytest.mark.parametrize(
    ("lost", "answer"),
    [
        ({"c": 0.6, "e0": 0.1, "e1": 0.1}, "generalization needs to read the core"),
        ({"c": 0.0}, "generalization does not need to read the core"),
        ({"c": 0.6, "e0": 0.6, "e1": 0.6}, "open"),  # any other heads do as well
        ({"c": 0.25}, "open"),
    ],
)
def test_the_answer_follows_the_rule(tables, lost, answer) -> None:
    assert tables.outcome(rows(tables, lost)) == answer


def test_a_cut_that_breaks_the_task_answers_nothing(tables) -> None:
    frame = rows(tables, {"c": 0.6, "e0": 0.1, "e1": 0.1}, clean=False)
    assert tables.outcome(frame) == "open: c is clean in 0 of 12 seeds only"


def test_without_comparison_sets_nothing_is_needed(tables) -> None:
    frame = rows(tables, {"c": 0.9})
    alone = frame[frame["arm"].isin(["a", "c"])]
    assert tables.outcome(alone) == "open"
    assert list(tables.losses(tables.gains(alone), 0.95).index) == ["c"]


def test_seeds_without_an_arm_count_in_the_others(tables) -> None:
    frame = rows(tables, {"c": 0.5, "e0": 0.1, "e1": 0.1})
    part = frame[~(frame["arm"].str.startswith("e") & (frame["seed"] > 3))]
    assert tables.losses(tables.gains(part), 0.95)["seeds"].to_dict() == {"c": 12, "e": 4, "c - e": 4}


def test_the_reading_at_the_same_auc_takes_the_last_such_checkpoint(tables) -> None:
    frame = rows(tables, {"c": 0.5}, noise=0.0)
    worse = (frame["arm"] == "c") & (frame["step"] == tables.STEPS)
    frame.loc[worse, "in_domain_auc"] = 0.9  # c has a's last AUC, .99, at step 2,400 alone
    assert tables.gains(frame, at_same_auc=True)["c"].tolist() == pytest.approx([0.05] * 12)
    frame.loc[frame["arm"] == "c", "in_domain_auc"] = 0.9  # it never has it: read at the end
    assert tables.gains(frame, at_same_auc=True)["c"].tolist() == pytest.approx([0.1] * 12)


def test_committed_rows_make_a_report_and_a_figure(tables) -> None:
    frame = tables.rows_of(EXPERIMENTS / "training_dynamics")
    text = "\n".join(tables.report(frame))
    assert text.startswith("outcome: ")
    assert f"a: {frame['seed'].nunique()} seeds" in text
    assert {row["index"] for row in tables.figure(frame).data} <= {*tables.WORDS, "c - e"}


def test_a_folder_without_rows_says_what_makes_them(tables, tmp_path) -> None:
    with pytest.raises(hc.DataError, match=r"holds no rows .* training_dynamics\.py --out"):
        tables.rows_of(tmp_path)
