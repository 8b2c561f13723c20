"""`PatchEdges` equals a `PatchPath` into each layer's receivers, one after the other, in every family."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from path_pairs import make_pairs
from tiny import FAMILIES, LABELS, WINDOWED, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.components import whole
from hc_interp.errors import ComponentError, InterventionError
from hc_interp.models.load import load
from hc_interp.models.trainable import TrainableModel, trainable_module

BATCH = tiny_batch(3, length=6, seed=1)
HEADS = [hc.Head(layer, head) for layer in range(3) for head in range(3)]


@pytest.fixture(scope="module", params=[*FAMILIES, *WINDOWED])
def model(request) -> hc.HookedModel:
    return load(tiny_module(request.param, dtype=torch.float64), labels=LABELS)


@pytest.fixture(scope="module")
def bert() -> hc.HookedModel:
    return load(tiny_module("bert", dtype=torch.float64), labels=LABELS)


def one_by_one(senders, receivers, through, source) -> list[hc.PatchPath]:
    """The slow twin: a path into the heads of each layer, then into its MLP, each under those before it."""
    paths = []
    for layer in range(3):
        here = [item for item in receivers if whole(item).layer == layer]
        heads = [item for item in here if isinstance(whole(item), hc.Head)]
        mlps = [item for item in here if isinstance(whole(item), hc.MLP)]
        paths += [hc.PatchPath(senders, part, through, source) for part in (heads, mlps) if part]
    return paths


@pytest.mark.parametrize(
    ("senders", "receivers"),
    [
        (["L0H1"], ["L2H0"]),
        (["L0H1", "L1H2"], ["L1H0", "L1H1", "L2H0", "L2H1"]),
        (["embed", "L0MLP"], ["L0H0", "L1H1", "L2H2"]),
        (["L0H0", "L1MLP"], ["L1H1", "L1MLP", "L2H0", "L2MLP"]),
        (["embed", "L0H0"], ["L0H1", "L0MLP", "L1H0", "L2MLP"]),
    ],
)
@pytest.mark.parametrize("through", ["qkv", "v", "qk"])
def test_it_is_path_patching_layer_by_layer(model, senders, receivers, through) -> None:
    source = hc.mean_activations(model, tiny_batch(4, length=6, seed=2))
    receivers = [hc.component(name) for name in receivers]
    fast = model.logits(BATCH, [hc.PatchEdges(senders, receivers, through, source)])
    slow = model.logits(BATCH, one_by_one(senders, receivers, through, source))
    assert (fast - model.logits(BATCH)).abs().max() > 1e-4
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize(
    ("senders", "receivers"),
    [
        (["L0H1"], ["L2H0@ends"]),
        (["L0H1@inside", "embed"], ["L1H0@ends", "L1H1", "L2H2@inside"]),
        (["L0H0", "L1MLP"], ["L1H1@inside", "L1MLP@ends", "L2H0", "L2H1@ends", "L2MLP"]),
        (["L0H1"], ["L1H0@ends", "L1H0@inside", "L2H1@inside"]),
    ],
)
@pytest.mark.parametrize("through", ["qkv", "v", "qk"])
def test_receivers_at_roles_are_paths_to_them_layer_by_layer(model, senders, receivers, through) -> None:
    source = hc.mean_activations(model, tiny_batch(4, length=6, seed=2))
    real = BATCH.attention_mask.bool()
    last = real & (real.cumsum(1) == real.sum(1, keepdim=True))
    ends = last | (torch.arange(6) == 0)  # where classifiers are read
    batch = dataclasses.replace(BATCH, roles={"ends": ends, "inside": real & ~ends})
    parts = [hc.component(name) for name in receivers]
    fast = model.logits(batch, [hc.PatchEdges(senders, parts, through, source)])
    slow = model.logits(batch, one_by_one(senders, parts, through, source))
    assert (fast - model.logits(batch)).abs().max() > 1e-5
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-8)


@settings(deadline=None, max_examples=25)
@given(st.sets(st.sampled_from(HEADS), min_size=1, max_size=5), st.sets(st.sampled_from(HEADS), min_size=1, max_size=6))
def test_any_sets_of_heads(bert, senders, receivers) -> None:
    fast = bert.logits(BATCH, [hc.PatchEdges(sorted(senders), sorted(receivers), source=0)])
    slow = bert.logits(BATCH, one_by_one(sorted(senders), sorted(receivers), "qkv", 0))
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-8)


def test_pairs_and_donors_are_sources_and_a_side_that_is_its_own_source_is_left_alone(bert) -> None:
    pairs = make_pairs(4)
    clean = bert.tokenize(pairs.clean) if not isinstance(pairs.clean, hc.Batch) else pairs.clean
    corrupt = bert.tokenize(pairs.corrupt) if not isinstance(pairs.corrupt, hc.Batch) else pairs.corrupt
    ends = (["L0H0", "L1H1"], ["L1H0", "L2H1"])
    for source in (pairs, hc.Donors(bert, tiny_batch(40, length=6, seed=5), seed=0)):
        batch = clean if source is pairs else BATCH
        fast = bert.logits(batch, [hc.PatchEdges(*ends, source=source)])
        slow = bert.logits(batch, one_by_one(ends[0], [hc.component(name) for name in ends[1]], "qkv", source))
        torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-8)
    assert torch.equal(bert.logits(corrupt, [hc.PatchEdges(*ends, source=pairs)]), bert.logits(corrupt))


def test_senders_that_do_not_change_leave_the_logits_bit_equal() -> None:
    """Also where no sender is upstream: the patched stream is then the actual one, to the last bit."""
    for family in FAMILIES:
        model = load(tiny_module(family), labels=LABELS)
        last, first = [hc.Head(2, 0), hc.MLP(2)], [hc.Head(0, 1), hc.Head(2, 1)]
        assert torch.equal(model.logits(BATCH, [hc.PatchEdges(last, first, source=0)]), model.logits(BATCH))
        still = hc.Ablate("L0H0", 0)
        both = [still, hc.PatchEdges("L0H0", ["L1H0", "L2H1", "L1MLP"], source=0)]
        assert torch.equal(model.logits(BATCH, both), model.logits(BATCH, [still]))


def test_it_stands_in_training_with_the_gradients_of_its_slow_twin(bert) -> None:
    means = hc.mean_activations(bert, tiny_batch(4, length=6, seed=2))
    senders, receivers = ["L0H1", "L1H0"], [hc.Head(1, 1), hc.Head(1, 2), hc.Head(2, 0)]

    def gradients(interventions) -> dict[str, torch.Tensor]:
        trained = TrainableModel(bert, trainable_module(bert))
        trained.logits(BATCH, interventions).logsumexp(1).sum().backward()
        return {name: p.grad for name, p in trained.module.named_parameters() if p.grad is not None}

    fast = gradients([hc.PatchEdges(senders, receivers, source=means)])
    slow = gradients(one_by_one(senders, receivers, "qkv", means))
    assert fast.keys() == slow.keys()
    for name, value in fast.items():
        torch.testing.assert_close(value, slow[name], atol=1e-9, rtol=1e-7)
    with pytest.raises(InterventionError, match="Train with dropout=False"):
        TrainableModel(bert, trainable_module(bert), dropout=True).logits(
            BATCH, [hc.PatchEdges(senders, receivers, source=means)]
        )


def test_it_composes_with_what_is_before_it(bert) -> None:
    before = [hc.Scale("L0H2", 0.5), hc.PatchPath("L0H0", "L1H2", source=0)]
    senders, receivers = ["L0H1"], [hc.Head(1, 0), hc.Head(2, 0)]
    fast = bert.logits(BATCH, [*before, hc.PatchEdges(senders, receivers, source=0)])
    slow = bert.logits(BATCH, [*before, *one_by_one(senders, receivers, "qkv", 0)])
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("route", ["direct", "all"])
def test_a_path_after_it_is_patched_under_it(bert, route) -> None:
    """The path's own passes could start at layer 1, and would then miss what the edges keep of layer 0."""
    senders, receivers = ["L0H1"], [hc.Head(1, 1), hc.Head(2, 0)]
    path = hc.PatchPath("L1H0", "L2H1", source=0, route=route)
    fast = bert.logits(BATCH, [hc.PatchEdges(senders, receivers, source=0), path])
    slow = bert.logits(BATCH, [*one_by_one(senders, receivers, "qkv", 0), path])
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("kind", ["q", "k", "v", "pattern", "z"])
def test_an_edit_inside_a_receiver_sees_the_patched_input(kind, bert) -> None:
    """Doubled queries are twice those of the patched stream, as in path patching; an order of its own at each site."""
    edit = hc.Edit(hc.Site(1, kind, 0), lambda value: value * value.abs())
    senders, receivers = ["L0H1"], [hc.Head(1, 0), hc.Head(2, 0)]
    fast = bert.logits(BATCH, [edit, hc.PatchEdges(senders, receivers, source=0)])
    slow = bert.logits(BATCH, [edit, *one_by_one(senders, receivers, "qkv", 0)])
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("later", [False, True])
def test_an_edit_of_a_receivers_input_is_refused(later, bert) -> None:
    edit, edges = hc.Edit(hc.Site(1, "q_in", 0), lambda value: 2 * value), hc.PatchEdges("L0H1", "L1H0", source=0)
    with pytest.raises(InterventionError, match="q_in of layer 1 is edited"):
        bert.logits(BATCH, [edges, edit] if later else [edit, edges])
    elsewhere = hc.Edit(hc.Site(2, "q_in", 0), lambda value: 2 * value)
    assert bert.logits(BATCH, [elsewhere, edges]).isfinite().all()


