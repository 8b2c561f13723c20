"""The exact engine equals the two-run twin: families, routes, input subsets, joint and single, padding, batch sizes."""

import itertools

import pytest
import torch
from path_pairs import GROUPS, RECEIVERS, SENDERS, make_pairs, twin_effect
from tiny import LABELS, tiny_batch, tiny_module
from twin import Twin

from hc_interp.components import MLP, Head, is_upstream
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Keep
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.paths import PatchPath
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.load import load
from hc_interp.patching.path_effects import path_effects
from hc_interp.subnetwork import Subnetwork

SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations("qkv", n)]


@pytest.mark.parametrize("route", ROUTES)
def test_every_edge_equals_the_twin(any_model, route) -> None:
    pairs = make_pairs(5)
    result = path_effects(any_model, pairs, SENDERS, RECEIVERS, through="each", route=route)
    assert result.effects.abs().max() > 1e-3
    for sender, receiver in itertools.product(SENDERS, RECEIVERS):
        for through in [("q",), ("k",), ("v",)] if isinstance(receiver, Head) else [("in",)]:
            expected, _ = twin_effect(any_model.module, pairs, [sender], [receiver], through, route)
            effect = result.per_example(sender, receiver, through)
            torch.testing.assert_close(effect, expected, atol=1e-10, rtol=0)
            if not is_upstream(sender, receiver):
                assert bool((effect == 0).all())


@pytest.mark.parametrize("through", SUBSETS)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("rows", [1, 17])
def test_joint_equals_the_twin(tiny_bert, route, through, rows) -> None:
    pairs = make_pairs(rows, seed=rows)
    senders, receivers = [Head(0, 0), Head(1, 1), MLP(0)], [Head(1, 0), Head(1, 1), Head(2, 2), MLP(2)]
    result = path_effects(tiny_bert, pairs, senders, receivers, through=through, route=route, joint=True)
    expected, _ = twin_effect(tiny_bert.module, pairs, senders, receivers, through, route)
    torch.testing.assert_close(result.effects[:, 0], expected, atol=1e-10, rtol=0)


def test_float32() -> None:
    module = tiny_module("bert", dtype=torch.float32)
    model, pairs = load(module, labels=LABELS), make_pairs(5)
    result = path_effects(model, pairs, SENDERS, RECEIVERS, route="mlps")
    for sender, receiver in itertools.product(SENDERS, RECEIVERS):
        expected, _ = twin_effect(model.module, pairs, [sender], [receiver], "qkv", "mlps")
        torch.testing.assert_close(result.per_example(sender, receiver).float(), expected, atol=1e-5, rtol=1e-5)


def test_node_effects_totals_and_response(tiny_bert) -> None:
    pairs, gold = make_pairs(5), None
    twin, gold = Twin(tiny_bert.module), torch.tensor(pairs.gold)
    (clean_logits, clean), (corrupt_logits, corrupt) = twin.run(pairs.clean), twin.run(pairs.corrupt)
    base = logit_diff(clean_logits, MetricRows.labelled(gold, GROUPS))
    result = path_effects(tiny_bert, pairs, [Head(0, 1)], [Head(2, 1)])
    torch.testing.assert_close(
        result.total, logit_diff(corrupt_logits, MetricRows.labelled(gold, GROUPS)) - base, atol=1e-10, rtol=0
    )

    def patched(value):
        value = value.clone()
        value[:, :, 1] = corrupt[2, "z"][:, :, 1]
        return value

    node = logit_diff(twin.run(pairs.clean, {(2, "z"): patched})[0], MetricRows.labelled(gold, GROUPS)) - base
    torch.testing.assert_close(result.node[:, 0], node, atol=1e-10, rtol=0)
    _, new = twin_effect(tiny_bert.module, pairs, [Head(0, 1)], [Head(2, 1)], "qkv", "direct")
    full = (corrupt[2, "z"] - clean[2, "z"])[:, :, 1]
    seen = pairs.clean.attention_mask[:, :, None]
    change = new[Head(2, 1)] - clean[2, "z"][:, :, 1]
    torch.testing.assert_close(result.explained[:, 0], (change * full * seen).sum((1, 2)), atol=1e-10, rtol=0)
    torch.testing.assert_close(result.extent[:, 0], (full * full * seen).sum((1, 2)), atol=1e-10, rtol=0)
    frame = result.to_frame()
    assert (
        frame["share"][0] == pytest.approx(float(result.effects.sum() / result.total.sum())) or frame["share"].isna()[0]
    )


