"""The check at loading: a right model passes in any floating type, a module that does not run is blamed itself."""

import pytest
import torch
from path_pairs import make_pairs
from tiny import LABELS, tiny_batch, tiny_module
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForSequenceClassification,
)

import hc_interp as hc
from hc_interp.errors import ModelError
from hc_interp.models import transformer_lens_backend, validate
from hc_interp.models.geometry import Geometry
from hc_interp.models.load import load

BACKENDS = ["transformer_lens", "nnsight"]
_DEEP = {"vocab_size": 200, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_labels": 3}
DEEP = {  # random weights so large that rounding grows through the depth until logits have nothing in common
    "llama": lambda layers: LlamaForSequenceClassification(
        LlamaConfig(**_DEEP, num_hidden_layers=layers, num_key_value_heads=2, pad_token_id=1, initializer_range=0.3)
    ),
    "llama without padding": lambda layers: LlamaForSequenceClassification(
        LlamaConfig(**_DEEP, num_hidden_layers=layers, num_key_value_heads=2, initializer_range=0.3)
    ),
    "bert": lambda layers: BertForSequenceClassification(
        BertConfig(**_DEEP, num_hidden_layers=layers, initializer_range=0.3)
    ),
    "gpt2": lambda layers: GPT2LMHeadModel(
        GPT2Config(vocab_size=200, n_embd=64, n_head=4, n_layer=layers, initializer_range=0.3)
    ),
}


def deep(kind, layers=24):
    torch.manual_seed(0)
    return DEEP[kind](layers).eval()


def labels_of(kind):
    return None if kind == "gpt2" else LABELS


@pytest.mark.parametrize(
    ("kind", "dtype", "backend"),
    [
        ("llama", "bfloat16", "transformer_lens"),
        ("llama", "bfloat16", "nnsight"),
        ("llama", "float16", "transformer_lens"),
        ("llama without padding", "bfloat16", "transformer_lens"),
        ("bert", "bfloat16", "transformer_lens"),
        ("bert", "float16", "nnsight"),
        ("gpt2", "bfloat16", "nnsight"),
    ],
)
def test_a_deep_model_in_half_precision_is_right(kind, dtype, backend) -> None:
    model = load(deep(kind), labels=labels_of(kind), dtype=dtype, backend=backend)
    if (kind, dtype, backend) == ("llama", "bfloat16", "transformer_lens"):
        batch = tiny_batch(3)
        with torch.no_grad():
            whole = model.module(batch.input_ids, **model.geometry.inputs(batch)).logits
        difference = float((model.logits(batch) - whole).abs().max())
        assert difference > 0.05 * float(whole.abs().max()), "through the whole depth its rounding is more than allowed"


def with_large_scores(factor: float) -> nn.Module:
    """The softmax of its scores changes by much when they are rounded."""
    module = deep("bert", 4)
    for layer in range(4):
        Geometry.of(module).part("q", layer).weight.data.mul_(factor)
    return module


@pytest.mark.parametrize(("dtype", "factor"), [("bfloat16", 8), ("float32", 64)])
def test_large_scores_are_right(dtype, factor) -> None:
    load(with_large_scores(factor), labels=LABELS, dtype=dtype)


def test_a_wrong_pattern_is_not_taken_for_a_rounded_one(monkeypatch) -> None:
    check = validate._check_layer

    def with_wrong_pattern(model, layer, at, *rest):
        check(model, layer, at | {"pattern": 0.99 * at["pattern"]}, *rest)

    monkeypatch.setattr(validate, "_check_layer", with_wrong_pattern)
    with pytest.raises(ModelError, match=r"is wrong at L0\.pattern applied to v"):
        load(with_large_scores(64), labels=LABELS)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("tap", "wrong"),
    [
        ("q", "blocks.{}.attn.k.hook_out"),
        ("k", "blocks.{}.attn.q.hook_out"),
        ("v", "blocks.{}.attn.k.hook_out"),
        ("z", "blocks.{}.attn.v.hook_out"),
        ("attn_out", "blocks.{}.mlp.out.hook_out"),
        ("mlp_out", "blocks.{}.attn.o.hook_out"),
    ],
)
def test_a_wrong_tap_is_caught_in_half_precision_too(monkeypatch, dtype, tap, wrong) -> None:
    monkeypatch.setitem(transformer_lens_backend.HOOK_NAMES, tap, wrong)
    for kind in ("llama", "bert", "gpt2"):
        with pytest.raises(ModelError, match=r"is wrong at (L0|a site)"):
            load(deep(kind, 3), labels=labels_of(kind), dtype=dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
@pytest.mark.parametrize("part", ["mlp_out", "block", "norm_1"])
def test_a_tree_that_computes_something_else_is_caught_at_its_layer(monkeypatch, family, part, dtype) -> None:
    """Where the wrapper's own copy differs from the module in layer 1, as a faulty adapter would make it."""
    plain = transformer_lens_backend.share_tree

    def differ(module):
        tree = plain(module)
        part_of_tree = tree.get_submodule(Geometry.of(tree).path(part, 1))
        part_of_tree.register_forward_hook(
            lambda block, given, out: (out[0] * 1.5, *out[1:]) if isinstance(out, tuple) else out * 1.5
        )
        return tree

    monkeypatch.setattr("hc_interp.models.hooked.share_tree", differ)
    with pytest.raises(ModelError, match=r"The wrapper of .* is wrong at .*report this message"):
        load(tiny_module(family), labels=LABELS, dtype=dtype, backend="nnsight")


def narrow(module) -> None:
    table = module.get_input_embeddings()
    table.weight = nn.Parameter(table.weight[:, :-3])


def break_pooling(module) -> None:
    Geometry.of(module).part("head").weight = nn.Parameter(torch.zeros(3, 5, dtype=torch.float64))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("damage", [narrow, break_pooling])
def test_a_module_that_does_not_run_is_blamed_itself(family, damage, backend) -> None:
    module = tiny_module(family)
    damage(module)
    with pytest.raises(ModelError, match=r"does not run by itself, unwrapped \(RuntimeError: .*load it then") as caught:
        load(module, labels=LABELS, backend=backend)
    assert "report" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_too_large_for_the_type_are_blamed_on_it(family, backend) -> None:
    module = tiny_module(family)
    weight = Geometry.of(module).part("head").weight
    weight.data.copy_(weight.sign() * 6e4)
    load(module, labels=LABELS, backend=backend)
    load(module, labels=LABELS, backend=backend, dtype="bfloat16")
    with pytest.raises(
        ModelError, match=r"gives NaN or infinite logits in float16\. Load it in float32.*--dtype float32"
    ):
        load(module, labels=LABELS, backend=backend, dtype="float16")


def test_weights_too_large_for_the_type_are_blamed_on_it(family) -> None:
    module = tiny_module(family)
    Geometry.of(module).part("head").weight.data.mul_(1e6)
    with pytest.raises(ModelError, match=r"infinite values in its weights.*do not fit into float16.*--dtype float32"):
        load(module, labels=LABELS, dtype="float16")


def test_ripples_that_leave_float16_do_not_refuse_a_model(family) -> None:
    module = tiny_module(family)
    Geometry.of(module).part("head").weight.data.mul_(2e4)
    model = load(module, labels=LABELS)
    largest = float(model.logits(tiny_batch(3)).abs().max())
    Geometry.of(module).part("head").weight.data.mul_(3e4 / largest)
    load(module, labels=LABELS, dtype="float16")


def test_nothing_is_left_on_the_module(family) -> None:
    model = load(tiny_module(family), labels=LABELS)
    assert not any(part._forward_hooks for part in model.module.modules())
    hc.path_effects(model, make_pairs(3), "L0H1", "L2H1")
