"""reads_from on models whose circuit was written by hand, and its refusals."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from built_reading import CORE, READER, READERS, STORIES, built_model, examples, pairs
from good_sample import good_sample

from hc_interp.components import MLP, Head
from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.task import Task
from hc_interp.errors import AlignmentError, ComponentError, DataError, HCError, InterventionError
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sites import Edit, Patch
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.site import Site
from hc_interp.patching.joint_effects import JointPath, PairRuns
from hc_interp.patching.path_effects import path_effects
from hc_interp.reading.one_direction import signs_disagree, upper_limit
from hc_interp.reading.reads_from import reads_from
from hc_interp.reading.specificity import specificity
from hc_interp.reading.verdict import Verdict
from hc_interp.statistics.tests import Interval
from hc_interp.subnetwork import Subnetwork


@pytest.fixture(scope="module")
def built():
    return {story: built_model(story, live=True) for story in STORIES}


@pytest.fixture(scope="module")
def means(built):
    sides = pairs(30, seed=7)
    return {story: mean_activations(model, [sides.clean, sides.corrupt]) for story, model in built.items()}


@pytest.fixture(scope="module")
def direct(built, means) -> Verdict:
    return reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS, means=means["direct"])


@pytest.mark.parametrize(
    ("story", "first"), [("direct", "directly"), ("mlps", "through MLPs"), ("all", "through other heads")]
)
def test_readers_are_found_and_where_they_read(built, means, story, first) -> None:
    verdict = reads_from(built[story], pairs(), core=CORE, generalizing=READERS, means=means[story])
    assert (verdict.reading, verdict.reading_reason, verdict.kinds) == ("reads_specifically", "specific", ("order",))
    assert (verdict.answer, verdict.reason) == ("inconclusive", "premises not checked")
    assert "read from" not in verdict.sentence()
    for record in verdict.records["order"].directions.values():
        assert record.routes["all"].value == pytest.approx(1, abs=1e-9)
        assert {words: round(part, 6) for words, part in record.parts.items() if abs(part) > 1e-6} == {first: 1.0}
        assert record.p == pytest.approx(1 / 28)  # two of layer 0's eight heads: the observed labelling alone reaches T
        assert (record.exhaustive, record.n_labellings) == (True, 28)
        assert (float(record.S), record.p_D) == (pytest.approx(1, abs=1e-6), pytest.approx(1 / 28))
        assert record.necessity["means"].value == pytest.approx(1, abs=1e-9)
        if story == "direct":  # the core alone is enough only where nothing stands between
            assert record.sufficiency["means"].value > 0.5
        else:
            assert record.sufficiency["means"].value == pytest.approx(0, abs=1e-9)


def test_a_core_that_every_head_follows_is_a_trunk(built) -> None:
    verdict = reads_from(built["trunk"], pairs(), core=CORE, generalizing=READERS)
    assert (verdict.reading, verdict.reading_reason) == ("shared_trunk", "trunk")
    record = verdict.records["order"].directions["as_is"]
    assert float(record.T) == pytest.approx(1, abs=1e-9)  # T alone looks the same
    assert record.p == pytest.approx(1 / 28)
    specific = record.specificity["all"]
    assert (float(specific.R_G), float(specific.R_O)) == (pytest.approx(1), pytest.approx(1))
    assert float(record.S) == pytest.approx(0, abs=1e-6)
    assert record.p_D == 1


def test_one_reader_among_eight_heads_cannot_be_told_special(built) -> None:
    verdict = reads_from(built["direct"], pairs(), core=CORE, generalizing=[READER])
    record = verdict.records["order"].directions["as_is"]
    assert record.specificity["all"].labellings == 8
    assert (verdict.reading, verdict.reading_reason) == ("specificity_open", "few heads")


def test_the_core_of_a_sample_is_what_its_subnetworks_share(built, means, direct) -> None:
    items = built["direct"].components
    given = {"generalizing": READERS, "means": means["direct"]}
    verdict = reads_from(built["direct"], pairs(), core=good_sample(items, [*CORE, MLP(0)]), **given)
    assert verdict.core == direct.core
    assert verdict.to_frame().equals(direct.to_frame())
    with pytest.raises(HCError, match="has not mixed, so its core is no result"):
        reads_from(built["direct"], pairs(), core=good_sample(items, [*CORE, MLP(0)], mixed=False), **given)


def test_premises_decide_the_answer(built) -> None:
    def answer(**states: str) -> tuple[str, str]:
        all_hold = dict.fromkeys(("model_generalizes", "core_is_heuristic", "heads_generalize"), "holds")
        given = SimpleNamespace(answers=all_hold | states)
        verdict = reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS, premises=given)
        return verdict.answer, verdict.sentence()

    yes, sentence = answer()
    assert yes == "reads_from"
    assert sentence == (
        "Yes: the model generalizes, its core follows the heuristic, the other heads carry generalization, and the "
        "generalizing heads (2) read from the core heads (2) more than other heads of the same layers do."
    )
    fails, sentence = answer(core_is_heuristic="fails")
    assert fails == "premise_fails"
    assert sentence.startswith("The claim does not apply to this model, since the core alone does not follow the ")
    unclear, sentence = answer(heads_generalize="open")
    assert unclear == "inconclusive"
    assert sentence.startswith("Open, since whether the other heads carry generalization is open; of the paths alone: ")


def test_pairs_that_cannot_be_reversed_show_one_direction(built) -> None:
    given = pairs()
    unlabelled = replace(given, corrupt=replace(given.corrupt, label=None))
    verdict = reads_from(built["direct"], unlabelled, core=CORE, generalizing=READERS)
    assert list(verdict.records["order"].directions) == ["as_is"]
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "one direction")


def test_the_reversed_direction_is_that_of_reversed_pairs(built) -> None:
    there = reads_from(built["mlps"], pairs(12), core=CORE, generalizing=READERS).records["order"]
    back = reads_from(built["mlps"], pairs(12).reversed(), core=CORE, generalizing=READERS).records["order"]
    for one, other in (("as_is", "reversed"), ("reversed", "as_is")):
        np.testing.assert_array_equal(there.directions[one].node, back.directions[other].node)
        assert there.directions[one].to_frame().equals(back.directions[other].to_frame())


def test_a_head_that_reads_something_else_does_not_depend_on_the_core(built, means) -> None:
    verdict = reads_from(built["decoy"], pairs(), core=CORE, generalizing=READERS, means=means["decoy"])
    assert (verdict.reading, verdict.reading_reason) == ("does_not_read_from", "equivalent")
    record = verdict.records["order"].directions["as_is"]
    assert record.routes["all"].value == pytest.approx(0, abs=1e-9)
    assert record.size_limit == pytest.approx(1, abs=1e-9)  # the decoys are read
    assert np.isnan(float(record.S))  # a share of no response
    assert "do not depend on the core heads (2), to a margin of ±5 % of their effect" in verdict.sentence()


def test_a_head_that_does_nothing_is_no_core(built) -> None:
    """One true core head and an idle one: any set with one true core head does as much."""
    idle = reads_from(built["direct"], pairs(), core=[CORE[0], Head(0, 5)], generalizing=READERS)
    record = idle.records["order"].directions["as_is"]
    assert record.routes["all"].low > 0.05
    assert record.p == pytest.approx(13 / 28)
    assert (idle.reading, idle.reading_reason) == ("inconclusive", "significance")
    assert "T is not significantly larger than that of relabelled cores (the larger p" in idle.sentence()


def test_sets_of_the_same_size_that_do_as_much_leave_it_open(built) -> None:
    """With 6 of 8 heads alike p is 15 / 28; even where that is called significant, size controls do as much."""
    crowd = reads_from(built["crowd"], pairs(), core=CORE, generalizing=READERS, alpha=0.6, margin=0.01)
    record = crowd.records["order"].directions["as_is"]
    assert record.p == pytest.approx(15 / 28)
    assert record.size_limit == pytest.approx(record.routes["all"].value)
    assert record.size_ratio == pytest.approx(1)
    assert (crowd.reading, crowd.reading_reason) == ("inconclusive", "size")
    assert "not above the 95th percentile of sets of other heads" in crowd.sentence()


def test_no_control_of_the_cores_size_leaves_it_open(built) -> None:
    wide = [Head(0, i) for i in range(5)]
    verdict = reads_from(built["direct"], pairs(), core=wide, generalizing=READERS)
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "significance")  # 6 of 56 labellings hold both
    assert np.isnan(verdict.records["order"].directions["as_is"].size_limit)
    note = "order: no size controls: layer 0 has 5 core heads and 3 that are neither core nor generalizing"
    assert note in verdict.notes
    called = reads_from(built["direct"], pairs(), core=wide, generalizing=READERS, alpha=0.4)
    assert (called.reading, called.reading_reason) == ("inconclusive", "no size controls")
    assert "no set of like-sized heads could be compared" in called.sentence()
    assert "no larger" not in called.sentence()  # nothing was compared


def test_the_important_set_is_that_of_the_largest_node_effects(built) -> None:
    record = reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS).records["order"].directions["as_is"]
    single = path_effects(built["direct"], pairs(), ["embed"], [Head(i, j) for i in (0, 1) for j in range(8)])
    nodes = single.node.abs().mean(0).tolist()
    largest = sorted(range(16), key=lambda i: -nodes[i])[:2]
    assert record.important == tuple(sorted(Head(i // 8, i % 8) for i in largest))
    joint = path_effects(built["direct"], pairs(), record.important, READERS, route="all", joint=True).to_frame()
    assert record.important_T == pytest.approx(joint["node_share"][0], abs=1e-12)


def test_statistic_null_and_node_effect_are_those_of_path_effects(built, direct) -> None:
    record = direct.records["order"].directions["as_is"]
    for route, found in record.routes.items():
        frame = path_effects(built["direct"], pairs(), CORE, READERS, route=route, joint=True).to_frame()
        assert found.value == pytest.approx(frame["node_share"][0], abs=1e-12)
    slow = path_effects(built["direct"], pairs(), CORE, READERS, route="all", joint=True)
    np.testing.assert_allclose(record.effects["all"], slow.effects[:, 0].numpy(), atol=1e-12)
    np.testing.assert_allclose(record.node, slow.node[:, 0].numpy(), atol=1e-12)
    one = [
        path_effects(built["direct"], pairs(), [Head(0, i), Head(0, j)], READERS, route="all", joint=True).to_frame()
        for i, j in ((0, 1), (0, 2), (2, 3))
    ]
    for frame in one:
        assert np.abs(record.null - frame["node_share"][0]).min() < 1e-10


def test_necessity_and_sufficiency_are_their_definitions(built, means) -> None:
    """By hand: `Patch` and `PatchPath` as anyone would write them, on the route through another head."""
    model, source, given = built["all"], means["all"], pairs(12)
    verdict = reads_from(model, given, core=CORE, generalizing=READERS, means=source)
    gold = torch.zeros(1, dtype=torch.long)
    necessity, sufficiency, whole = [], [], []
    rest = [c for c in model.components if c.layer < READER.layer and c not in CORE]
    for text in given.clean.first:
        batch = model.tokenize([text])

        def score(*interventions, batch=batch) -> float:
            return float(logit_diff(model.logits(batch, interventions), MetricRows.labelled(gold, ((0,), (1, 2)))))

        ablated = score(*(Patch(head, source) for head in READERS))
        whole.append(score() - ablated)
        necessity.append(score() - score(PatchPath(CORE, READERS, source=source, route="all")))
        sufficiency.append(score(PatchPath(rest, READERS, source=source, route="all")) - ablated)
    record = verdict.records["order"].directions["as_is"]
    assert record.necessity["means"].value == pytest.approx(sum(necessity) / sum(whole), abs=1e-9)
    assert record.sufficiency["means"].value == pytest.approx(sum(sufficiency) / sum(whole), abs=1e-9)


def test_sources_that_cannot_be_computed_are_noted(built) -> None:
    verdict = reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS)
    record = verdict.records["order"].directions["as_is"]
    assert np.isnan(record.necessity["means"].value)
    assert any("no means were given" in note for note in verdict.notes)
    few = Donors(built["direct"], examples(1, word="n"))
    verdict = reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS, donors=few)
    assert np.isnan(verdict.records["order"].directions["as_is"].necessity["donors"].value)
    assert any("No donor" in note for note in verdict.notes)


def test_default_donors_are_of_both_sides(built) -> None:
    """Each length once: an example's one donor is its other side, so that donors do what the pairs do."""
    lonely = pairs(12)
    texts = [" ".join(["p", *["w1"] * (i + 1)]) for i in range(len(lonely))]
    clean = replace(lonely.clean, first=tuple(texts))
    corrupt = replace(lonely.corrupt, first=tuple(text.replace("p", "n") for text in texts))
    given = replace(lonely, clean=clean, corrupt=corrupt)
    record = reads_from(built["direct"], given, core=CORE, generalizing=READERS).records["order"].directions["as_is"]
    assert record.necessity["donors"].value == pytest.approx(record.routes["all"].value, abs=1e-9)


