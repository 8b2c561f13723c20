"""Gradients of weights under interventions are those of the slow twin: plain hooks on the plain module."""

import copy

import pytest
import torch
from tiny import LABELS, tiny_batch, tiny_module
from twin import Twin

import hc_interp as hc
from hc_interp.components import Head
from hc_interp.models.load import load
from hc_interp.models.trainable import TrainableModel, trainable_module

BATCH = tiny_batch()
PLACES = torch.linspace(-1, 1, 15, dtype=torch.float64).view(
    5, 3
)  # weights of the logits in the scalar that is derived


def trainable(start, **options) -> TrainableModel:
    return TrainableModel(start, trainable_module(start), **options)


def gradients(module, logits) -> dict[str, torch.Tensor]:
    module.zero_grad()
    (logits * PLACES).sum().backward()
    grads = {name: parameter.grad for name, parameter in module.named_parameters()}
    return {name: torch.zeros(()) if grad is None else grad.clone() for name, grad in grads.items()}


def plain(start) -> torch.nn.Module:
    return copy.deepcopy(start.module).requires_grad_(True)


def equal(one, other) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert (one[name] - other[name]).abs().max() < 1e-9 * (1 + other[name].abs().max()), name


def test_logits_and_gradients_without_interventions(any_model) -> None:
    model, module = trainable(any_model), plain(any_model)
    logits = model.logits(BATCH)
    assert (logits - any_model.logits(BATCH)).abs().max() < 1e-12
    equal(gradients(model.module, logits), gradients(module, Twin(module).run(BATCH)[0]))


def test_gradients_under_ablation_by_means(any_model) -> None:
    means = hc.mean_activations(any_model, BATCH)
    model, module = trainable(any_model), plain(any_model)
    given = [hc.Ablate(["L1H1", "L0MLP"], with_=means)]

    def ablated(z):
        z = z.clone()
        z[:, :, 1] = means.values["z"][1, 1]
        return z

    edits = {(1, "z"): ablated, (0, "mlp_out"): lambda value: means.values["mlp_out"][0].expand_as(value)}
    equal(gradients(model.module, model.logits(BATCH, given)), gradients(module, Twin(module).run(BATCH, edits)[0]))


ENDS = {"early": ((Head(0, 0), Head(0, 2)), (Head(1, 1), Head(2, 0))), "late": ((Head(1, 0),), (Head(2, 0),))}


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("route", ["direct", "mlps", "all"])
def test_gradients_under_a_patched_path(any_model, route, ends) -> None:
    """The paths from heads into later ones at the means of the start, in a list after an ablation."""
    means = hc.mean_activations(any_model, BATCH)
    senders, receivers = ENDS[ends]
    model, module = trainable(any_model), plain(any_model)
    given = [
        hc.Ablate("L0H1", with_=0),
        hc.PatchPath(senders, receivers, through=("q", "v"), source=means, route=route),
    ]

    def removed(z):
        z = z.clone()
        z[:, :, 1] = 0
        return z

    n = any_model.n_layers
    values = {(layer, "z"): means.values["z"][layer].expand(*BATCH.input_ids.shape, -1, -1) for layer in range(n)}
    logits, _ = Twin(module).path(
        BATCH, None, senders, receivers, ("q", "v"), route, corrupt_values=values, base_edits={(0, "z"): removed}
    )
    assert (model.logits(BATCH, given) - logits).abs().max() < 1e-10
    equal(gradients(model.module, model.logits(BATCH, given)), gradients(module, logits))


def test_what_is_replaced_gets_no_gradient(tiny_bert) -> None:
    model = trainable(tiny_bert)
    layer = gradients(model.module, model.logits(BATCH, [hc.Ablate(["L2H0", "L2H1", "L2H2"], with_=0)]))
    assert layer["bert.encoder.layer.2.attention.self.query.weight"].abs().max() == 0
    assert layer["bert.encoder.layer.1.attention.self.query.weight"].abs().max() > 0


def test_means_of_the_start_stay_valid_while_weights_change(tiny_bert) -> None:
    means = hc.mean_activations(tiny_bert, BATCH)
    model = trainable(tiny_bert)
    with torch.no_grad():
        model.module.classifier.weight.mul_(2)
    assert model.fingerprint == tiny_bert.fingerprint
    model.logits(BATCH, [hc.Ablate("L1H1", with_=means)])
    with pytest.raises(hc.InterventionError, match="means were taken"):
        load(model.module, labels=LABELS).logits(BATCH, [hc.Ablate("L1H1", with_=means)])


def test_all_passes_of_a_step_drop_the_same_values() -> None:
    """A path along which nothing changes gives the clean logits, though dropout is on in each of its runs."""
    start = load(tiny_module("bert"), labels=LABELS)
    model = trainable(start, dropout=True)
    model.seed_dropout(4)
    clean = model.logits(BATCH)
    assert (clean - start.logits(BATCH)).abs().max() > 1e-2
    pairs = hc.ContrastPairs(BATCH, BATCH, gold=[0] * 5, ids=BATCH.ids)
    nothing = hc.PatchPath(["L0H0", "embed"], ["L1H1", "L2H0"], source=pairs)
    assert (model.logits(BATCH, [nothing]) - clean).abs().max() < 1e-12
    model.seed_dropout(5)
    assert not torch.equal(model.logits(BATCH), clean)


def test_half_precision_is_widened_and_the_start_is_not(tiny_bert) -> None:
    start = load(tiny_module("bert", dtype=torch.bfloat16), labels=LABELS)
    model = trainable(start)
    assert (model.dtype, start.dtype) == (torch.float32, torch.bfloat16)
    assert trainable(tiny_bert).dtype == torch.float64


def test_autocast_computes_products_in_bfloat16() -> None:
    start = load(tiny_module("bert", dtype=torch.float32), labels=LABELS)
    exact, rounded = trainable(start).logits(BATCH), trainable(start, autocast=torch.bfloat16).logits(BATCH)
    assert 1e-4 < (exact - rounded.float()).abs().max() < 0.3


def test_hooks_are_removed_after_a_pass_that_fails(tiny_bert) -> None:
    model = trainable(tiny_bert)
    with pytest.raises(ZeroDivisionError):
        model.run(BATCH, [hc.Edit(hc.Site(1, "z"), lambda value: 1 / 0)])
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.backend.tree.modules())
    assert torch.allclose(model.logits(BATCH), tiny_bert.logits(BATCH))
