"""ALBERT: one module computes several layers, and a component is one call of it. Groups share, other groups do not."""

import copy
from dataclasses import replace

import pytest
import torch
import transformers
from tiny import LABELS, tiny_batch, tiny_module
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge.sources import build_bridge_from_module
from twin import Twin

import hc_interp as hc
from hc_interp.models.families import FAMILIES
from hc_interp.models.families.albert import ALBERT
from hc_interp.models.layer_list import unroll
from hc_interp.models.trainable import TrainableModel, trainable_module
from hc_interp.models.transformer_lens_adapters import AlbertClassifierAdapter
from hc_interp.training.frozen import FrozenWeights, freeze_record
from hc_interp.training.lora import LoraSettings

BATCH = tiny_batch(4)
SITES = [hc.Site(layer, kind) for layer in range(3) for kind in ("q", "z", "mlp_out", "resid_post")]
CLASS = "AlbertForSequenceClassification"
INNER = "albert.encoder.albert_layer_groups.{}.albert_layers.0."


def tiny_albert(groups: int):
    """Three layers by `groups` modules: two of them compute layers 0 and 1, and layer 2."""
    config = transformers.AlbertConfig(**{**ALBERT.tiny, "num_hidden_groups": groups})
    torch.manual_seed(0)
    module = transformers.AlbertForSequenceClassification(config).double().eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3 + (weight.ndim == 1))
    return module


@pytest.fixture(scope="module", params=[1, 2])
def model(request):
    return hc.load(tiny_albert(request.param), labels=LABELS, backend="nnsight")


@torch.no_grad()
def test_every_call_is_a_layer(model) -> None:
    logits, seen = Twin(model.module).run(BATCH)
    run = model.run(BATCH, capture=SITES)
    torch.testing.assert_close(run.logits, logits, atol=1e-10, rtol=0)
    for site in SITES:
        torch.testing.assert_close(run.captured[site], seen[site.layer, site.kind], atol=1e-10, rtol=0)
    assert not torch.allclose(seen[0, "z"], seen[1, "z"])


@torch.no_grad()
def test_the_module_keeps_its_own_layers(model) -> None:
    groups = model.module.albert.encoder.albert_layer_groups
    assert len(groups) == model.module.config.num_hidden_groups < 3
    assert sum(weight.numel() for weight in model.module.parameters()) == sum(
        weight.numel() for weight in tiny_albert(len(groups)).parameters()
    )
    assert len(model.nnsight.albert.encoder.albert_layer_groups) == 3  # so that each layer can be reached
    torch.testing.assert_close(model.bridge(BATCH.input_ids, **model.geometry.inputs(BATCH)), model.logits(BATCH))


@torch.no_grad()
def test_plain_transformer_lens_has_hooks_on_each_layer(model) -> None:
    """No hc_interp model: the adapter that its entry point names unrolls the module itself."""
    ArchitectureAdapterFactory.register_adapter(CLASS, AlbertClassifierAdapter)
    module = copy.deepcopy(model.module)
    bridge = build_bridge_from_module(module, CLASS, hf_config=module.config, tokenizer=None).eval()
    logits, cache = bridge.run_with_cache(
        BATCH.input_ids, names_filter="blocks.1.attn.o.hook_in", **model.geometry.inputs(BATCH)
    )
    run = model.run(BATCH, capture=hc.Site(1, "z"))
    torch.testing.assert_close(logits, run.logits)
    torch.testing.assert_close(cache["blocks.1.attn.o.hook_in"], run.captured[hc.Site(1, "z")])


@torch.no_grad()
def test_an_unrolled_tree_computes_the_same_with_its_own_weights() -> None:
    module = tiny_albert(2)
    inputs = {"attention_mask": BATCH.attention_mask, "token_type_ids": BATCH.token_type_ids}
    expected = module(BATCH.input_ids, **inputs).logits
    own = unroll(tiny_albert(2), ALBERT, share=False)
    assert own.config.num_hidden_groups == 3
    assert torch.equal(own(BATCH.input_ids, **inputs).logits, expected)
    own.get_parameter(f"{INNER.format(0)}ffn.weight").zero_()
    assert own.get_parameter(f"{INNER.format(1)}ffn.weight").all()