def test_a_source_that_does_not_remove_what_the_pairs_show_has_no_shares(built) -> None:
    """Means of texts that say more than clean does move the answer the other way: a share of that would be negative."""
    strong = mean_activations(built["direct"], examples(30, word="p p p p", seed=7))
    given = pairs()
    verdict = reads_from(built["direct"], given, core=CORE, generalizing=READERS, means=strong)
    assert np.isnan(verdict.records["order"].directions["as_is"].necessity["means"].value)
    assert any("the other way than the pairs do" in note for note in verdict.notes)


def test_donors_given_by_the_user(built) -> None:
    model = built["direct"]
    others = examples(200, word="n", seed=3, prefix="d")
    verdict = reads_from(model, pairs(), core=CORE, generalizing=READERS, donors=Donors(model, others))
    assert verdict.records["order"].directions["as_is"].necessity["donors"].value == pytest.approx(1, abs=1e-9)
    few = Donors(model, examples(1, word="n"))
    verdict = reads_from(model, pairs(), core=CORE, generalizing=READERS, donors=few)
    assert any("No donor" in note for note in verdict.notes)


def test_identical_sides_tell_nothing(built) -> None:
    same = pairs()
    same = ContrastPairs(same.clean, same.clean, same.gold, kind="order", split="test")
    verdict = reads_from(built["direct"], same, core=CORE, generalizing=READERS)
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "uninformative")
    record = verdict.records["order"].directions["as_is"]
    assert record.why == "the core hardly changes"
    assert not record.informative
    assert np.isnan(record.p)
    assert "hardly" in verdict.sentence()


