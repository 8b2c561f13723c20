"""The reads-from test on built worlds: right where it answers, and open where it cannot know."""

import importlib
from pathlib import Path

import pytest

import hc_interp as hc
from hc_interp.testbeds import World, answer_carriers, competing_subnetworks, heuristic_core, null, trunk


@pytest.fixture(scope="module")
def core_world() -> World:
    return heuristic_core(seed=4, noise=0.02)


@pytest.fixture(scope="module")
def use_plain_hooks():
    """Makes a model run by plain hooks, which are faster on models as small as these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "experiments")
        return importlib.import_module("plain_hooks").use_plain_hooks


def few(world: World, n: int = 16) -> dict[str, hc.ContrastPairs]:
    return {kind: pairs.sample(n) for kind, pairs in world.pairs.items()}


def ask(world: World, pairs=None, **changes) -> hc.Verdict:
    given = {"core": world.core, "generalizing": world.generalizing, "means": world.means, **changes}
    return hc.reads_from(world.model, pairs or few(world), **given)


def short_premises(world: World) -> hc.Premises:
    """The premises from few rows and few comparison sets."""
    limits = {"n_sets": 24, "n_disjoint": 5, "n_donors": 0, "max_per_case": 20, "max_pairs": 24, "max_in_domain": 80}
    return hc.premises(world.model, world.task, world.core, world.generalizing, world.means, batch_size=256, **limits)


def test_a_core_that_is_read_is_found(core_world, use_plain_hooks) -> None:
    use_plain_hooks(core_world.model)
    verdict = ask(core_world, premises=short_premises(core_world))
    assert verdict.premise_words == core_world.premises
    assert (verdict.answer, verdict.reason, verdict.reading) == ("reads_from", "shown", "reads_specifically")
    assert verdict.unread == tuple(head for head in core_world.core if head.layer == 2)
    assert verdict.edges is not None
    frame = verdict.edges.to_frame()
    told = frame[(frame["q"] < 0.05) & (frame["node_share_low"] > 0.01)]
    found = set(zip(told["sender"], told["receiver"], told["through"], strict=True))
    readers = {*map(str, verdict.core), *map(str, verdict.generalizing)}
    truth = {(str(e.sender), str(e.receiver), e.through) for e in core_world.truth}
    assert found == {edge for edge in truth if {edge[0], edge[1]} <= readers}


def test_heads_that_carry_the_answer_read_the_core_and_still_fail(use_plain_hooks) -> None:
    world = answer_carriers(seed=4, noise=0.02)
    use_plain_hooks(world.model)
    verdict = ask(world, few(world)["order"], premises=short_premises(world))
    assert verdict.reading == "reads_specifically"
    assert (verdict.answer, verdict.premise_words) == ("premise_fails", world.premises)


def test_a_trunk_is_told(use_plain_hooks) -> None:
    world = trunk(seed=4, noise=0.02)
    use_plain_hooks(world.model)
    verdict = ask(world)
    assert (verdict.reading, verdict.answer) == ("shared_trunk", "inconclusive")
    for record in verdict.records.values():
        for numbers in record.directions.values():
            assert (float(numbers.T), float(numbers.S)) == pytest.approx((1, 0), abs=0.05)


@pytest.mark.parametrize(("through", "part"), [("mlp", "through MLPs"), ("two hops", "through other heads")])
def test_the_route_is_told(through, part) -> None:
    """In two hops the last heads read other generalizing heads, which on the direct route keep their clean values."""
    world = heuristic_core(seed=5, through=through, noise=0.01)
    verdict = ask(world, few(world)["order"])
    assert verdict.reading == "reads_specifically"
    for numbers in verdict.records["order"].directions.values():
        assert max(numbers.parts, key=lambda name: numbers.parts[name]) == part


def test_a_core_that_is_not_read_is_told_too() -> None:
    world = competing_subnetworks(seed=4, noise=0.02)
    verdict = ask(world)
    assert (verdict.reading, verdict.reading_reason) == ("does_not_read_from", "equivalent")
    assert set(verdict.relay) == {head for head in world.generalizing if head.layer == 0}


def test_no_generalization_is_no_evidence() -> None:
    """At the floor of the case: nothing to find, nothing to test, and heads that are named all the same do nothing."""
    world = null(seed=4)
    found = hc.generalizing_heads(world.model, world.task, core=world.core, max_pairs=32)
    assert (found.heads, found.relay) == ((), ())
    assert ask(world, generalizing=found).reading_reason == "no generalizing heads"
    decoys = [head for head in world.decoys if head.layer == 2]
    verdict = ask(world, few(world)["order"], generalizing=decoys)
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "uninformative")


def test_a_model_that_always_answers_alike_is_no_evidence(core_world) -> None:
    """At the ceiling of one label: without the generalizing heads every swap is "entailment"."""
    cut = hc.Ablate(core_world.generalizing, with_=core_world.means)
    verdict = ask(core_world, few(core_world)["order"], interventions=[cut])
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "uninformative")
    assert verdict.records["order"].why == "the generalizing heads hardly matter"


def test_too_few_pairs(core_world) -> None:
    verdict = ask(core_world, few(core_world, 8))
    assert (verdict.reading, verdict.reading_reason) == ("inconclusive", "too few pairs")


def test_a_core_without_controls_in_its_layer(core_world) -> None:
    free = [head for head in core_world.decoys if head.layer == 0]
    wide = [*core_world.core, *free[:5]]
    verdict = ask(core_world, few(core_world)["order"], core=wide)
    assert verdict.reading == "inconclusive"
    assert any("no size controls" in note for note in verdict.notes)
    every = ask(core_world, few(core_world)["order"], core=[*core_world.core, *free])
    assert (every.reading, every.reading_reason) == ("inconclusive", "resolution")


def test_ablations_that_remove_nothing_do_not_vote(core_world) -> None:
    """Overlap pairs: clean is found in order, and a generalizing head that is zeroed says no less than that."""
    record = ask(core_world).records["overlap"].directions["as_is"]
    assert record.necessity["zero"].n == 0
    assert record.necessity["means"].value > 0
    assert any("the other way than the pairs do" in note for note in record.notes)