@pytest.mark.parametrize("route", ROUTES)
def test_intervention_form_equals_the_sweep(tiny_bert, route) -> None:
    pairs, gold = make_pairs(5), torch.tensor(make_pairs(5).gold)
    path = PatchPath([Head(0, 1)], [Head(2, 1), MLP(2)], through=("k", "v"), source=pairs, route=route)
    patched = logit_diff(tiny_bert.logits(pairs.clean, [path]), MetricRows.labelled(gold, GROUPS))
    clean = logit_diff(tiny_bert.logits(pairs.clean), MetricRows.labelled(gold, GROUPS))
    result = path_effects(
        tiny_bert, pairs, [Head(0, 1)], [Head(2, 1), MLP(2)], through=("k", "v"), route=route, joint=True
    )
    torch.testing.assert_close(result.effects[:, 0], patched - clean, atol=1e-12, rtol=0)


@pytest.mark.parametrize("route", ROUTES)
def test_inside_a_subnetwork_equals_the_twin(tiny_bert, route) -> None:
    pairs, gold = make_pairs(5), torch.tensor(make_pairs(5).gold)
    means = mean_activations(tiny_bert, tiny_batch(8, seed=5))
    removed = {Head(0, 0), Head(1, 1), Head(2, 0), MLP(1)}
    keep = Keep(Subnetwork(frozenset(set(tiny_bert.components) - removed), tiny_bert.components), means)
    base = {}
    for layer in range(3):
        heads = [c.head for c in removed if isinstance(c, Head) and c.layer == layer]

        def prune(value, layer=layer, heads=heads):
            value = value.clone()
            for head in heads:
                value[:, :, head] = means.values["z"][layer, head]
            return value

        base[layer, "z"] = prune
    base[1, "mlp_out"] = lambda value: means.values["mlp_out"][1].expand_as(value)
    twin = Twin(tiny_bert.module)
    clean = logit_diff(twin.run(pairs.clean, base)[0], MetricRows.labelled(gold, GROUPS))
    for senders, receivers in [
        ([Head(0, 1)], [Head(2, 1)]),
        ([Head(0, 1)], [Head(1, 1)]),
        ([MLP(0)], [MLP(1), Head(2, 2)]),
    ]:
        logits, _ = twin.path(pairs.clean, pairs.corrupt, senders, receivers, "qkv", route, base_edits=base)
        result = path_effects(tiny_bert, pairs, senders, receivers, route=route, joint=True, interventions=[keep])
        expected = logit_diff(logits, MetricRows.labelled(gold, GROUPS)) - clean
        torch.testing.assert_close(result.effects[:, 0], expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("route", ROUTES)
def test_means_as_corruption(tiny_bert, route) -> None:
    pairs, gold = make_pairs(5), torch.tensor(make_pairs(5).gold)
    means = mean_activations(tiny_bert, tiny_batch(8, seed=5))
    values = {(i, "z"): means.values["z"][i][None, None] for i in range(3)}
    values |= {(i, "mlp_out"): means.values["mlp_out"][i] for i in range(3)} | {(None, "embed"): means.values["embed"]}
    twin = Twin(tiny_bert.module)
    clean = logit_diff(twin.run(pairs.clean)[0], MetricRows.labelled(gold, GROUPS))
    result = path_effects(tiny_bert, pairs, SENDERS, RECEIVERS, route=route, corruption=means)
    assert bool(result.total.isnan().all())
    for sender, receiver in itertools.product(SENDERS, RECEIVERS):
        logits, _ = twin.path(pairs.clean, None, [sender], [receiver], "qkv", route, corrupt_values=values)
        expected = logit_diff(logits, MetricRows.labelled(gold, GROUPS)) - clean
        torch.testing.assert_close(result.per_example(sender, receiver), expected, atol=1e-10, rtol=0)
