"""generalizing_heads on a model whose circuit was written by hand, and on arrays."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from built_reading import CLASSES, CORE, DECOYS, GROUPS, READER, built_model, examples, pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.components import Head
from hc_interp.data.contrast import ContrastPairs, split_of
from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import ComponentError, DataError, HCError
from hc_interp.heads.by_ablation import excess_test
from hc_interp.heads.by_contrast import select_pairs
from hc_interp.heads.by_presence import presence_test
from hc_interp.heads.evidence import quotas
from hc_interp.heads.generalizing import GeneralizingHeads, generalizing_heads
from hc_interp.interventions.means import mean_activations
from hc_interp.reading.reads_from import reads_from
from hc_interp.statistics.tests import fdr
from hc_interp.subnetwork import Subnetwork
from hc_interp.testbeds import null


def mixed(words: tuple[str, str], n: int, prefix: str) -> Examples:
    """Half with the first word (entailment), half with the second (not)."""
    parts = [examples(n, word, label, seed=label, prefix=f"{prefix}{word}") for label, word in enumerate(words)]
    joined = {name: sum((getattr(part, name) for part in parts), ()) for name in ("first", "label", "id", "source")}
    return Examples(joined["first"], None, joined["label"], joined["id"], joined["source"], GROUPS, CLASSES)


@pytest.fixture(scope="module")
def model():
    return built_model("direct")


@pytest.fixture(scope="module")
def task() -> Task:
    """In domain the sign stands in B, which the decoys carry; out of distribution in A, which the core carries."""
    return Task(
        "built",
        train=mixed(("p", "n"), 20, "train"),
        validation=mixed(("b", "o"), 60, "inside"),
        cases={"shifted": mixed(("a", "m"), 60, "outside")},
        groups=GROUPS,
        classes=CLASSES,
        pairs={("shifted", "order"): pairs(60, split=None), ("plain", "overlap"): pairs(5, split=None, kind="overlap")},
    )


@pytest.fixture(scope="module")
def means(model, task):
    return mean_activations(model, task.train)


@pytest.fixture(scope="module")
def by_contrast(model, task) -> GeneralizingHeads:
    return generalizing_heads(model, task, core=CORE)


def test_contrast_finds_the_heads_that_write_the_answer(by_contrast) -> None:
    assert by_contrast.heads == (READER, Head(2, 1))
    assert by_contrast.relay == DECOYS  # they matter, but no core head stands before them
    assert by_contrast.cases == ("shifted",)
    assert by_contrast.method == "contrast"


def test_contrast_looks_at_the_select_side_only(by_contrast, task) -> None:
    pool = {source for source in task.contrast_pairs("shifted").sources if split_of(source) == "select"}
    assert set(by_contrast.select_sources) == pool


def test_the_frame_has_a_row_per_candidate(by_contrast) -> None:
    frame = by_contrast.to_frame()
    assert len(frame) == 24 - len(CORE)
    assert {"head", "node_effect", "low", "high", "share", "p", "q", "passes", "upstream_core"} <= set(frame)
    row = frame.set_index("head").loc["L2H0"]
    assert row["node_effect"] < 0
    assert row["share"] > 0.01
    assert row["upstream_core"] == 2
    idle = frame.set_index("head").loc["L1H5"]
    assert (idle["node_effect"], idle["p"], idle["passes"]) == (0, 1, False)


def test_core_heads_are_never_candidates(model, task) -> None:
    found = generalizing_heads(model, task, core=[*CORE, READER])
    assert found.heads == (Head(2, 1),)
    everything = generalizing_heads(model, task, core=[Head(i, j) for i in range(3) for j in range(8)])
    assert everything.heads == everything.relay == ()
    assert len(everything.to_frame()) == 0


def test_margin_and_sign(model, task) -> None:
    assert generalizing_heads(model, task, core=CORE, margin=0.99).heads == ()


def test_a_total_that_may_be_zero_lets_nothing_pass(model) -> None:
    given = pairs(60, split=None)
    turned = [text if i % 2 else given.corrupt.first[i] for i, text in enumerate(given.clean.first)]
    other = [text if i % 2 else given.clean.first[i] for i, text in enumerate(given.corrupt.first)]
    sides = [
        Examples(tuple(texts), None, (0,) * 60, given.clean.id, given.clean.source, GROUPS, CLASSES)
        for texts in (turned, other)
    ]
    task = Task("even", pairs={("even", "order"): ContrastPairs(*sides, (0,) * 60)})
    found = generalizing_heads(model, task, core=CORE)
    assert found.heads == ()
    assert found.to_frame()["share"].isna().all()
    assert "not distinguishable from 0" in found.notes[0]


def test_a_model_at_floor_has_no_generalizing_heads() -> None:
    """Noise surely moves the logits of pairs that this world answers by their words alone, both sides alike."""
    world = null(5, noise=0.02)
    found = generalizing_heads(world.model, world.task, core=world.core)
    frame = found.to_frame()
    assert ((frame["q"] <= 0.05) & (frame["share"] >= 0.01)).any()
    assert found.heads == found.relay == ()
    assert "both sides of 0% of the order pairs" in found.notes[0]
    verdict = reads_from(world.model, world.pairs, core=world.core, generalizing=found)
    assert (verdict.answer, verdict.reading_reason) == ("inconclusive", "no generalizing heads")
    assert verdict.notes == (f"generalizing heads: {found.notes[0]}",)


def test_the_verdict_takes_the_result_and_refuses_its_pairs(model, task, by_contrast) -> None:
    verdict = reads_from(model, task.contrast_pairs("shifted", split="test"), core=CORE, generalizing=by_contrast)
    assert verdict.generalizing == by_contrast.heads
    assert verdict.relay == by_contrast.relay
    with pytest.raises(DataError, match="chose the generalizing heads"):
        reads_from(model, task.contrast_pairs("shifted"), core=CORE, generalizing=by_contrast)


def test_ablation_finds_the_head_that_only_the_shifted_case_needs(model, task, means) -> None:
    found = generalizing_heads(model, task, core=CORE, means=means, method="ablation")
    assert found.heads == (READER,)
    row = found.to_frame().set_index("head").loc["L2H0"]
    assert row["cost_out"] == pytest.approx(0.5, abs=0.2)
    assert row["cost_in"] == 0
    assert all(split_of(source) == "select" for source in found.select_sources)


def test_presence_finds_the_head_that_good_subnetworks_share(model, task, means) -> None:
    rng = np.random.default_rng(0)
    idle = [c for c in model.components if c not in (*CORE, *DECOYS, READER, Head(2, 1))]
    subnetworks = []
    for place in range(12):
        gone = {idle[i] for i in rng.choice(len(idle), 8 - place % 2, replace=False)} | (
            {READER} if place % 2 else set()
        )
        subnetworks.append(Subnetwork(frozenset(model.components) - gone, model.components))
    found = generalizing_heads(model, task, core=CORE, found=subnetworks, means=means, method="presence")
    assert found.heads == (READER,)
    row = found.to_frame().set_index("head").loc["L2H0"]
    assert row["correlation"] == pytest.approx(1)
    assert row["difference"] > 0.3
    assert found.to_frame().set_index("head").loc["L2H1", "p"] != found.to_frame().set_index("head").loc["L2H0", "p"]


def test_methods_side_by_side(model, task, means, by_contrast) -> None:
    by_ablation = generalizing_heads(model, task, core=CORE, means=means, method="ablation")
    frame = by_contrast.beside(by_ablation).set_index("head")
    assert frame["passed_by"].to_dict() == {
        head: int(a) + int(b)
        for head, a, b in zip(
            by_contrast.table["head"], by_contrast.table["passes"], by_ablation.table["passes"], strict=True
        )
    }
    assert frame.loc["L2H0", "passed_by"] == 2
    assert frame.loc["L2H0", "ablation_cost_out"] == by_ablation.table.set_index("head").loc["L2H0", "cost_out"]
    assert set(frame) >= {"layer", "upstream_core", "contrast_q", "ablation_q"}
    with pytest.raises(HCError, match=r"contrast, contrast was given, of 1 cores.*different methods"):
        by_contrast.beside(by_contrast)
    with pytest.raises(HCError, match="of 2 cores"):
        by_contrast.beside(generalizing_heads(model, task, core=CORE[:1], means=means, method="ablation"))


def test_saved_and_loaded(by_contrast, tmp_path) -> None:
    loaded = GeneralizingHeads.load(by_contrast.save(tmp_path / "heads.json"))
    assert loaded.heads == by_contrast.heads
    assert loaded.select_sources == by_contrast.select_sources
    assert loaded.to_frame().equals(by_contrast.to_frame())
    assert "L2H0" in repr(loaded)
    assert loaded._repr_html_()


def test_same_seed_same_pairs(model, task) -> None:
    first, second, other = (select_pairs(model, task, None, ("order",), 10, seed)["shifted"] for seed in (0, 0, 1))
    assert first.ids == second.ids != other.ids
    assert len(first) == 10


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 80))
def test_quotas_share_evenly(available, total) -> None:
    found = quotas(available, total)
    assert sum(found) == min(total, sum(available))
    assert all(0 <= q <= a for q, a in zip(found, available, strict=True))
    full = [q for q, a in zip(found, available, strict=True) if q < a]
    assert not full or (max(full) - min(full) <= 1 and max(found) <= max(full) + 1)


# -- the tests on arrays ----------------------------------------------------------------------------------------------


def test_presence_test_is_the_correlation_and_counts_all_orders() -> None:
    kept = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=float)
    accuracy = np.array([0.9, 0.8, 0.2, 0.1])
    correlation, difference, p = presence_test(kept, accuracy, seed=0)
    assert correlation[:2] == pytest.approx([np.corrcoef(kept[:, i], accuracy)[0, 1] for i in range(2)])
    assert difference[:2] == pytest.approx([0.7, 0.1])
    assert p[0] == pytest.approx(4 / 24)  # the two best keep it: 2! x 2! of 4! orders
    assert np.isnan([correlation[2], difference[2], p[2]]).all()


def test_presence_compares_subnetworks_of_one_size() -> None:
    """Larger subnetworks keep more heads and do better, though no head does anything."""
    rng = np.random.default_rng(0)
    sizes = np.repeat([20, 36, 50], 8)
    kept = np.stack([rng.permutation(72) < size for size in sizes]).astype(float)
    accuracy = 0.5 + sizes / 200 + rng.normal(0, 0.01, len(sizes))
    pooled, within = (presence_test(kept, accuracy, 0, sizes=given) for given in (None, sizes))
    assert (fdr(pooled[2]) <= 0.05).any()
    assert not (fdr(within[2]) <= 0.05).any()
    assert 0.01 < (within[2] <= 0.05).mean() < 0.15


def test_presence_over_sizes_is_the_slope_with_a_level_for_each_size() -> None:
    rng = np.random.default_rng(1)
    sizes, kept = np.array([3, 3, 3, 3, 5, 5, 5]), rng.integers(0, 2, (7, 3)).astype(float)
    kept[:, 2] = sizes == 5  # all of one size and none of the other
    accuracy = rng.random(7)
    correlation, difference, p = presence_test(kept, accuracy, 0, sizes=sizes)
    levels = np.stack([sizes == 3, sizes == 5], axis=1).astype(float)
    for head in range(2):
        slope = np.linalg.lstsq(np.column_stack([kept[:, head], levels]), accuracy, rcond=None)[0][0]
        assert difference[head] == pytest.approx(slope)
    assert np.isnan([correlation[2], difference[2], p[2]]).all()
    every = [sum(kept[:, 0][[*a, *b]] * accuracy) for a in permutations(range(4)) for b in permutations(range(4, 7))]
    assert p[0] == pytest.approx(np.mean(np.array(every) >= (kept[:, 0] * accuracy).sum() - 1e-12))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_presence_test_is_one_sided(seed) -> None:
    rng = np.random.default_rng(seed)
    kept, accuracy = rng.integers(0, 2, (9, 5)).astype(float), rng.random(9)
    there, back = presence_test(kept, accuracy, 0), presence_test(kept, -accuracy, 0)
    varies = ~np.isnan(there[0])
    assert (there[2][varies] + back[2][varies] >= 0.99).all()


def test_presence_of_equal_accuracies_is_undefined() -> None:
    assert np.isnan(presence_test(np.eye(4), np.full(4, 0.5), 0)[2]).all()


def test_excess_test_holds_its_level_and_sees_a_difference() -> None:
    rng = np.random.default_rng(0)
    sources = [[f"{side}{i // 2}" for i in range(80)] for side in "xy"]
    level = rng.integers(0, 2, (80, 300)).astype(float)
    p = excess_test(level, rng.integers(0, 2, (80, 300)).astype(float), *sources, seed=1)
    assert 0.01 < (p <= 0.05).mean() < 0.1
    assert (excess_test(level + 0.5, level, *sources, seed=1) < 0.01).all()
    assert (excess_test(level, level + 0.5, *sources, seed=1) > 0.9).all()


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"method": "guess"}, HCError, "method='guess'"),
        ({"alpha": 0}, HCError, "alpha=0"),
        ({"margin": -0.1}, HCError, "margin=-0.1"),
        ({"max_pairs": 0}, HCError, "max_pairs=0"),
        ({"core": ["L0MLP"]}, ComponentError, "not an attention head"),
        ({"core": ["L7H0"]}, ComponentError, "L7H0"),
        ({"cases": ["nowhere"]}, DataError, "nowhere"),
        ({"cases": "nowhere"}, DataError, "no case 'nowhere'"),
        ({"cases": ["plain"]}, DataError, "no order pairs"),
        ({"method": "ablation"}, HCError, "by their means, and none were given"),
        ({"method": "presence"}, HCError, "0 subnetworks"),
        ({"method": "presence", "found": ["a", "b", "c", "d"]}, HCError, "4 subnetworks"),
        ({"method": "presence", "found": [Subnetwork([], CORE)] * 3}, HCError, "3 subnetworks of 1 sizes.*at least 4"),
    ],
)
def test_bad_arguments(model, task, changes, error, message) -> None:
    with pytest.raises(error, match=message):
        generalizing_heads(model, task, **{"core": CORE, **changes})


def test_presence_without_means(model, task) -> None:
    whole = Subnetwork(frozenset(model.components), model.components)
    with pytest.raises(HCError, match="none were given"):
        generalizing_heads(model, task, core=CORE, found=[whole] * 4, method="presence")


def test_ablation_without_validation(model, task, means) -> None:
    bare = Task("bare", cases=task.cases, groups=GROUPS, classes=CLASSES)
    with pytest.raises(DataError, match="no validation split"):
        generalizing_heads(model, bare, core=CORE, means=means, method="ablation")


def test_a_task_without_select_sources(model, means, task) -> None:
    one = next(s for s in (f"s{i}" for i in range(99)) if split_of(s) == "test")
    part = Examples(("w1 p",), None, (0,), ("x",), (one,), GROUPS, CLASSES)
    bare = Task("bare", validation=task.validation, cases={"c": part}, groups=GROUPS, classes=CLASSES)
    with pytest.raises(DataError, match="no examples on the select side"):
        generalizing_heads(model, bare, core=CORE, means=means, method="ablation")


def test_kinds_of_pairs_are_asked_for(model, task, by_contrast) -> None:
    same = replace(pairs(60, split=None), kind="own")
    renamed = replace(task, pairs={("shifted", "own"): same})
    found = generalizing_heads(model, renamed, core=CORE, kinds="own")
    assert found.heads == by_contrast.heads
    assert found.settings["kinds"] == ("own",)
    pd.testing.assert_frame_equal(found.table, by_contrast.table)
    both = replace(task, pairs={("shifted", "order"): pairs(60, split=None), ("shifted", "own"): same})
    found = generalizing_heads(model, both, core=CORE, kinds=("order", "own"))
    assert found.cases == ("shifted, order", "shifted, own")
    in_one_text = generalizing_heads(model, both, core=CORE, kinds="order, own")
    assert in_one_text.settings["kinds"] == found.settings["kinds"]
    pd.testing.assert_frame_equal(in_one_text.table, found.table)
    with pytest.raises(DataError, match=r"no order pairs.*have pairs of own: name kinds of pairs with kinds="):
        generalizing_heads(model, renamed, core=CORE)