def test_receivers_without_effect_tell_nothing(built) -> None:
    verdict = reads_from(built["direct"], pairs(), core=CORE, generalizing=[Head(1, 5)])  # it writes nothing
    assert verdict.reading_reason == "uninformative"
    assert verdict.records["order"].directions["as_is"].why == "the generalizing heads hardly matter"


def test_too_few_pairs(built) -> None:
    verdict = reads_from(built["direct"], pairs(9), core=CORE, generalizing=READERS)
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "too few pairs")


def test_too_few_labellings(built) -> None:
    one = reads_from(built["direct"], pairs(), core=CORE[:1], generalizing=READERS)
    assert (one.reading, one.reading_reason) == ("inconclusive", "resolution")
    assert one.records["order"].directions["as_is"].n_labellings == 8
    few = reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS, n_permutations=18)
    assert (few.reading_reason, few.records["order"].directions["as_is"].n_labellings) == ("resolution", 19)
    for n, exhaustive in ((28, True), (27, False)):
        enough = reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS, n_permutations=n)
        record = enough.records["order"].directions["as_is"]
        assert (record.exhaustive, record.n_labellings) == (exhaustive, 28)


def test_nothing_to_test(built) -> None:
    model = built["direct"]
    none = reads_from(model, pairs(), core=CORE, generalizing=[])
    assert (none.answer, none.reading_reason, none.edges) == ("inconclusive", "no generalizing heads", None)
    early = reads_from(model, pairs(), core=[Head(2, 3)], generalizing=[READER, Head(1, 0)])
    assert (early.reading_reason, early.relay, early.generalizing) == ("no core upstream", (Head(1, 0), READER), ())
    coreless = reads_from(model, pairs(), core=[], generalizing=READERS)
    assert coreless.reading_reason == "no core upstream"
    for verdict in (none, early, coreless):
        assert len(verdict.to_frame()) == 0
        assert "is undecided, because" in verdict.sentence()
        assert len(verdict.numbers()) == 0
        assert verdict._repr_html_()


