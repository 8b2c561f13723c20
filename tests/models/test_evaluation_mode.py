"""No pass has dropout in it, whatever is done to the module, to a copy, or to the user's own trees."""

import copy
import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from path_pairs import RECEIVERS, SENDERS, make_pairs
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.sites import Edit
from hc_interp.models.geometry import Geometry
from hc_interp.models.load import load
from hc_interp.models.site import Site
from hc_interp.patching.path_effects import path_effects
from hc_interp.search.search_masks import search_masks

BATCH = tiny_batch(4)
HALVE = Edit(Site(0, "attn_out"), lambda value: value / 2)
BACKENDS = ("transformer_lens", "nnsight")
COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "another process": lambda model: pickle.loads(ForkingPickler.dumps(model)),
    "copy": lambda model: model.copy(),
}


def dropping(family: str):
    """A tiny module that drops half of what it can drop when it trains."""
    module = tiny_module(family)
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.5
        if hasattr(part, "attention_dropout"):
            part.attention_dropout = 0.5
    return module


def values(model) -> dict[str, torch.Tensor]:
    """What each kind of pass gives: whole, started later, of the fast engine, of its gradients and of hooks."""
    whole = model.run(BATCH, capture=[Site(1, "resid_pre"), Site(1, "pattern")])
    tail = model.run_edits(BATCH, [], start=(1, whole.captured[Site(1, "resid_pre")]))
    results = {"logits": whole.logits, "pattern": whole.captured[Site(1, "pattern")], "tail": tail.logits}
    for name, options in {
        "exact": {},
        "hooked": {"route": "all", "interventions": HALVE},
        "estimate": {"method": "attribution", "ig_steps": 2},
    }.items():
        results[name] = path_effects(model, make_pairs(3), SENDERS[:3], RECEIVERS[1:], **options).effects
    return results


def equal(actual, expected) -> None:
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        assert not value.requires_grad, name
        torch.testing.assert_close(
            value, expected[name], atol=1e-12, rtol=1e-12, msg=lambda text, name=name: name + text
        )


def plain(module, batch=BATCH):
    with torch.no_grad():
        return module(batch.input_ids, **Geometry.of(module).inputs(batch)).logits


def test_after_train_only_the_module_drops(family) -> None:
    model = load(dropping(family), labels=LABELS)
    expected = values(model)
    model.module.train()
    assert not torch.equal(plain(model.module), plain(model.module))
    equal(values(model), expected)
    assert model.module.training


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_copies_after_train(backend, way) -> None:
    model = load(dropping("bert"), labels=LABELS, backend=backend)
    expected = model.logits(BATCH)
    model.module.train().requires_grad_(True)
    other = COPIES[way](model)
    assert torch.equal(other.logits(BATCH), expected)
    assert not any(part.training for part in other.module.modules())
    assert not any(parameter.requires_grad for parameter in other.module.parameters())
    assert model.module.training


@pytest.mark.parametrize("backend", BACKENDS)
def test_train_before_anything_is_built(backend) -> None:
    expected = values(load(dropping("bert"), labels=LABELS, backend=backend))
    model = pickle.loads(pickle.dumps(load(dropping("bert"), labels=LABELS, backend=backend)))  # builds trees anew
    model.module.train()
    equal(values(model), expected)
    logits = plain(model.module.eval())
    model.module.train()
    with torch.no_grad():
        assert torch.equal(model.bridge(BATCH.input_ids, **model.geometry.inputs(BATCH)), logits)
    with model.nnsight.trace(BATCH.input_ids, **model.geometry.inputs(BATCH)) as tracer:
        traced = tracer.result.logits.save()
    assert torch.equal(traced, logits)


@pytest.mark.parametrize("family", ["roberta", "gpt2", "llama"])
def test_one_part_at_a_time(family) -> None:
    model = load(dropping(family), labels=LABELS)
    expected = values(model)
    noisy = [part for part in model.module.modules() if not [*part.children()] or hasattr(part, "attention_dropout")]
    for part in noisy[::3]:
        model.module.eval()
        part.training = True
        equal({**expected, "logits": model.logits(BATCH)}, expected)
    for part in noisy:
        part.training = True
    equal(values(model), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_users_own_trees_in_training(backend) -> None:
    model = load(dropping("bert"), labels=LABELS, backend=backend)
    expected = values(model)
    model.bridge.train()
    model.nnsight.train()
    equal(values(model), expected)
    assert not model.module.training


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_want_gradients_change_no_result(backend) -> None:
    model, data = load(dropping("bert"), labels=LABELS, backend=backend), tiny_batch(40)

    def results(model):
        means = mean_activations(model, data)
        search = search_masks(model, data, seeds=[0], means=means, steps=3, exchanges=1)
        numbers = {"log_alpha": search.log_alpha, "z": means.values["z"]}
        for method in ("exact", "attribution"):
            numbers[method] = path_effects(model, make_pairs(3), SENDERS, RECEIVERS, method=method).effects
        return numbers

    expected = results(model)
    model.module.train().requires_grad_(True)
    equal(results(model), expected)
    assert all(parameter.grad is None for parameter in model.module.parameters())
