"""Effective size on hand-made grids, and on the paper's files where they are at hand."""

import json
import os
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from hc_interp.errors import DataError, HCError
from hc_interp.evaluation.effective_size import EffectiveSize, effective_size

IN_DOMAIN = ("validation_matched", "validation_mismatched")
OUT_OF_DISTRIBUTION = (
    "lexical_overlap_ln_preposition",
    "lexical_overlap_ln_subject-object_swap",
    "constituent_cn_embedded_under_if",
    "constituent_cn_embedded_under_verb",
)


def grid_of(accuracies: dict) -> dict:
    return {42: {100: {sparsity: {"case": value} for sparsity, value in accuracies.items()}}}


def one(accuracies: dict, full: float = 0.83, margin: float = 0.03) -> tuple[float, str, int]:
    row = effective_size({100: {"case": full}}, grid_of(accuracies), ["case"], margin).to_frame().iloc[0]
    return row["size"], row["flags"], row["missing"]


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ({10: 0.83, 30: 0.81, 50: 0.7}, (70, "", 0)),
        ({50: 0.7, 10: 0.83, 30: 0.81}, (70, "", 0)),  # the order of the grid does not matter
        ({10: 0.83, 30: 0.7, 50: 0.81, 70: 0.1}, (50, "non_monotone", 0)),
        ({10: 0.83, 30: 0.82, 50: 0.81}, (50, "grid_edge", 0)),
        ({10: 0.7, 30: 0.6, 50: 0.81}, (50, "non_monotone, grid_edge", 0)),
        ({10: 0.7, 30: 0.6, 50: 0.1}, (100, "grid_edge", 0)),
        ({10: 0.9, 30: 0.80, 50: 0.1}, (70, "", 0)),
        ({10: 0.9, 30: 0.7999, 50: 0.1}, (90, "", 0)),
        ({10: -1.0, 30: 0.82, 50: 0.1}, (70, "", 0)),  # a missing larger size is no failure
        ({10: 0.83, 30: 0.82, 50: -1.0, 70: 0.1}, (70, "", 1)),
        ({10: 0.83, 30: None, 50: float("nan"), 70: 0.1}, (90, "", 2)),
    ],
)
def test_size_and_flags_by_hand(accuracies, expected):
    assert one(accuracies) == expected


def test_rounding_decides_nothing():
    assert 0.27 - 0.03 > 0.24  # in binary; in decimals they are equal
    assert one({10: 0.27, 30: 0.24, 50: 0.1}, full=0.27) == (70, "", 0)


def test_floor_is_flagged_where_any_case_has_nothing_to_lose():
    full = {1: {"a": 0.09, "b": 0.9}, 2: {"a": 0.10, "b": 0.9}}
    grid = {0: {step: {50: dict(full[step]), 70: {"a": 0, "b": 0}} for step in full}}
    assert effective_size(full, grid, ["a", "b"]).to_frame()["flags"].tolist() == ["floor", ""]
    assert effective_size(full, grid, ["b"]).to_frame()["flags"].tolist() == ["", ""]


def test_accuracy_is_the_mean_over_cases():
    full = {1: {"a": 0.9, "b": 0.9}}
    grid = {0: {1: {20: {"a": 1.0, "b": 0.76}, 40: {"a": 0.9, "b": 0.8}, 60: {"a": 0.9, "b": 0.0}}}}
    result = effective_size(full, grid, ["a", "b"])
    assert result.to_frame()["size"].tolist() == [80]
    assert result.curve["accuracy"].tolist() == pytest.approx([0.45, 0.85, 0.88])
    assert result.curve["size"].tolist() == [40, 60, 80]


def test_keys_may_be_text_and_case_ids_are_alike_with_slash_and_dash():
    full = {"500": {"ln_subject/object_swap": 0.8}, "1000": {"ln_subject/object_swap": 0.8}}
    inner = {"5": {"ln_subject-object_swap": 0.8}, "50": {"ln_subject-object_swap": 0.1}}
    frame = effective_size(full, {"42": {1000: inner, 500: inner}}, "ln_subject-object_swap").to_frame()
    assert frame[["seed", "step", "size"]].to_numpy().tolist() == [[42, 500, 95], [42, 1000, 95]]