def test_heads_without_part_are_set_aside(built) -> None:
    core = [*CORE, Head(2, 4)]
    verdict = reads_from(built["direct"], pairs(), core=core, generalizing=[READER, Head(0, 6)])
    assert (verdict.core, verdict.unread) == (CORE, (Head(2, 4),))
    assert (verdict.generalizing, verdict.relay) == ((READER,), (Head(0, 6),))
    assert Head(2, 4) not in verdict.records["order"].directions["as_is"].specificity["all"].heads


def test_two_kinds_share_alpha(built, means) -> None:
    model = built["direct"]
    same = pairs(kind="overlap")
    same = ContrastPairs(same.clean, same.clean, same.gold, kind="overlap", split="test")
    given = {"order": pairs(), "overlap": same}
    verdict = reads_from(model, given, core=CORE, generalizing=READERS, means=means["direct"])
    assert (verdict.reading, verdict.kinds, verdict.edges_kind) == ("reads_specifically", ("order",), "order")
    both = {"order": pairs(), "overlap": pairs(seed=4)}
    verdict = reads_from(model, both, core=CORE, generalizing=READERS, means=means["direct"])
    assert verdict.p_holm["order"] == pytest.approx(2 / 28)
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "resolution")
    assert set(verdict.to_frame()["kind"]) == {"order", "overlap"}
    assert len(verdict.to_frame()) == 2 * 2 * 3


