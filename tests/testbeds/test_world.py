"""Worlds are as described: exact before noise, and their true edges are those that patching each edge finds."""

import numpy as np
import pytest
import torch

import hc_interp as hc
from hc_interp.components import EMBED, OUTPUT, Head
from hc_interp.errors import DataError, HCError
from hc_interp.testbeds import World, competing_subnetworks, exchangeable, heuristic_core, mixed, null
from hc_interp.testbeds.language import VOCABULARY, contrast_pairs

CUT = 1e-4  # in logits: what an edge outside the circuit may change, by the softmax's tails and rounding
MAKERS = {f"core through {through}": (heuristic_core, {"through": through}) for through in hc.testbeds.THROUGH}
MAKERS |= {make.__name__: (make, {}) for make in (competing_subnetworks, mixed, exchangeable, null)}


def fresh_pairs(kind: str, n: int, seed: int) -> hc.ContrastPairs:
    """New pairs from the distribution that the tasks' pairs come from."""
    return contrast_pairs(n, kind, seed, f"fresh {kind}")


@pytest.fixture(scope="module", params=sorted(MAKERS))
def world(request) -> World:
    make, settings = MAKERS[request.param]
    return make(seed=3, **settings)


def changes(world: World, kind: str, senders, route: str = "direct") -> dict[tuple[str, str, str], float]:
    """The largest change of a logit by cutting each edge: patching it from the other side of a pair, or from donors."""
    pairs = fresh_pairs("overlap" if kind == "donors" else kind, 8, seed=5)
    others = [side for k in ("order", "overlap") for side in fresh_pairs(k, 20, seed=6).sides]
    other = {"corruption": hc.Donors(world.model, others)} if kind == "donors" else {}
    receivers = [*world.model.components, OUTPUT]
    found = hc.path_effects(world.model, pairs, senders, receivers, "each", route=route, **other)
    largest = found.effects.abs().max(0).values / 2  # two logits of opposite sign: each moves by half the difference
    return dict(zip(found.rows, largest.tolist(), strict=True))


def expected(edges, kind: str) -> set[tuple[str, str, str]]:
    return {(str(e.sender), str(e.receiver), e.through) for e in edges if kind == "donors" or kind in e.kinds}


@pytest.mark.parametrize("kind", ["order", "overlap", "donors"])
def test_cutting_an_edge_matters_exactly_where_the_truth_says(world, kind) -> None:
    found = changes(world, kind, [EMBED, *world.model.components])
    assert {edge for edge, change in found.items() if change > CUT} == expected(world.truth, kind)


@pytest.mark.parametrize("through", ["two hops", "q", "mlp"])
@pytest.mark.parametrize("route", ["mlps", "all"])
def test_longer_routes(through, route) -> None:
    """The core as one sender: what a single head of it changes downstream also rescales LayerNorms there."""
    world = heuristic_core(seed=3, through=through)
    core = tuple(head for head in world.core if head.layer == 0)
    found = changes(world, "order", [core], route)
    joint = {(str(e.receiver), e.through) for e in world.reach(route) if e.sender in core and "order" in e.kinds}
    assert {key[1:] for key, change in found.items() if change > CUT} == joint


def test_reach_names_the_shortest_route() -> None:
    world = heuristic_core(seed=3, through="mlp")
    last = [head for head in world.generalizing if head.layer == 2]
    routes = {edge.route for edge in world.reach("mlps") if edge.sender in world.core and edge.receiver in last}
    assert routes == {"mlps"}
    world = heuristic_core(seed=3, through="two hops")
    routes = {edge.route for edge in world.reach("all") if edge.sender in world.core and edge.receiver in last}
    assert {edge.route for edge in world.reach("mlps")} == {"direct"}
    assert {e.route for e in world.reach("all") if e.sender == EMBED and e.receiver == OUTPUT} == {"all"}


def test_layernorms_see_one_length(world) -> None:
    """LayerNorms have one scale at every position of every text, which makes the weights exact."""
    spread = {}

    def watch(name):
        return lambda module, given: spread.__setitem__(name, given[0].std(-1, correction=0))

    norms = [(name, part) for name, part in world.model.module.named_modules() if name.endswith("LayerNorm")]
    hooks = [part.register_forward_pre_hook(watch(name)) for name, part in norms]
    batch = world.model.tokenize(world.task.train.sample(64))
    world.model.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    for hook in hooks:
        hook.remove()
    weak = world.kind == "exchangeable"  # weak edges make a checker's message a little longer or shorter: at the end
    for name, std in spread.items():
        if not (weak and "layer.2" in name):
            assert float(std.max() / std.min()) - 1 < 1e-4, name


def accuracy(world: World, data, *interventions) -> float:
    logits = world.model.logits(world.model.tokenize(data), interventions)
    return float((logits.argmax(-1) == torch.tensor(data.label)).double().mean())