def test_mean_over_seeds():
    full = {1: {"case": 0.8}}
    grid = {0: grid_of({10: 0.8, 50: 0.1})[42], 1: grid_of({10: 0.8, 50: 0.8})[42]}
    grid = {seed: {1: by_step[100]} for seed, by_step in grid.items()}
    row = effective_size(full, grid, ["case"]).by_step().iloc[0]
    assert row.to_dict() == {"step": 1, "size": 70, "smallest": 50, "largest": 90, "seeds": 2, "flags": "grid_edge"}


def test_result_is_saved_loaded_and_shown(tmp_path):
    result = effective_size({100: {"case": 0.83}}, grid_of({10: 0.83, 30: None, 50: 0.1}), ["case"])
    again = EffectiveSize.load(result.save(tmp_path / "size.json"))
    assert again.cases == ("case",)
    assert again.to_frame().equals(result.to_frame())
    assert np.isnan(again.curve["accuracy"]).tolist() == [False, True, False]
    assert "100: 90.0 %" in repr(result)
    assert "<table" in result._repr_html_()


FULL = {500: {"case": 0.8}, 1000: {"case": 0.9}}
GRID = {seed: {step: {10: {"case": 0.8}, 50: {"case": 0.5}} for step in FULL} for seed in (1, 2)}


def without(path: list) -> dict:
    grid = deepcopy(GRID)
    table = grid
    for key in path[:-1]:
        table = table[key]
    del table[path[-1]]
    return grid


def replaced(value: object, sparsity: object = 50) -> dict:
    grid = without([2, 500, 50])
    grid[2][500][sparsity] = value
    return grid


@pytest.mark.parametrize(
    ("full", "grid", "message"),
    [
        (FULL, without([2, 1000]), r"grid\[2\] lacks step 1000"),
        ({500: FULL[500]}, GRID, "full lacks step 1000"),
        (FULL, without([2, 500, 50, "case"]), r"grid\[2\]\[500\]\[50\] has no case 'case'"),
        ({500: {"other": 1.0}, 1000: {"case": 1.0}}, GRID, r"full\[500\] has no case 'case'. It has 'other'"),
        (FULL, {}, "grid is empty"),
        ({}, GRID, "full is empty"),
        (FULL, {1: {}}, r"grid\[1\] is empty"),
        (FULL, {1: {500: {}, 1000: {}}}, r"grid\[1\]\[500\] is empty"),
        (FULL, [1, 2], "grid is a list"),
        (FULL, {"seed one": GRID[1]}, "key 'seed one' where a seed was expected"),
        (FULL, {1: GRID[1], "1": GRID[1]}, "seed 1 twice"),
        (FULL, GRID[1], r"grid\[500\] lacks step 500, 1000 and full lacks step 10, 50"),
        (FULL, replaced({"case": 81.0}), r"has accuracies \[81.0\]"),
        (FULL, replaced({"case": "high"}), r"has accuracies \['high'\]"),
        (FULL, replaced(0.8), "is a float"),
        (FULL, replaced({"case": 0.8}, 0.5), "sparsity 0.5"),
        (FULL, replaced({"case": 0.8}, 150), "sparsity 150"),
        ({500: {"case": -1.0}, 1000: {"case": 0.9}}, GRID, r"full\[500\] has accuracies \[-1.0\]"),
        ({500: {"case": None}, 1000: {"case": 0.9}}, GRID, r"full\[500\] has accuracies \[None\]"),
        (FULL, {1: {500: {50: {"case": -1}}, 1000: GRID[1][1000]}}, "no grid point that was evaluated"),
    ],
)
def test_what_is_missing_or_wrong_is_named(full, grid, message):
    with pytest.raises(DataError, match=message):
        effective_size(full, grid, ["case"])


def test_arguments_are_checked():
    with pytest.raises(HCError, match="No case"):
        effective_size(FULL, GRID, [])
    for margin in (-0.1, 3.0, float("nan"), "0.03"):
        with pytest.raises(HCError, match=r"margin=.*0\.03"):
            effective_size(FULL, GRID, ["case"], margin)


def test_one_checkpoint_needs_no_steps():
    whole = effective_size({0: FULL[500]}, {seed: {0: by_step[500]} for seed, by_step in GRID.items()}, ["case"])
    found = effective_size(FULL[500], {seed: by_step[500] for seed, by_step in GRID.items()}, ["case"])
    assert found.to_frame().equals(whole.to_frame())
    assert found.curve.equals(whole.curve)
    assert found.by_step()["step"].tolist() == [0]
    with pytest.raises(DataError, match="grid is a list"):
        effective_size(FULL[500], [1, 2], ["case"])