@torch.no_grad()
def test_a_subnetwork_is_a_module_whose_layers_differ(model, tmp_path) -> None:
    """transformers reads it again: a head that only one layer lacks needs weights of that layer's own."""
    means = hc.mean_activations(model, tiny_batch(6, seed=3), positional=False)
    found = hc.Subnetwork(model.components, model.components).without(["L1H0", "L2MLP"])
    found.apply(model, means).save_pretrained(tmp_path / "cut")
    again = transformers.AlbertForSequenceClassification.from_pretrained(tmp_path / "cut", dtype=torch.float64)
    assert again.config.num_hidden_groups == 3
    torch.testing.assert_close(
        again(BATCH.input_ids, **model.geometry.inputs(BATCH)).logits,
        model.logits(BATCH, hc.Keep(found, means)),
        atol=1e-10,
        rtol=0,
    )


def test_gradients_of_all_calls_are_summed(model) -> None:
    """A head that is ablated in one layer still gets the gradient of the other layers that share its weights."""
    training = TrainableModel(model, trainable_module(model))
    training.logits(BATCH, hc.Ablate("L1H0", 0))[:, 0].sum().backward()
    plain = trainable_module(model).requires_grad_(True)
    twin = Twin(plain)

    def ablated(z):
        return torch.cat([torch.zeros_like(z[:, :, :1]), z[:, :, 1:]], dim=2)

    with torch.enable_grad():
        twin.run(BATCH, {(1, "z"): ablated})[0][:, 0].sum().backward()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(training.module.get_parameter(name).grad, weight.grad, atol=1e-10, rtol=0)


def test_frozen_weights_are_those_of_all_calls(model) -> None:
    """And the card names the components that stand still with the one that was frozen."""
    frozen = FrozenWeights.of(model, [hc.Head(1, 2)])
    assert {part.name.split("attention.")[0] for part in frozen.slices} == {INNER.format(0)}
    shared = ["L0H2"] if model.module.config.num_hidden_groups == 2 else ["L0H2", "L2H2"]
    assert freeze_record(model, [hc.Head(1, 2)]) == [{"component": "L1H2", "weights_shared_with": shared}]
    assert len(LoraSettings.of(2, model.own_geometry).targets) == 6 * model.module.config.num_hidden_groups


@torch.no_grad()
def test_a_path_goes_from_one_call_to_another() -> None:
    """Also of the same head. No call reads a later one."""
    model = hc.load(tiny_module(CLASS), labels=LABELS, backend="nnsight")
    plain = model.logits(BATCH)
    path = model.logits(BATCH, hc.PatchPath("L0H1", "L2H1", source=0))
    assert (path - plain).abs().max() > 1e-4
    back = model.logits(BATCH, hc.PatchPath("L2H1", "L0H1", source=0))
    assert torch.equal(back, plain)


def test_several_layers_in_a_call_are_refused_by_the_field() -> None:
    config = transformers.AlbertConfig(**{**ALBERT.tiny, "inner_group_num": 2})
    with pytest.raises(hc.ModelError, match=r"says inner_group_num=2; expected 1"):
        hc.load(transformers.AlbertForSequenceClassification(config), labels=LABELS)


def test_a_config_that_says_another_number_of_modules_is_refused() -> None:
    module = tiny_albert(2)
    module.config.num_hidden_groups = 1
    with pytest.raises(hc.ModelError, match=r"has 2 layers and its config says 1.*num_hidden_groups=2"):
        hc.load(module, labels=LABELS)


def test_a_family_that_does_not_say_that_layers_share_a_module_is_refused() -> None:
    with pytest.raises(hc.ModelError, match=r"no module there|layers"):
        hc.load(tiny_albert(2), labels=LABELS, backend="nnsight", family=replace(FAMILIES[CLASS], modules=None))