def test_the_full_model_is_right_and_the_heuristic_alone_is_not(world) -> None:
    assert accuracy(world, world.task.validation) == 1
    alone = [hc.Ablate(world.generalizing, with_=world.means)] if world.generalizing else []
    if world.kind != "null":
        assert accuracy(world, world.task.cases["swap"]) == 1
    assert accuracy(world, world.task.validation, *alone) == 1
    assert accuracy(world, world.task.cases["swap"], *alone) == 0


def test_heads_are_told_apart(world) -> None:
    groups = [set(world.core), set(world.generalizing), set(world.decoys)]
    assert sum(map(len, groups)) == len(set.union(*groups)) <= world.model.n_layers * world.model.n_heads
    assert not set(world.decoys) & set(world.circuit) or world.kind == "exchangeable"
    assert set(world.core) <= set(world.circuit)
    assert set(world.generalizing) <= set(world.circuit)


def test_seeds_and_noise() -> None:
    first, again, other = (heuristic_core(seed=seed) for seed in (1, 1, 2))
    assert first.model.fingerprint == again.model.fingerprint != other.model.fingerprint
    assert first.task.train.first == again.task.train.first != other.task.train.first
    noisy = heuristic_core(seed=1, noise=0.02)
    assert (noisy.core, noisy.truth) == (first.core, first.truth)
    assert accuracy(noisy, noisy.task.validation) > 0.95
    batch = first.model.tokenize(first.task.train.sample(8))
    assert not torch.equal(first.model.logits(batch), noisy.model.logits(batch))


def test_pairs_are_what_their_kind_says() -> None:
    world = heuristic_core(seed=1)
    for kind, pairs in {k: fresh_pairs(k, 40, seed=2) for k in ("order", "overlap")}.items():
        clean, corrupt = pairs.sides
        assert clean.first == corrupt.first
        for premise, one, two in zip(clean.first, clean.second, corrupt.second, strict=True):
            same_words = sorted(one.split()) == sorted(two.split())
            assert same_words == (kind == "order")
            assert (set(two.split()) <= set(premise.split())) == (kind == "order")
    assert all(part.split == "test" for part in world.pairs.values())
    with pytest.raises(DataError, match="'order' or 'overlap'"):
        fresh_pairs("words", 3, seed=0)


@pytest.mark.parametrize("kind", ["order", "overlap"])
def test_a_population_is_of_the_same_pairs_as_tokens(kind) -> None:
    world = heuristic_core(seed=1)
    found, texts = world.population(kind, 400, seed=2), fresh_pairs(kind, 400, seed=2)
    words = [[VOCABULARY[i] for i in row] for row in found.clean.input_ids.tolist()]
    premises = [" ".join(row[1:5]) for row in words]
    for side, other in zip(found.sides, texts.sides, strict=True):
        hypotheses = [" ".join(VOCABULARY[i] for i in row[6:9]) for row in side.input_ids.tolist()]
        encoded = world.model.tokenize(premises, hypotheses)
        assert torch.equal(encoded.input_ids, side.input_ids)
        assert torch.equal(encoded.token_type_ids, side.token_type_ids)
        assert tuple(side.labels.tolist()) == other.label
        parts = [one.split() + two.split() for one, two in zip(premises, hypotheses, strict=True)]
        drawn = [one.split() + two.split() for one, two in zip(other.first, other.second, strict=True)]
        assert {relations(row) for row in parts} == {relations(row) for row in drawn}
        for place in range(7):
            assert {row[place] for row in parts} == {row[place] for row in drawn}
    assert found.gold == texts.gold
    with pytest.raises(DataError, match="'order' or 'overlap'"):
        world.population("words", 3, seed=0)


def relations(words: list[str]) -> tuple[int, ...]:
    """The index of each word of the hypothesis in the premise (-1: not there)."""
    return tuple(words[:4].index(word) if word in words[:4] else -1 for word in words[4:])


def test_exchangeable_edges_are_of_one_size() -> None:
    """Core and other heads of layer 0 write with weights of one distribution."""
    weights = {True: [], False: []}
    for seed in range(3):
        world = exchangeable(seed=seed)
        checkers = [head for head in world.generalizing if head.layer == 2]
        senders = [Head(0, i) for i in range(world.model.n_heads)]
        frame = hc.path_effects(world.model, fresh_pairs("order", 6, 1), senders, checkers, "v").to_frame()
        for sender, share in zip(frame["sender"], frame["node_share"], strict=True):
            weights[hc.component(sender) in world.core].append(share)
    core, others = (np.abs(weights[key]).mean() for key in (True, False))
    assert 0.4 < core / others < 2.5
    assert {round(np.sign(share)) for share in weights[True]} == {-1, 1}


@pytest.mark.parametrize("given", [{"through": "x"}, {"seed": -1}, {"noise": -0.1}, {"noise": float("nan")}])
def test_bad_arguments(given) -> None:
    with pytest.raises(HCError):
        heuristic_core(**given)
