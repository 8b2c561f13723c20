"""Screens equal slow twins, rank what was planted first, and refuse what has no meaning."""

from dataclasses import replace

import pytest
import torch
from tiny import tiny_batch

from hc_interp.components import Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.errors import InterventionError, SearchError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Scale, SoftMask
from hc_interp.interventions.sites import Patch, Steer
from hc_interp.metrics import group_cross_entropy, kl_divergence
from hc_interp.models.site import Site
from hc_interp.search.node_gradients import dropped, gate_gradients
from hc_interp.search.ranking import Ranking
from hc_interp.search.screens import attribution_patching, gradient_importance, leave_one_out

BY_EFFECT = (gradient_importance, attribution_patching, leave_one_out)


@pytest.fixture(scope="module")
def means(planted_model, rows):
    return mean_activations(planted_model, rows)


@pytest.mark.parametrize("screen", BY_EFFECT)
def test_components_that_do_nothing_come_last(screen, planted, planted_model, rows, means):
    ranking = screen(planted_model, rows, means)
    assert ranking.top(0.5).kept == planted
    idle = [item not in planted for item in ranking.universe]
    assert float(ranking.scores[torch.tensor(idle)].abs().max()) < 1e-6
    frame = ranking.to_frame()
    assert frame["rank"].tolist() == list(range(1, 13))
    assert set(frame["component"][:6]) == set(map(str, planted))
    assert ((frame["low"] <= frame["score"]) & (frame["score"] <= frame["high"])).all()


def test_leave_one_out_is_the_loss_of_an_ablation(any_model):
    batch = tiny_batch(7, 9)
    means = mean_activations(any_model, batch)
    direction = torch.linspace(-1, 1, any_model.d_model, dtype=torch.float64)
    before = [Scale(Head(0, 1), 0.5), *(Steer(Site(layer, "resid_pre"), direction) for layer in range(3))]
    ranking = leave_one_out(any_model, batch, means, interventions=before, batch_size=3)
    full = any_model.logits(batch, before)
    for place, item in enumerate(any_model.components):
        kl = kl_divergence(full, any_model.logits(batch, [*before, Ablate(item, means)]))
        assert torch.allclose(ranking.per_example[place], kl, atol=1e-10)


def answer_loss(model, batch, interventions, answer):
    return -model.logits(batch, interventions).log_softmax(-1).gather(1, answer[:, None])[:, 0]


def test_slopes_are_those_of_finite_differences(any_model):
    batch = tiny_batch(4, 8)
    means = mean_activations(any_model, batch)
    answer = any_model.logits(batch).argmax(-1)
    n = len(any_model.components)
    found = gradient_importance(any_model, batch, means)
    plain = attribution_patching(any_model, batch, means, grad_drop=False)
    assert torch.equal(found.per_example, plain.per_example)
    for place in range(n):
        ends = []
        for step in (-1e-3, 1e-3):  # wide: Llama's norms are float32 inside
            mask = torch.ones(n, dtype=torch.float64)
            mask[place] += step
            ends.append(answer_loss(any_model, batch, [SoftMask(mask, means)], answer))
        assert torch.allclose(found.per_example[place], ((ends[1] - ends[0]) / 2e-3).abs(), atol=2e-3)


def test_normalized_scores_have_length_one_in_each_layer(planted_model, rows, means):
    ranking = gradient_importance(planted_model, rows, means, normalize=True)
    layers = torch.tensor([item.layer for item in ranking.universe])
    for layer in range(3):
        assert float(ranking.scores[layers == layer].norm()) == pytest.approx(1, rel=1e-5)


def test_a_dropped_layer_sends_no_gradient_through_its_components(any_model):
    batch = tiny_batch(4, 8)
    means = mean_activations(any_model, batch)
    args = (any_model, batch, any_model.components, means, lambda logits: logits[:, 0], [])
    own = torch.tensor([item.layer for item in any_model.components])
    plain = gate_gradients(*args)
    for layer, edits in enumerate(dropped(any_model.n_layers)):
        found = gate_gradients(*args, edits)
        assert torch.equal(found[:, own == layer], torch.zeros_like(found[:, own == layer]))
        assert torch.allclose(found[:, own > layer], plain[:, own > layer])  # nothing of that layer lies above them
        if layer:
            assert not torch.allclose(found[:, own < layer], plain[:, own < layer])
        assert torch.equal(any_model.logits(batch, edits), any_model.logits(batch))


@pytest.mark.parametrize("kind", ["q", "k", "v"])
def test_estimates_of_inputs_meet_small_true_effects(any_model, kind):
    """A replacement that moves an input a little: first order is then as good as exact."""
    batch = tiny_batch(4, 8)
    clean = {layer: Site(layer, kind) for layer in range(any_model.n_layers)}
    values = any_model.run(batch, capture=clean.values()).captured
    answer = any_model.logits(batch).argmax(-1)
    before = answer_loss(any_model, batch, [], answer)
    moved = any_model.logits(batch).new_tensor(1e-3)
    small = {site: value + moved * torch.randn_like(value) for site, value in values.items()}

    from hc_interp.search import node_gradients

    original = node_gradients.source_values
    node_gradients.source_values = lambda *_: small
    try:
        estimates = [
            node_gradients.node_effects(
                any_model, batch, kind, 0, lambda logits: -logits.log_softmax(-1).gather(1, answer[:, None])[:, 0],
                [], [()], qk_fix=fix,
            )[0]
            for fix in (True, False)
        ]  # fmt: skip
    finally:
        node_gradients.source_values = original
    largest = 0.0
    for layer in range(any_model.n_layers):
        for head in range(any_model.n_heads):
            site = Site(layer, kind, head)
            after = answer_loss(any_model, batch, [Patch(site, small[site.whole][:, :, head])], answer)
            for found in estimates:
                own = found[:, layer * any_model.n_heads + head]
                assert torch.allclose(own, after - before, atol=2e-5), (site, own, after - before)
                largest = max(largest, float(own.abs().max()))
    assert largest > 1e-4