@pytest.mark.parametrize("kind", ["q", "k", "v", "pattern", "v_in"])
def test_an_edit_beside_a_head_that_receives_at_a_role_is_refused(kind, bert) -> None:
    batch = dataclasses.replace(BATCH, roles={"begin": (torch.arange(6) < 2).expand(3, -1)})
    edges = hc.PatchEdges("L0H1", "L1H0@begin", source=0)
    edit = hc.Edit(hc.Site(1, kind, 2), lambda value: 2 * value)
    with pytest.raises(InterventionError, match=rf"{kind} of layer 1 is edited"):
        bert.logits(batch, [edges, edit])
    assert bert.logits(batch, [edges, hc.Edit(hc.Site(2, kind, 2), lambda value: 2 * value)]).isfinite().all()


def test_wrong_use_is_refused(bert) -> None:
    with pytest.raises(InterventionError, match="no source"):
        hc.PatchEdges("L0H0", "L1H0")
    with pytest.raises(InterventionError, match="receiver 'output'"):
        hc.PatchEdges("L0H0", "output", source=0)
    with pytest.raises(InterventionError, match="at least one sender"):
        hc.PatchEdges([], "L1H0", source=0)
    with pytest.raises(InterventionError, match="through='x'"):
        hc.PatchEdges("L0H0", "L1H0", "x", 0)
    with pytest.raises(ComponentError):
        bert.logits(BATCH, [hc.PatchEdges("L0H0", "L7H0", source=0)])
    with pytest.raises(InterventionError, match="share the receiver L1H0"):
        bert.logits(BATCH, [hc.PatchPath("L0H1", "L1H0", source=0), hc.PatchEdges("L0H0", "L1H0", source=0)])
