"""The null of the reads-from test: which cores it draws, and p with a core in several layers."""

import itertools
import math

import numpy as np
import pytest
import torch
from built_reading import READER, built_model, pairs
from hypothesis import given
from hypothesis import strategies as st

from hc_interp.components import Head
from hc_interp.patching.path_effects import path_effects
from hc_interp.reading.reads_from import reads_from
from hc_interp.reading.relabelling import (
    count_labellings,
    important_set,
    labellings,
    layer_pools,
    other_heads,
    size_controls,
)
from hc_interp.statistics.tests import permutation_p

heads = st.builds(Head, st.integers(0, 3), st.integers(0, 3))


@given(st.sets(heads, min_size=1), st.sets(heads, min_size=1), st.integers(0, 5))
def test_labellings_keep_the_count_in_each_layer(core, receivers, seed) -> None:
    core, receivers = tuple(sorted(core - receivers)), tuple(sorted(receivers))
    layers = layer_pools(core, receivers, 4)
    found, exhaustive = labellings(layers, 30, seed)
    last = max(head.layer for head in receivers)
    wanted = [sum(head.layer == layer for head in core) if layer < last else 0 for layer in range(4)]
    assert exhaustive == (count_labellings(layers) <= 30)
    assert len(found) == (count_labellings(layers) if exhaustive else 30)
    for labelling in found:
        assert [sum(head.layer == layer for head in labelling) for layer in range(4)] == wanted
        assert len(set(labelling)) == len(labelling)
        assert not set(labelling) & set(receivers)


def test_all_labellings_are_those_of_itertools_and_the_observed_is_there_once() -> None:
    core, receivers = (Head(0, 1), Head(0, 3), Head(1, 0)), (Head(0, 0), Head(2, 2))
    found, exhaustive = labellings(layer_pools(core, receivers, 4), 199, seed=0)
    first = itertools.combinations([Head(0, 1), Head(0, 2), Head(0, 3)], 2)
    expected = [(*pair, Head(1, i)) for pair in first for i in range(4)]
    assert exhaustive
    assert found == expected
    assert found.count(core) == 1


def test_fewer_permutations_than_labellings_are_drawn_without_the_observed_one_and_each_once() -> None:
    core = (Head(0, 0),)
    layers = layer_pools(core, (Head(1, 0),), 8)
    assert labellings(layers, 8, 0)[1]
    for seed in range(5):
        drawn, exhaustive = labellings(layers, 7, seed)
        assert not exhaustive
        assert sorted(drawn) == [(Head(0, i),) for i in range(1, 8)]


def test_p_of_drawn_labellings_is_that_of_all_where_nearly_all_are_drawn() -> None:
    core = (Head(0, 2), Head(0, 3))
    layers = layer_pools(core, (Head(1, 0),), 6)
    T = {heads: sum(head.head for head in heads) for heads in itertools.combinations(layers[0].pool, 2)}
    share = np.mean([value >= T[core] for value in T.values()])
    drawn, _ = labellings(layers, 14, seed=1)
    assert permutation_p(T[core], np.array([T[heads] for heads in drawn]), exhaustive=False) == pytest.approx(share)


def test_random_labellings_are_uniform_and_seeded() -> None:
    layers = layer_pools((Head(0, 0), Head(0, 1)), (Head(1, 0),), 6)
    found, _ = labellings(layers, 5, seed=3)
    assert found == labellings(layers, 5, seed=3)[0]
    assert found != labellings(layers, 5, seed=4)[0]
    counts = dict.fromkeys(itertools.combinations(range(6), 2), 0)
    for seed in range(300):
        for first, second in labellings(layers, 5, seed)[0]:
            counts[first.head, second.head] += 1
    assert counts.pop((0, 1)) == 0  # the observed one
    mean = 300 * 5 / 14
    assert max(abs(count - mean) for count in counts.values()) < 5 * math.sqrt(mean)


@given(st.data())
def test_size_controls_are_other_heads_of_the_same_layers(data) -> None:
    core = data.draw(st.sets(heads, min_size=1, max_size=6))
    receivers = (Head(4, 0),)
    size = {Head(i, j): data.draw(st.floats(0, 5)) for i in range(5) for j in range(4)}
    layers = layer_pools(tuple(core), receivers, 4)
    found = size_controls(layers, size, 10, seed=0)
    crowded = any(len(layer.others) < len(layer.core) for layer in layers)
    assert bool(found) != crowded
    assert len(set(found)) == len(found) <= 10
    for control in found:
        assert not set(control) & core
        assert sorted(head.layer for head in control) == sorted(head.layer for head in core)


def test_size_controls_are_the_nearest_in_size() -> None:
    size = {Head(0, i): float(i) for i in range(10)}
    found = size_controls(layer_pools((Head(0, 9),), (Head(1, 0),), 10), size, 39, seed=0)
    assert sorted(found) == [(Head(0, 6),), (Head(0, 7),), (Head(0, 8),)]


def test_other_heads_share_a_layer_with_the_receivers_and_are_no_core() -> None:
    core, receivers = (Head(0, 0), Head(2, 2)), (Head(2, 0), Head(1, 1))
    assert other_heads(receivers, core, 3) == (Head(2, 1), Head(1, 0), Head(1, 2))
    assert other_heads((Head(1, 0), Head(1, 1), Head(1, 2)), (Head(0, 0),), 3) == ()


def test_the_important_set_may_hold_core_heads_and_breaks_ties_in_order() -> None:
    heads = tuple(Head(0, i) for i in range(5))
    importance = dict(zip(heads, (1.0, 3.0, 2.0, 3.0, 0.0), strict=True))
    assert important_set((Head(0, 0), Head(0, 4)), heads, importance) == (Head(0, 1), Head(0, 3))
    assert important_set((Head(0, 0), Head(0, 4), Head(0, 2)), heads, importance)[1] == Head(0, 2)
    assert important_set(heads[:1], heads, dict.fromkeys(heads, 1.0)) == (Head(0, 0),)


def test_p_of_a_core_in_two_layers_is_the_share_of_all_labellings_that_reach_it() -> None:
    """Slow twin: each labelling, one head of layer 0 and one of layer 1, as a joint path of its own."""
    model, sides = built_model("all"), pairs()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # so that all 64 labellings differ
        for layer in model.module.bert.encoder.layer[:2]:
            for weight in (layer.attention.self.value.weight, layer.attention.output.dense.weight):
                weight += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    core = (Head(0, 1), Head(1, 3))
    record = reads_from(model, sides, core=core, generalizing=[READER]).records["order"].directions["as_is"]
    effects = {}
    for senders in itertools.product(*([Head(layer, head) for head in range(8)] for layer in (0, 1))):
        paths = path_effects(model, sides, senders, [READER], through="qkv", route="all", joint=True)
        effects[senders] = float(paths.to_frame()["node_share"].iloc[0])
    reached = sum(value >= effects[core] - 1e-9 for value in effects.values())
    assert 1 < reached < 64
    assert len({round(value, 9) for value in effects.values()}) == 64
    assert (record.exhaustive, record.n_labellings) == (True, 64)
    assert record.p == pytest.approx(reached / 64)