def test_the_decisive_interval_of_s_counts_the_kinds(built, monkeypatch) -> None:
    seen = []

    def noted(*args, **settings):
        seen.append(settings["kinds"])
        return specificity(*args, **settings)

    monkeypatch.setattr("hc_interp.reading.one_direction.specificity", noted)
    reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS, routes=("all",))
    assert set(seen) == {1}
    both = {"order": pairs(), "overlap": pairs(seed=4)}
    verdict = reads_from(built["direct"], both, core=CORE, generalizing=READERS, routes=("all",))
    assert seen[-4:] == [2, 2, 2, 2]  # two kinds, two directions
    record = verdict.records["order"].directions["as_is"]
    wide = replace(record.specificity["all"], S_over_kinds=Interval(0.5, 0.2, 0.8, 24))
    assert replace(record, specificity={"all": wide}).evidence.S == (0.2, 0.5, 0.8)
    assert replace(record, specificity={"all": replace(wide, S_over_kinds=None)}).evidence.S[1] == float(record.S)


def test_routes_locate_only_as_far_as_they_were_run(built) -> None:
    verdict = reads_from(built["mlps"], pairs(), core=CORE, generalizing=READERS, routes=("all", "mlps"))
    record = verdict.records["order"].directions["as_is"]
    assert list(record.routes) == ["all", "mlps"]
    assert record.parts == {"through MLPs": pytest.approx(1), "through other heads": pytest.approx(0, abs=1e-9)}
    assert verdict.direct_T is None


def test_edges_for_the_diagram(direct) -> None:
    frame = direct.edges.to_frame()
    assert len(frame) == 2 * 2 * 3
    assert (direct.edges.route, direct.edges_kind) == ("direct", "order")
    assert float(direct.direct_T) == pytest.approx(1)
    strong = frame[frame["effect"].abs() > 1e-6]
    assert set(strong["through"]) == {"v"}
    assert (strong["q"] < 0.05).all()


def test_interventions_stand_before_the_test(built, means) -> None:
    cut = Ablate(list(CORE), means["direct"])
    verdict = reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS, interventions=[cut])
    assert verdict.records["order"].directions["as_is"].why == "the core hardly changes"


def test_results_stand_for_lists(built, direct) -> None:
    model = built["direct"]
    core = Subnetwork(frozenset(CORE) | {MLP(0)}, model.components)
    by_name = reads_from(model, pairs(), core=core, generalizing=["L2H0", "L2H2"])
    assert by_name.core == direct.core
    assert by_name.records["order"].directions["as_is"].null == pytest.approx(
        direct.records["order"].directions["as_is"].null
    )


