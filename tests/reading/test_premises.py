"""The premises on built worlds, where they hold and where they were made false, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from good_sample import good_sample

import hc_interp as hc
from hc_interp.components import MLP, execution_order
from hc_interp.errors import ComponentError, DataError, HCError
from hc_interp.evaluation.scores import IN_DOMAIN
from hc_interp.figures.premises import set_shares
from hc_interp.heads.sets import all_heads
from hc_interp.reading.premise_numbers import core_judged

FEW = {"n_sets": 26, "n_disjoint": 20, "max_per_case": 60, "max_in_domain": 80, "set_share": 0.5, "batch_size": 64}


def judged(world, **more):
    return hc.premises(
        world.model, world.task, world.core, world.generalizing, world.means, **{**FEW, "n_donors": 0, **more}
    )


@pytest.fixture(scope="module")
def world():
    return hc.testbeds.heuristic_core(1)


@pytest.fixture(scope="module")
def result(world):
    return judged(world, n_donors=2)


def test_all_premises_hold_where_they_were_built_in(result) -> None:
    assert set(result.answers.values()) == {"holds"}
    assert result.by == "order_sensitivity"
    assert "the 2 generalizing heads carry generalization (100 % of it is lost" in result.sentence()
    alone = replace(result, generalizing=result.generalizing[:1])
    assert "the one generalizing head carries generalization (100 % of it is lost" in alone.sentence()
    assert "core was given as heads, so the core alone keeps all MLPs" in result.notes[0]


def test_the_core_of_a_sample_is_what_its_subnetworks_share(world) -> None:
    items = world.model.components
    always = [*world.core, MLP(0)]
    few = {**FEW, "n_sets": 2, "n_disjoint": 0}
    of_sample, of_core = (
        hc.premises(world.model, world.task, core, world.generalizing, world.means, **few, n_donors=0)
        for core in (good_sample(items, always), always)
    )
    assert of_sample.core == of_core.core == tuple(sorted(always, key=execution_order))
    assert of_sample.to_frame().equals(of_core.to_frame())
    with pytest.raises(HCError, match="has not mixed, so its core is no result"):
        judged(replace(world, core=good_sample(items, always, mixed=False)))


@pytest.mark.parametrize(
    ("kind", "false"),
    [("chance_core", "core_is_heuristic"), ("answer_carriers", "heads_generalize"), ("moved_threshold", None)],
)
def test_a_premise_fails_where_it_was_made_false(kind, false) -> None:
    found = judged(getattr(hc.testbeds, kind)(1), n_sets=20, n_disjoint=0, max_in_domain=60)
    if false is None:
        assert set(found.answers.values()) == {"holds"}
    else:
        assert found.answers[false] == "fails"


def test_the_scores_are_those_of_separate_passes(world, result) -> None:
    core = hc.Subnetwork(
        [*world.core, *(c for c in world.model.components if isinstance(c, MLP))], world.model.components
    )
    systems = {
        "full": [], "core": [hc.Keep(core, world.means)], "without_heads": [hc.Ablate(world.generalizing, world.means)],
    }  # fmt: skip
    part = result.scores.rows[IN_DOMAIN]
    rows = world.task.validation.rows([world.task.validation.id.index(name) for name in part.ids])
    for name, interventions in systems.items():
        logits = world.model.logits(world.model.tokenize(rows), interventions)
        s = part.s[result.scores.names.index(name)]
        assert s == pytest.approx((logits[:, 0] - logits[:, 1]).numpy(), abs=1e-3)


def test_a_row_a_system_with_the_heads_of_each_set(result) -> None:
    frame = result.to_frame()
    assert frame["kind"].value_counts().to_dict() == {"model": 4, "donors": 3, "within layers": 52, "disjoint": 40}
    row = frame[frame["system"] == "without within layers 3"].iloc[0]
    assert row["heads"] == " ".join(map(str, result.sets["within layers"][3]))
    assert row["change"] == "loss"
    assert frame["order_sensitivity"].notna().all()


def test_it_is_read_back_and_shown(result, tmp_path) -> None:
    again = hc.Premises.load(result.save(tmp_path / "premises.json"))
    assert again.sentence() == result.sentence()
    assert again.to_frame().equals(result.to_frame())
    assert result.sentence() in result._repr_html_()
    assert "core is heuristic: holds" in repr(result)


def test_without_order_pairs_the_cases_decide_by_a_number_that_has_a_size(world) -> None:
    pairs = {names: part for names, part in world.task.pairs.items() if names[1] == "overlap"}
    found = hc.premises(
        world.model, replace(world.task, pairs=pairs), world.core, world.generalizing, world.means, **FEW, n_donors=0
    )
    assert found.by == "case_sensitivity"
    s = {name: part.s for name, part in found.scores.rows.items()}
    gold = found.scores.rows["in domain"].gold
    (right, wrong) = found.scores.heuristics["heuristic"]
    full, core = (
        (
            np.mean([s[f"case {case}"][i].mean() for case in right])
            - np.mean([s[f"case {case}"][i].mean() for case in wrong])
        )
        / (s["in domain"][i][gold].mean() - s["in domain"][i][~gold].mean())
        for i in (0, 1)
    )
    assert found.numbers["signal"].value == pytest.approx(full / 3 - core)
    assert "its case sensitivity" in " ".join(found.reasons["model_generalizes"])


def test_a_steady_trifle_is_no_generalization(world) -> None:
    """A core that tells the cases by a thousandth of what the full model does, but always in the right order."""
    pairs = {names: part for names, part in world.task.pairs.items() if names[1] == "overlap"}
    found = hc.premises(
        world.model, replace(world.task, pairs=pairs), world.core, world.generalizing, world.means, **FEW, n_donors=0
    )
    rows = dict(found.scores.rows)
    for side, cases in zip((1, -1), found.scores.heuristics["heuristic"], strict=True):
        for case in cases:
            part = rows[f"case {case}"]
            s = part.s.copy()
            s[1] = side * 0.001 * (1 + np.arange(s.shape[1]) / s.shape[1])
            rows[f"case {case}"] = replace(part, s=s)
    scores = replace(found.scores, rows=rows)
    assert scores.separation("heuristic").value[1] == 1.0
    (answer, reasons), _ = core_judged(scores, scores, "core", "heuristic")
    assert answer != "fails"
    assert "(holds)" in reasons[-1]


def test_pairs_of_own_names_decide_as_the_kinds_that_they_stand_for(world) -> None:
    names = {"order": "word order", "overlap": "broken"}
    pairs = {(case, names[kind]): replace(part, kind=names[kind]) for (case, kind), part in world.task.pairs.items()}
    renamed = replace(world.task, pairs=pairs, stands_for={names[kind]: kind for kind in names})
    asked = {"n_donors": 0, **FEW}
    here, there = (
        hc.premises(world.model, task, world.core, world.generalizing, world.means, **asked)
        for task in (world.task, renamed)
    )
    assert there.by == "order_sensitivity"
    assert (there.sentence(), there.reasons) == (here.sentence(), here.reasons)


def test_without_heads_or_overlap_pairs_nothing_is_claimed(world) -> None:
    task = replace(world.task, pairs={n: p for n, p in world.task.pairs.items() if n[1] == "order"})
    found = hc.premises(world.model, task, world.core, [], world.means, **FEW, n_donors=0)
    assert found.heads_generalize == "not checked"
    assert found.core_is_heuristic == "open"
    assert "no generalizing heads to check" in found.sentence()


def test_a_core_keeps_its_components_and_sources_that_chose_the_heads_are_left_out(world) -> None:
    kept = [*all_heads(world.model)[:9], "L0MLP"]
    chosen = world.task.validation.source[:100]
    heads = hc.GeneralizingHeads(
        world.generalizing,
        (),
        (),
        "contrast",
        (),
        chosen,
        hc.heuristic_core([hc.Subnetwork(kept, world.model.components)]).to_frame(),
    )
    found = hc.premises(
        world.model, world.task, hc.heuristic_core([hc.Subnetwork(kept, world.model.components)]), heads, world.means,
        **{**FEW, "n_sets": 1, "n_disjoint": 1, "n_donors": 0},
    )  # fmt: skip
    assert [str(item) for item in found.core] == [*map(str, kept)]
    assert not set(found.scores.rows[IN_DOMAIN].ids) & set(world.task.validation.id[:100])
    assert "resolution: 1 comparison sets" in found.reasons["heads_generalize"][-1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"heuristic": None, "heuristic_label": None}, HCError, "does not say what a heuristic would answer"),
        ({"validation": None}, DataError, "has no validation split"),
    ],
)
def test_what_the_task_lacks_is_said_before_any_pass(world, monkeypatch, change, error, message) -> None:
    monkeypatch.setattr(type(world.model), "run_edits", lambda *given, **more: pytest.fail("a pass was made"))
    with pytest.raises(error, match=message):
        hc.premises(world.model, replace(world.task, **change), world.core, world.generalizing, 0)


def test_other_arguments_are_refused(world) -> None:
    def call(core=world.core, means=0, **more):
        return hc.premises(world.model, world.task, core, world.generalizing, means, **more)

    with pytest.raises(ComponentError, match="both core and generalizing"):
        call(core=[*world.core, world.generalizing[0]])
    with pytest.raises(HCError, match="Expected one of 'heuristic'"):
        call(heuristic="length")
    with pytest.raises(HCError, match="as contrast pairs"):
        call(means=world.pairs["order"])
    with pytest.raises(HCError, match="n_sets=-1"):
        call(n_sets=-1)
    with pytest.raises(HCError, match="set_share=0"):
        call(set_share=0)


def test_heads_in_series_are_not_held_against_themselves() -> None:
    """Removing either stage loses everything: such sets tie in the loss, but none of them gives back as much."""
    found = judged(hc.testbeds.competing_subnetworks(3), n_sets=60, n_disjoint=0, max_in_domain=60)
    losses = set_shares(found, "loss", "within layers")
    assert (losses > 0.98).mean() > 0.05
    assert found.heads_generalize == "holds"


def test_noise_that_ranks_can_see_is_no_generalization() -> None:
    found = judged(hc.testbeds.null(45_000, noise=0.012), max_in_domain=60)
    assert float(found.numbers["separation"]) > 0.65
    assert (found.model_generalizes, found.core_is_heuristic) == ("fails", "holds")
    assert found.heads_generalize == "not checked"