def test_qk_fix_takes_the_change_of_z_exactly(any_model):
    """Under a loss that is linear in the last layer's z, the fixed estimate is the effect, whatever its size."""
    from hc_interp.search.node_gradients import _change_of_z

    batch = tiny_batch(4, 8)
    other = tiny_batch(4, 8, seed=9)
    layer, seen = 2, batch.attention_mask[:, :, None].bool()
    sites = [Site(layer, name) for name in ("q", "k", "v", "pattern", "z")]
    clean = any_model.run(batch, capture=sites).captured
    new = any_model.run(other, capture=sites).captured
    for kind in "qk":
        change = _change_of_z(any_model, layer, kind, new[Site(layer, kind)], clean, batch, {})
        for head in range(any_model.n_heads):
            patch = Patch(Site(layer, kind, head), new[Site(layer, kind)][:, :, head])
            z = any_model.run(batch, [patch], capture=Site(layer, "z")).captured[Site(layer, "z")]
            own = (z - clean[Site(layer, "z")])[:, :, head]
            assert torch.allclose(change[:, :, head] * seen, own * seen, atol=1e-10)
            assert float((own * seen).abs().max()) > 1e-4


def test_pairs_as_source_and_labels_as_goal(planted_model, rows):
    other = (rows.input_ids.roll(1, 0)).where(rows.attention_mask.bool(), rows.input_ids)
    pairs = ContrastPairs(rows, replace(rows, input_ids=other), gold=rows.labels)
    first = attribution_patching(planted_model, pairs.clean, pairs, objective="task", grad_drop=False)
    means = mean_activations(planted_model, rows)
    assert not torch.allclose(
        first.per_example, attribution_patching(planted_model, rows, means, grad_drop=False).per_example
    )
    fixed = attribution_patching(planted_model, pairs.clean, pairs, nodes="q", grad_drop=False)
    linear = attribution_patching(planted_model, pairs.clean, pairs, nodes="q", grad_drop=False, qk_fix=False)
    assert fixed.universe == tuple(item for item in planted_model.components if isinstance(item, Head))
    assert not torch.allclose(fixed.per_example, linear.per_example)


def test_saved_and_loaded_alike(tmp_path, planted_model, rows, means):
    ranking = leave_one_out(planted_model, rows, means, components="heads")
    again = Ranking.load(ranking.save(tmp_path / "ranking.json"))
    assert again.to_frame().equals(ranking.to_frame())
    assert again.top(0.3) == ranking.top(0.3)
    assert "leave one out" in repr(again)


def test_bad_input(planted_model, rows, means, tiny_bert):
    with pytest.raises(SearchError, match="nodes='z' was given"):
        attribution_patching(planted_model, rows, means, nodes="z")
    with pytest.raises(SearchError, match="objective='loss' was given"):
        leave_one_out(planted_model, rows, means, objective="loss")
    with pytest.raises(InterventionError, match="fingerprint"):
        gradient_importance(tiny_bert, rows, means)
    with pytest.raises(Exception, match="kinds=\\['q'\\]"):
        attribution_patching(planted_model, rows, means, nodes="q")
    with pytest.raises(SearchError, match="sparsity=1\\.5"):
        leave_one_out(planted_model, rows, means).top(1.5)


def test_leaving_one_out_is_a_rise_of_the_task_loss(planted_model, rows, means):
    some = rows.rows(range(9))
    ranking = leave_one_out(planted_model, some, means, objective="task")
    gold = torch.nn.functional.one_hot(some.labels, 3).bool()
    full = group_cross_entropy(planted_model.logits(some), gold)
    for place, item in enumerate(planted_model.components):
        without = group_cross_entropy(planted_model.logits(some, Ablate(item, means)), gold)
        assert torch.allclose(ranking.per_example[place], without - full, atol=1e-5)


def test_grad_drop_is_the_mean_over_the_passes_that_a_node_is_in(tiny_bert):
    batch = tiny_batch(4, 8)
    means, answer = mean_activations(tiny_bert, batch), tiny_bert.logits(batch).argmax(-1)
    args = (
        tiny_bert,
        batch,
        tiny_bert.components,
        means,
        lambda logits: -logits.log_softmax(-1).gather(1, answer[:, None])[:, 0],
        [],
    )
    slopes = torch.stack([gate_gradients(*args, edits).abs() for edits in dropped(3)])
    own = torch.tensor([item.layer for item in tiny_bert.components])
    among = torch.stack([slopes[[layer != at for layer in range(3)]][..., own == at].mean(0) for at in range(3)], 1)
    found = attribution_patching(tiny_bert, batch, means).per_example
    for at in range(3):
        assert torch.allclose(found[own == at].T, among[:, at])
