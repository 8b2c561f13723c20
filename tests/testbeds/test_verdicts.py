"""The reads-from test on built worlds: right where it answers, and open where it cannot know."""

import pytest

import hc_interp as hc
from hc_interp.testbeds import competing_subnetworks, heuristic_core, null


@pytest.fixture(scope="module")
def core_world():
    return heuristic_core(seed=4, noise=0.02)


def few(world, n: int = 16) -> dict[str, hc.ContrastPairs]:
    return {kind: pairs.sample(n) for kind, pairs in world.pairs.items()}


def ask(world, pairs=None, **changes) -> hc.Verdict:
    given = {"core": world.core, "generalizing": world.generalizing, "means": world.means, **changes}
    return hc.reads_from(world.model, pairs or few(world), **given)


def test_a_core_that_is_read_is_found(core_world) -> None:
    verdict = ask(core_world)
    assert (verdict.answer, verdict.reason, verdict.via) == ("reads_from", "shown", "direct")
    assert verdict.unread == tuple(head for head in core_world.core if head.layer == 2)
    frame = verdict.edges.to_frame()
    told = frame[(frame["q"] < 0.05) & (frame["node_share_low"] > 0.01)]
    found = set(zip(told["sender"], told["receiver"], told["through"], strict=True))
    readers = {*map(str, verdict.core), *map(str, verdict.generalizing)}
    truth = {(str(e.sender), str(e.receiver), e.through) for e in core_world.truth}
    assert found == {edge for edge in truth if {edge[0], edge[1]} <= readers}


@pytest.mark.parametrize(("through", "via"), [("mlp", "through MLPs"), ("two hops", "through other heads")])
def test_the_route_is_told(through, via) -> None:
    """In two hops the last heads read other generalizing heads, which on the direct route keep their clean values."""
    world = heuristic_core(seed=5, through=through, noise=0.01)
    verdict = ask(world, few(world)["order"])
    assert (verdict.answer, verdict.via) == ("reads_from", via)


def test_a_core_that_is_not_read_is_told_too() -> None:
    world = competing_subnetworks(seed=4, noise=0.02)
    verdict = ask(world)
    assert (verdict.answer, verdict.reason) == ("does_not_read_from", "equivalent")
    assert set(verdict.relay) == {head for head in world.generalizing if head.layer == 0}


def test_no_generalization_is_no_evidence() -> None:
    """At the floor of the case: nothing to find, nothing to test, and heads that are named all the same do nothing."""
    world = null(seed=4)
    found = hc.generalizing_heads(world.model, world.task, core=world.core, max_pairs=32)
    assert (found.heads, found.relay) == ((), ())
    assert ask(world, generalizing=found).reason == "no generalizing heads"
    decoys = [head for head in world.decoys if head.layer == 2]
    verdict = ask(world, few(world)["order"], generalizing=decoys)
    assert (verdict.answer, verdict.reason) == ("inconclusive", "uninformative")


def test_a_model_that_always_answers_alike_is_no_evidence(core_world) -> None:
    """At the ceiling of one label: without the generalizing heads every swap is "entailment"."""
    cut = hc.Ablate(core_world.generalizing, with_=core_world.means)
    verdict = ask(core_world, few(core_world)["order"], interventions=[cut])
    assert (verdict.answer, verdict.reason) == ("inconclusive", "uninformative")
    assert verdict.records["order"].why == "the generalizing heads hardly matter"


def test_too_few_pairs(core_world) -> None:
    verdict = ask(core_world, few(core_world, 8))
    assert (verdict.answer, verdict.reason) == ("inconclusive", "too few pairs")


def test_a_core_without_controls_in_its_layer(core_world) -> None:
    free = [head for head in core_world.decoys if head.layer == 0]
    wide = [*core_world.core, *free[:5]]
    verdict = ask(core_world, few(core_world)["order"], core=wide)
    assert verdict.answer == "inconclusive"
    assert any("no size controls" in note for note in verdict.notes)
    every = ask(core_world, few(core_world)["order"], core=[*core_world.core, *free])
    assert (every.answer, every.reason) == ("inconclusive", "resolution")


def test_ablations_that_remove_nothing_do_not_vote(core_world) -> None:
    """Overlap pairs: clean is found in order, and a generalizing head that is zeroed says no less than that."""
    record = ask(core_world).records["overlap"]
    assert record.necessity["zero"].n == 0
    assert record.necessity["means"].value > 0
    assert any("the other way than the pairs do" in note for note in record.notes)