@pytest.mark.skipif("HC_INTERP_DATA" not in os.environ, reason="HC_INTERP_DATA does not name a folder of real data")
@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        (IN_DOMAIN, [50, 51.7, 50, 48.3, 50, 48.3, 50, 48.3, 45, 48.3]),
        (OUT_OF_DISTRIBUTION, [30, 30, 96.7, 93.3, 93.3, 83.3, 93.3, 73.3, 78.3, 76.7]),
    ],
    ids=["in domain", "out of distribution"],
)
def test_the_papers_files_give_the_papers_sizes(cases, expected):
    result = effective_size(paper("mnli-acc_over_ft"), paper("mnli-sparsity-grid-acc"), cases)
    by_step = result.by_step()
    assert by_step["step"].tolist() == list(range(500, 54501, 6000))
    assert by_step["seeds"].unique().tolist() == [3]
    assert by_step["size"].round(1).tolist() == expected
    if cases == OUT_OF_DISTRIBUTION:
        assert by_step["flags"].tolist()[:2] == ["floor, grid_edge"] * 2
        assert by_step["flags"].tolist()[-3:] == ["non_monotone"] * 3
    assert result.curve["accuracy"].isna().sum() == 6  # searches that the paper's file marks -1


def paper(name: str):
    return json.loads((Path(os.environ["HC_INTERP_DATA"]) / "paper" / f"{name}.json").read_text())


@pytest.mark.skipif("HC_INTERP_DATA" not in os.environ, reason="HC_INTERP_DATA does not name a folder of real data")
@pytest.mark.parametrize(
    ("data", "case", "full", "at", "expected"),
    [
        ("mnli", "validation_matched", 0.833, 50, 0.812),
        ("mnli", "lexical_overlap_ln_subject/object_swap", 0.867, 70, 0.0),
        ("mnli", "lexical_overlap_ln_preposition", 0.735, 70, 0.001),
        ("qqp", "qqp", 0.912, 60, 0.868),
        ("qqp", "paws-qqp_0", 0.148, 60, 0.013),
    ],
)
def test_the_papers_curves_over_sparsity(data, case, full, at, expected):
    """Of one checkpoint, the finished model; `full` is the same in all seeds, which differ in their search alone."""
    grid = paper(f"{data}-acc_vs_sparsity")
    found = effective_size(grid["42"]["0"], grid, [case])
    assert found.sizes["full"].round(3).unique().tolist() == [full]
    curve = found.curve.groupby("size")["accuracy"].mean()
    assert curve.index.tolist() == sorted(100.0 - float(sparsity) for sparsity in grid["42"])
    assert curve.loc[100.0] == pytest.approx(full, abs=5e-4)
    assert curve.loc[100.0 - at] == pytest.approx(expected, abs=5e-4)
    name = case.replace("/", "-")
    for sparsity in grid["42"]:
        by_hand = sum(grid[seed][sparsity][name] for seed in grid) / 3
        assert curve.loc[100.0 - float(sparsity)] == pytest.approx(by_hand)


@pytest.mark.skipif("HC_INTERP_DATA" not in os.environ, reason="HC_INTERP_DATA does not name a folder of real data")
@pytest.mark.parametrize(("data", "case"), [("mnli", "validation_matched"), ("qqp", "paws-qqp_0")])
def test_the_papers_curves_over_training(data, case):
    full, grid = paper(f"{data}-acc_over_ft"), paper(f"{data}-sparsity-grid-acc")
    full = {step: full[step] for step in grid["42"]}  # QQP's model was evaluated at more steps than were searched
    found = effective_size(full, grid, [case])
    assert found.sizes["full"].tolist() == pytest.approx([full[str(step)][case] for step in found.sizes["step"]])
    for row in found.sizes.itertuples():
        passing = [
            100 - float(sparsity)
            for sparsity, by_case in grid[str(row.seed)][str(row.step)].items()
            if by_case.get(case, -1) >= full[str(row.step)][case] - 0.03 - 1e-9
        ]
        assert row.size == min(passing, default=100)
