"""The package as a TransformerLens plugin: entry points name real adapters; plain TransformerLens code uses them."""

import copy
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch
from tiny import LABELS, tiny_batch, tiny_module
from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES, ArchitectureAdapterFactory
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.sources import build_bridge_from_module

from hc_interp.models.families import FAMILIES
from hc_interp.models.geometry import Geometry
from hc_interp.models.load import load

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


# TransformerLens takes the attention of decoders apart, and rounds otherwise than the module. In Llama's own classes
# TransformerLens multiplies by a softmax that it took in float32.
CLOSE = {"atol": 1e-7, "rtol": 1e-7}


def memory(module) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in module.parameters()}


def entry_points() -> dict[str, str]:
    return tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]["transformer_lens.architectures"]


def adapter_at(target: str) -> type:
    module, name = target.split(":")
    return getattr(import_module(module), name)


def test_entry_points_are_the_adapters() -> None:
    adapted = {name: family for name, family in FAMILIES.items() if family.adapter is not None}
    classifiers = {name: family.adapter for name, family in adapted.items() if family.readout != "vocabulary"}
    assert entry_points() == classifiers
    assert all(issubclass(adapter_at(family.adapter), ArchitectureAdapter) for family in adapted.values())


def test_plain_transformer_lens(family) -> None:
    """What a user of TransformerLens writes: no hc_interp model anywhere."""
    module, batch = tiny_module(family), tiny_batch(4)
    architecture = type(module).__name__
    inputs = Geometry.of(module).inputs(batch)
    with torch.no_grad():
        plain = module(batch.input_ids, **inputs).logits
    ArchitectureAdapterFactory.register_adapter(architecture, adapter_at(entry_points()[architecture]))
    bridge = build_bridge_from_module(
        copy.deepcopy(module), architecture, hf_config=module.config, tokenizer=None
    ).eval()
    with torch.no_grad():
        torch.testing.assert_close(bridge(batch.input_ids, **inputs), plain, **CLOSE)
        logits, cache = bridge.run_with_cache(batch.input_ids, names_filter="blocks.1.attn.o.hook_in", **inputs)
    torch.testing.assert_close(logits, plain, **CLOSE)
    assert cache["blocks.1.attn.o.hook_in"].shape == (4, 9, 3, 8)


def test_an_installed_package_is_found_by_transformer_lens() -> None:
    """In a process that never imports hc_interp itself: what a user of TransformerLens has after `pip install`."""
    code = (
        "import torch\n"
        "from tiny import tiny_batch, tiny_module\n"
        "from transformer_lens.model_bridge.sources import build_bridge_from_module\n"
        "module, batch = tiny_module('gpt2'), tiny_batch(2)\n"
        "name = type(module).__name__\n"
        "bridge = build_bridge_from_module(module, name, hf_config=module.config, tokenizer=None).eval()\n"
        "print(type(bridge.adapter).__module__, tuple(bridge(batch.input_ids).shape))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert process.stdout.split(None, 1) == ["hc_interp.models.transformer_lens_adapters", "(2, 3)\n"], process.stderr
    assert "override a native adapter" not in process.stderr


def test_no_entry_point_is_that_of_a_native_adapter() -> None:
    """TransformerLens would warn of it, and take its own."""
    assert not set(entry_points()) & set(SUPPORTED_ARCHITECTURES)


def test_the_bridge_of_a_model_is_over_its_parameters(family) -> None:
    module = tiny_module(family)
    names = list(module.state_dict())
    model = load(module, labels=LABELS)
    assert list(model.module.state_dict()) == list(module.state_dict()) == names
    own = memory(model.module)  # TransformerLens splits a joint projection into views of it
    assert memory(model.bridge) == own
    assert not own & memory(module)


def test_the_nnsight_object_is_over_the_same_parameters(tiny_bert) -> None:
    own = {tensor.data_ptr() for tensor in tiny_bert.module.parameters()}
    assert {tensor.data_ptr() for tensor in tiny_bert.nnsight._module.parameters()} == own


@pytest.mark.parametrize("place", ["bert.encoder.layer.1.output.dense.weight", "classifier.bias"])
def test_a_changed_weight_is_seen_by_the_bridge(place) -> None:
    model, batch = load(tiny_module(), labels=LABELS), tiny_batch(2)
    before = model.logits(batch)
    model.module.get_parameter(place).mul_(2)
    after = model.logits(batch)
    assert not torch.allclose(before, after)
    assert torch.equal(after, model.module(batch.input_ids, **model.geometry.inputs(batch)).logits)
