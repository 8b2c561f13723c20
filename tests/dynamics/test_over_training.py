"""`over_training` gives what the analysis gives on each checkpoint's model, keeps it, and draws it."""

import numpy as np
import pandas as pd
import pytest
from pieces_work import Inline

import hc_interp as hc
from hc_interp.dynamics.quantities import COLUMNS, QUANTITIES
from hc_interp.errors import HCError, ModelError, ResultError
from hc_interp.evaluation.result import Evaluation

STEPS = (0, 1, 2, 4)


def analyses(world) -> dict:
    """Every analysis of `hc.analyses`, small."""
    make, task = hc.analyses, world.task
    core, generalizing = list(world.core), list(world.generalizing)
    order = world.pairs["order"].sample(8)
    return {
        "accuracy": make.accuracy(task, max_per_case=12, pull_pairs=4),
        "core": make.core(task, 0.5, 2, steps=2),
        "masks": make.masks(task, [0.5, 0.7], 2, steps=2),
        "subnetworks": make.subnetworks(task, (0.3, 0.6), 2, steps=2, max_per_case=12, mean_examples=16),
        "premises": make.premises(task, core, generalizing, n_sets=8, max_per_case=12, mean_examples=16),
        "generalizing": make.generalizing(task, core, max_pairs=24),
        "reading": make.reading(task, core, generalizing, "swap", pairs=12, n_permutations=9, n_size_controls=2),
        "paths": make.paths(order, core, "output"),
        "joint": make.paths(order, core, generalizing, joint=True, route="all"),
        "attention": make.attention(task.validation.sample(12, 0)),
        "probes": make.probes(task.validation.sample(40, 0), "token_overlap", hc.Site(1, "z", 0), control=False),
    }


NAMES = [
    "accuracy",
    "core",
    "masks",
    "subnetworks",
    "premises",
    "generalizing",
    "reading",
    "paths",
    "joint",
    "attention",
]


@pytest.mark.filterwarnings("ignore::hc_interp.HCWarning")
@pytest.mark.parametrize("name", NAMES)
def test_each_analysis_is_that_of_the_checkpoints_model_and_has_a_figure(name, world, series, tmp_path) -> None:
    analysis = analyses(world)[name]
    found = hc.over_training(series, analysis, steps=[4, 0])
    assert found.steps == (0, 4)
    for step in found if name == "accuracy" else (4,):  # which step a model is of does not depend on the analysis
        alone = analysis(series[step]).to_frame()
        part = found.to_frame().query("step == @step").drop(columns="step").reset_index(drop=True)
        pd.testing.assert_frame_equal(part[alone.columns], alone, check_dtype=False)
    table = found.trajectory()
    assert tuple(table.columns) == ("step", *COLUMNS)
    assert np.isfinite(table["value"]).any()
    figure = hc.figures.draw(found)["over-training"]
    assert set(pd.DataFrame(figure.data)["step"]) == {0, 4}
    again = hc.read(found.save(tmp_path / "found.json"))
    pd.testing.assert_frame_equal(again.to_frame(), found.to_frame())


@pytest.mark.filterwarnings("ignore::hc_interp.HCWarning")
def test_effective_sizes_are_those_in_domain_and_of_each_heuristic_where_it_is_wrong(world, series) -> None:
    found = hc.over_training(series, analyses(world)["subnetworks"], steps=[0, 4])
    wrong = [case for case, right in world.task.heuristic.items() if not right]
    by_hand = {"in domain": found.effective_size("validation"), "heuristic is wrong": found.effective_size(wrong)}
    given = found.effective_sizes(world.task)
    assert list(given) == list(by_hand)
    for name, size in given.items():
        pd.testing.assert_frame_equal(size.to_frame(), by_hand[name].to_frame())
    assert {row["group"] for row in hc.figures.effective_size(given).data} == set(by_hand)
    with pytest.raises(hc.DataError, match="no validation examples and no case where a heuristic is wrong"):
        found.effective_sizes(hc.Task("none", train=world.task.train))


def test_all_kinds_of_results_that_analyses_give_have_a_quantity(world) -> None:
    given = {"Evaluation", "HeuristicCore", "MaskSearch", "Premises", "GeneralizingHeads", "Verdict", "PathEffects",
             "AttentionProfile", "ProbeMap"}  # fmt: skip
    assert set(QUANTITIES) == given
    assert set(analyses(world)) == {*NAMES, "probes"}


SEEN: list[str] = []


def count(model: hc.HookedModel) -> pd.DataFrame:
    """The number of weights; `SEEN` has each model that was looked at."""
    SEEN.append(model.name)
    return pd.DataFrame({"weights": [sum(p.numel() for p in model.module.parameters())]})