def test_same_seed_same_verdict(built) -> None:
    first, second = (
        reads_from(built["direct"], pairs(), core=CORE, generalizing=READERS, n_permutations=25, seed=s) for s in (1, 1)
    )
    np.testing.assert_array_equal(
        first.records["order"].directions["as_is"].null, second.records["order"].directions["as_is"].null
    )
    assert first.to_frame().equals(second.to_frame())


def test_batch_size_changes_nothing(built) -> None:
    first, second = (
        reads_from(built["all"], pairs(12), core=CORE, generalizing=READERS, batch_size=size) for size in (5, 64)
    )
    np.testing.assert_allclose(
        first.records["order"].directions["as_is"].null, second.records["order"].directions["as_is"].null, atol=1e-9
    )


def test_saved_and_loaded(direct, tmp_path) -> None:
    loaded = Verdict.load(direct.save(tmp_path / "verdict.json"))
    assert loaded.sentence() == direct.sentence()
    assert loaded.to_frame().equals(direct.to_frame())
    assert loaded.core == CORE
    assert loaded.settings == direct.settings
    assert (
        repr(loaded)
        == repr(direct)
        == "Verdict(inconclusive, premises not checked; reading: reads_specifically on order)"
    )


def test_settings_hold_every_threshold(direct) -> None:
    expected = {"margin": 0.05, "alpha": 0.05, "level": 0.95, "n_permutations": 199, "min_sender_change": 0.01}
    assert expected.items() <= direct.settings.items()
    assert {
        "min_node_effect": 0.01,
        "delta": 0.3,
        "min_sources": 10,
        "size_percentile": 95,
    }.items() <= direct.settings.items()


# -- refusals ---------------------------------------------------------------------------------------------------------


def chosen_by(sources) -> GeneralizingHeads:
    import pandas as pd

    return GeneralizingHeads(READERS, (), CORE, "contrast", ("case",), tuple(sources), pd.DataFrame())


def test_pairs_that_chose_the_heads_are_refused(built) -> None:
    with pytest.raises(DataError, match="'select' split"):
        reads_from(built["direct"], pairs(split="select"), core=CORE, generalizing=READERS)
    with pytest.raises(DataError, match="1 of the 24 sources of the order pairs chose"):
        reads_from(built["direct"], pairs(split=None), core=CORE, generalizing=chosen_by(["e3", "x"]))
    fine = reads_from(built["direct"], pairs(split=None), core=CORE, generalizing=chosen_by(["x"]))
    assert fine.reading == "reads_specifically"
    assert not any("plain list" in note for note in fine.notes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"routes": ("direct",)}, HCError, "'all' among them"),
        ({"routes": "all"}, HCError, "tuple"),
        ({"routes": ("all", "over")}, HCError, "over"),
        ({"n_permutations": 0}, HCError, "n_permutations=0"),
        ({"n_size_controls": 2.5}, HCError, r"n_size_controls=2\.5"),
        ({"margin": 0.0}, HCError, "margin=0.0"),
        ({"delta": 1.0}, HCError, "delta=1.0"),
        ({"task": Task("own")}, HCError, "task= was given without means="),
        ({"alpha": 1.5}, HCError, "alpha=1.5"),
        ({"level": 95}, HCError, "level=95"),
        ({"metric": "kl"}, HCError, "metric='kl'"),
        ({"core": [READER]}, ComponentError, "both core and generalizing"),
        ({"core": [MLP(0)]}, ComponentError, "not an attention head"),
        ({"core": ["L9H0"]}, ComponentError, "L9H0"),
        ({"means": 3}, InterventionError, "not a source"),
    ],
)
def test_bad_arguments(built, changes, error, message) -> None:
    given = {"core": CORE, "generalizing": READERS, **changes}
    with pytest.raises(error, match=message):
        reads_from(built["direct"], pairs(), **given)


@pytest.mark.parametrize("given", [{}, "order", None, {"order": examples(3)}])
def test_pairs_of_another_form(built, given) -> None:
    with pytest.raises(DataError, match="Expected ContrastPairs or a dict"):
        reads_from(built["direct"], given, core=CORE, generalizing=READERS)


def test_unaligned_pairs(built) -> None:
    given = pairs()
    longer = replace(given.corrupt, first=("n w1 w1 w1 w1 w1 w1 w1 w1 w1", *given.corrupt.first[1:]))
    with pytest.raises(AlignmentError, match="Pair e0"):
        reads_from(built["direct"], replace(given, corrupt=longer), core=CORE, generalizing=READERS)


def test_pairs_of_batches(built) -> None:
    model, given = built["direct"], pairs()
    clean, corrupt = (model.tokenize(list(part.first)) for part in (given.clean, given.corrupt))
    ids = tuple(f"row{i}" for i in range(len(given)))
    clean, corrupt = (Batch(b.input_ids, b.attention_mask, b.token_type_ids, ids=ids) for b in (clean, corrupt))
    batched = ContrastPairs(clean, corrupt, given.gold, groups=((0,), (1, 2)))
    verdict = reads_from(model, batched, core=CORE, generalizing=READERS)
    record = verdict.records["given"].directions["as_is"]
    assert verdict.reading_reason == "one direction"  # the corrupt batch has no labels
    assert float(record.T) == pytest.approx(1)
    assert record.units == {"source": 24}


def test_steps_are_measured_against_clean(built) -> None:
    """A path that carries nothing changes nothing, bit for bit; a whole node equals patching it."""
    runs = PairRuns.of(built["direct"], pairs(), "logit_diff", (), 64)
    found = runs.measure([JointPath((Head(0, 7),), READERS, "all")], [READERS])
    assert (found.paths == 0).all()
    assert (found.nodes[:, 0] < -1).all()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("interventions", [[], [Edit(Site(0, "resid_pre"), lambda x: x)]], ids=["fast", "general"])
def test_responses_without_step_three_are_those_of_path_effects(built, route, interventions) -> None:
    model, given, heads = built["all"], pairs(), (*READERS, Head(2, 1), Head(1, 0), Head(0, 2))
    found = PairRuns.of(model, given, "logit_diff", interventions, 7).responses(CORE, heads, route)
    paths = path_effects(model, given, [CORE], list(heads), route=route, interventions=interventions)
    ratio = found.explained.sum(0) / found.extent.sum(0)
    np.testing.assert_allclose(ratio, paths.to_frame()["response"], atol=1e-10)
    assert found.heads == heads


@pytest.mark.parametrize("route", ["all", "direct"])
def test_clean_runs_that_are_shared_by_sources_change_nothing(built, route) -> None:
    """Each source on its own, by a fresh set of runs, against all of them on one."""
    model, given = built["direct"], pairs()
    shared = PairRuns.of(model, given, "logit_diff", (), 64)
    path, node = [JointPath(CORE, READERS, route)], [READERS]
    before = shared.measure(path, node)
    for source in (0, Donors(model, list(given.sides), 0)):
        found = shared.measure(path, node, source)
        alone = path_effects(model, given, [CORE], [READERS], joint=True, route=route, corruption=source, batch_size=64)
        np.testing.assert_allclose(found.paths[:, 0], alone.effects[:, 0].numpy(), atol=1e-9)
        assert np.abs(found.paths - before.paths).max() > 1e-3
    again = shared.measure(path, node)
    assert (again.paths == before.paths).all()
    assert (again.total == before.total).all()


def test_size_limit_scales_small_controls_up_and_large_ones_not_down() -> None:
    assert upper_limit(np.array([0.1]), np.array([0.5])) == pytest.approx(0.2)
    assert upper_limit(np.array([0.1]), np.array([2.0])) == pytest.approx(0.1)
    assert upper_limit(np.array([0.0, 0.1]), np.array([0.0, 1.0])) == pytest.approx(0.1)
    assert upper_limit(np.arange(39.0), np.ones(39)) == 37
    assert np.isnan(upper_limit(np.empty(0), np.empty(0)))


def test_opposite_signs_of_necessity_are_noted_beyond_the_margin() -> None:
    assert signs_disagree([(0.2, 0.4), (-0.4, -0.1)], 0.05)
    assert not signs_disagree([(0.2, 0.4), (-0.04, -0.01)], 0.05)
    assert not signs_disagree([(0.2, 0.4), (-0.4, 0.1), (np.nan, np.nan)], 0.05)