def test_a_resumed_analysis_reads_what_is_finished_and_refuses_another(world, series, tmp_path) -> None:
    SEEN.clear()
    first = hc.over_training(series, count, steps=[0, 2], resume=tmp_path / "kept")
    assert len(SEEN) == 2
    whole = hc.over_training(series, count, resume=tmp_path / "kept")
    assert len(SEEN) == 4
    assert whole.steps == STEPS
    pd.testing.assert_frame_equal(whole[2].to_frame(), first[2].to_frame())
    with pytest.raises(ResultError, match="another start or analysis"):
        hc.over_training(series, lambda model: pd.DataFrame({"other": [1]}), resume=tmp_path / "kept")
    (tmp_path / "kept" / sorted(p.name for p in (tmp_path / "kept").iterdir())[0]).write_text("{}")
    with pytest.raises(ResultError, match="Delete this file"):
        hc.over_training(series, count, resume=tmp_path / "kept")


def test_workers_give_what_the_call_gives_alone(series, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(series.folder.parent)
    here = hc.load_series(series.folder.name)  # by a relative path, which is part of the models' names
    executor = Inline()

    def named(model: hc.HookedModel) -> pd.DataFrame:
        return count(model).assign(name=model.name)

    alone = hc.over_training(here, named, steps=[0, 4])
    spread = hc.over_training(here, named, steps=[0, 4], resume=tmp_path / "kept", executor=executor)
    assert executor.submitted == 2
    assert alone.save(tmp_path / "a.json").read_bytes() == spread.save(tmp_path / "b.json").read_bytes()
    assert set(alone.to_frame()["name"]) == {"built@0", "built@4"}
    without_a_folder = hc.over_training(here, named, steps=[0, 4], executor=executor)
    assert without_a_folder.to_frame().equals(alone.to_frame())


def test_one_model_is_in_memory_at_a_time(world, series) -> None:
    import gc
    import weakref

    alive: list[weakref.ref] = []

    def look(model: hc.HookedModel) -> pd.DataFrame:
        gc.collect()
        assert not any(ref() is not None for ref in alive)
        alive.append(weakref.ref(model))
        return pd.DataFrame({"n": [1]})

    hc.over_training(series, look)
    assert len(alive) == len(STEPS)


def test_effective_size_is_that_of_the_accuracies(world, series) -> None:
    found = hc.over_training(series, analyses(world)["subnetworks"])
    sizes = found.effective_size("swap")
    full, grid = {}, {0: {}, 1: {}}
    for step in found:
        part = found[step]
        assert isinstance(part, Evaluation)
        frame = part.to_frame()
        full[step] = {"swap": frame["swap"][0]}
        for seed in (0, 1):  # by sparsity and seed, as the search lists them
            rows = (1 + seed, 3 + seed)
            grid[seed][step] = {100 * frame["sparsity"][row]: {"swap": frame["swap"][row]} for row in rows}
    expected = hc.effective_size(full, grid, "swap")
    pd.testing.assert_frame_equal(sizes.to_frame(), expected.to_frame(), rtol=1e-6)


def test_masks_are_compared_with_those_of_the_last_checkpoint(world, series) -> None:
    from hc_interp.heads.core import jaccard

    found = hc.over_training(series, analyses(world)["masks"], steps=[0, 4])
    table = found.trajectory().set_index(["step", "item"])["value"]
    first, last = found[0].at(0.5), found[4].at(0.5)
    pairs = [jaccard(a.heads, b.heads) for a in first for b in last]
    assert table[0, "50% removed"] == pytest.approx(np.mean(pairs))
    assert table[4, "50% removed"] == pytest.approx(jaccard(last[0].heads, last[1].heads))


def test_wrong_input_is_refused_before_any_analysis(world, series, tmp_path) -> None:
    def never(model: hc.HookedModel) -> pd.DataFrame:
        raise AssertionError

    with pytest.raises(ModelError, match="no checkpoint at step 3"):
        hc.over_training(series, never, steps=[0, 3])
    with pytest.raises(HCError, match="no step to look at"):
        hc.over_training(series, never, steps=[])
    with pytest.raises(ModelError, match="holds no series"):
        hc.over_training(tmp_path, never)
    (tmp_path / "file").write_text("")
    with pytest.raises(HCError, match="cannot keep finished steps"):
        hc.over_training(series, never, resume=tmp_path / "file")
    with pytest.raises(HCError, match="returned a float at step 0"):
        hc.over_training(series, lambda model: 1.0)
    with pytest.raises(HCError, match="Choose one of: 0, 4"):
        hc.over_training(series, lambda model: pd.DataFrame({"n": [1]}), steps=[0, 4])[2]


def test_results_without_a_quantity_say_so(series) -> None:
    found = hc.over_training(series, lambda model: pd.DataFrame({"n": [1]}), steps=[0])
    assert found.to_frame().to_dict("list") == {"step": [0], "n": [1]}
    for use in (found.trajectory, lambda: hc.figures.over_training(found)):
        with pytest.raises(HCError, match="A Table has no quantity over training"):
            use()
    with pytest.raises(HCError, match="evaluation of subnetworks at"):
        found.effective_size("swap")
