"""Live modules that are not what they seem: wrapped, empty, or of other parts than their class makes."""

import pytest
import torch
import transformers
from accelerate import cpu_offload, disk_offload, init_empty_weights
from checkpoints import TEXTS, name_labels
from path_pairs import make_pairs
from texts import word_tokenizer
from tiny import FAMILIES, LABELS, LANGUAGE_MODELS, WINDOWED, tiny_batch, tiny_module
from torch import nn
from torch.nn.utils import prune

import hc_interp as hc
from hc_interp.errors import ModelError
from hc_interp.models.geometry import Geometry
from hc_interp.models.load import load

BACKENDS = ["transformer_lens", "nnsight"]
ALL = sorted({**FAMILIES, **WINDOWED, **LANGUAGE_MODELS})


def labels_of(kind):
    return None if kind in LANGUAGE_MODELS else LABELS


def put(module, place, part):
    parent, _, name = place.rpartition(".")
    setattr(module.get_submodule(parent), name, part)


class LowRank(nn.Module):
    """A projection in two factors, as compression makes it."""

    def __init__(self, linear) -> None:
        super().__init__()
        weight = linear.weight if isinstance(linear, nn.Linear) else linear.weight.T
        u, s, v = torch.linalg.svd(weight, full_matrices=False)
        self.up, self.down, self.bias = nn.Parameter(u * s), nn.Parameter(v), linear.bias

    def forward(self, x):
        y = x @ self.down.T @ self.up.T
        return y if self.bias is None else y + self.bias


class Doubled(nn.Module):
    """A norm that is scaled; its weight is the plain one's."""

    def __init__(self, norm) -> None:
        super().__init__()
        self.norm, self.weight = norm, norm.weight

    def forward(self, x):
        return 2 * self.norm(x)


class DoubledLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def doubled(linear):
    part = DoubledLinear(linear.in_features, linear.out_features, linear.bias is not None).double()
    part.load_state_dict(linear.state_dict())
    return part


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ALL)
def test_replaced_parts_are_refused_by_place(kind, backend) -> None:
    for part, make in (
        ("q", LowRank), ("k", LowRank), ("o", LowRank), ("mlp_out", LowRank), ("head", LowRank), ("norm_1", Doubled),
        ("norm_2", Doubled), ("q", lambda part: nn.Sequential(part)), ("v", doubled), ("mlp_out", doubled),
        ("q_norm", Doubled), ("norm_final", Doubled), ("mlp_in", LowRank), ("block", nn.Sequential),
    ):  # fmt: skip
        module = tiny_module(kind)
        geometry = Geometry.of(module)
        if getattr(geometry.family, part) is None or (make is doubled and "gpt2" in kind):
            continue
        place = geometry.path(part, 1)
        put(module, place, make(module.get_submodule(place)))
        with pytest.raises(ModelError, match=rf"{place} of .* is a .*, not a .*merge_and_unload") as caught:
            load(module, labels=labels_of(kind), backend=backend)
        assert type(module.get_submodule(place)).__name__ in str(caught.value)


def test_an_attention_of_ones_own_is_refused(family) -> None:
    module = tiny_module(family)
    geometry = Geometry.of(module)
    place = f"{geometry.path('block', 2)}.{geometry.attention}"

    class Mine(type(module.get_submodule(place))):
        def forward(self, *args, **given):
            return super().forward(*args, **given)

    module.get_submodule(place).__class__ = Mine
    with pytest.raises(ModelError, match=rf"{place} of .* is a .*Mine, not a "):
        load(module, labels=LABELS)


def test_a_subclass_that_computes_the_same_is_taken(family) -> None:
    class Named(nn.Linear):
        """A linear layer that knows its name."""

    module, place = tiny_module(family), Geometry.of(tiny_module(family)).path("v", 0)
    part = module.get_submodule(place)
    if isinstance(part, nn.Linear):
        part.__class__ = Named
    assert torch.equal(load(module, labels=LABELS).logits(tiny_batch(3)), load(
        tiny_module(family), labels=LABELS).logits(tiny_batch(3)))  # fmt: skip


def test_dynamically_quantized_modules_are_refused(family) -> None:
    module = torch.ao.quantization.quantize_dynamic(tiny_module(family).float(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(ModelError, match=r"is a torch\.ao\.nn\.quantized\.dynamic.*Linear, not a "):
        load(module, labels=LABELS)


def cut_heads(module) -> None:
    """One head less in layer 1, as pruning for speed makes it."""
    geometry = Geometry.of(module)
    for name in ("q", "k", "v"):
        part = geometry.part(name, 1)
        if isinstance(part, nn.Linear):
            part.weight = nn.Parameter(part.weight[:-8])
            part.bias = None if part.bias is None else nn.Parameter(part.bias[:-8])
    out = geometry.part("o", 1)
    linear = isinstance(out, nn.Linear)
    out.weight = nn.Parameter(out.weight[:, :-8] if linear else out.weight[:-8])


def test_pruned_heads_are_refused_by_place(family) -> None:
    module = tiny_module(family)
    cut_heads(module)
    with pytest.raises(
        ModelError, match=r"has a weight of shape \(.*\), not \(.*\): it was pruned or replaced.*Ablate"
    ):
        load(module, labels=LABELS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pruned_mlps_are_right(family, backend) -> None:
    """Fewer hidden units are another width, which no computation takes from the config."""
    module, expected = tiny_module(family), tiny_module(family)
    for part in [part for part in Geometry.of(module).part("block", 1).modules() if hasattr(part, "weight")]:
        rows = [axis for axis, size in enumerate(part.weight.shape) if size == 32 and part.weight.ndim == 2]
        for axis in rows:
            part.weight = nn.Parameter(part.weight.narrow(axis, 0, 20))
            if getattr(part, "bias", None) is not None and len(part.bias) == 32:
                part.bias = nn.Parameter(part.bias[:20])
            if hasattr(part, "nf") and axis == 1:
                part.nf = 20
    model = load(module, labels=LABELS, backend=backend)
    with torch.no_grad():
        plain = module(tiny_batch(3).input_ids, **Geometry.of(module).inputs(tiny_batch(3))).logits
    torch.testing.assert_close(model.logits(tiny_batch(3)), plain, atol=1e-10, rtol=0)
    assert not torch.allclose(plain, load(expected, labels=LABELS).logits(tiny_batch(3)))
    hc.path_effects(model, make_pairs(3), ["L0H1", "L1MLP"], ["L2H1", "output"])


def test_masked_weights_load_once_they_are_made_plain(family) -> None:
    module = tiny_module(family)
    part = Geometry.of(module).part("mlp_out", 1)
    prune.l1_unstructured(part, "weight", 0.5)
    with pytest.raises(ModelError, match=r"a pruning mask on weight.*prune\.remove"):
        load(module, labels=LABELS)
    prune.remove(part, "weight")
    hc.path_effects(load(module, labels=LABELS), make_pairs(3), "L0H1", "L2H1")


def test_another_number_of_layers_than_the_configs(family) -> None:
    module = tiny_module(family)
    layers = module.get_submodule(Geometry.of(module).family.blocks)
    del layers[2]
    with pytest.raises(ModelError, match=r"has 2 layers and its config says 3\. Set module.config.num_hidden_layers=2"):
        load(module, labels=LABELS)
    module.config.num_hidden_layers = 2
    assert load(module, labels=LABELS).n_layers == 2


def test_a_config_that_builds_no_module(family) -> None:
    module = tiny_module(family)
    module.config.num_attention_heads = 7
    with pytest.raises(ModelError, match=r"does not build a \w+ \(.*Put module.config right|weight of shape"):
        load(module, labels=LABELS)


def on_meta(module):
    with init_empty_weights():
        return type(module)(module.config)


def one_on_meta(module):
    part = Geometry.of(module).part("v", 2)
    part.weight = nn.Parameter(part.weight.to("meta"))
    return module


@pytest.mark.parametrize(
    "empty", [on_meta, one_on_meta, lambda m: cpu_offload(m, "cpu"), lambda m: disk_offload(m, "offloaded", "cpu")]
)
@pytest.mark.parametrize("device", [None, "cpu"])
def test_modules_without_their_weights_are_refused(family, empty, device, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = empty(tiny_module(family))
    with pytest.raises(
        ModelError, match=r"hold no values .first: .*'meta'.*offloading.*Load the module without device_map"
    ):
        load(module, labels=LABELS, device=device)


def test_a_device_without_values_is_refused(family) -> None:
    with pytest.raises(ModelError, match=r"cannot be moved to device='meta' \(it holds no values\)"):
        load(tiny_module(family), labels=LABELS, device="meta")


def test_several_devices_are_refused(family, monkeypatch) -> None:
    module = tiny_module(family)
    part = Geometry.of(module).part("v", 2)

    class Elsewhere(nn.Parameter):
        device = torch.device("cuda:1")

    part.weight = Elsewhere(part.weight)
    with pytest.raises(ModelError, match=r"is on several devices \(cpu, cuda:1\)\. Expected one"):
        load(module, labels=LABELS)


class Engine(nn.Module):
    """A wrapper as DeepSpeed's, which keeps the module in `.module`."""

    def __init__(self, module) -> None:
        super().__init__()
        self.module = module


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("wrap", "way"),
    [
        (nn.DataParallel, r"module\.module"),
        (torch.compile, r"module\._orig_mod"),
        (Engine, r"module\.module"),
        (lambda module: nn.DataParallel(torch.compile(module)), r"module\.module\._orig_mod"),
        (lambda module: nn.Sequential(module, nn.Softmax(-1)), r"module\.get_submodule\('0'\)"),
    ],
    ids=["data parallel", "compiled", "engine", "both", "sequential"],
)
def test_wrappers_are_told_what_to_pass(family, wrap, way, backend) -> None:
    with pytest.raises(ModelError, match=rf"wraps a {type(tiny_module(family)).__name__}\..*Pass hc\.load\({way}\)"):
        load(wrap(tiny_module(family)), labels=LABELS, backend=backend)


def test_a_compiled_part_is_told_too(family) -> None:
    module = tiny_module(family)
    place = Geometry.of(module).path("mlp_out", 1)
    put(module, place, torch.compile(module.get_submodule(place)))
    with pytest.raises(ModelError, match=rf"{place} of .* is compiled .torch.compile.*_orig_mod in its place"):
        load(module, labels=LABELS)


def test_a_module_that_compiles_itself_is_right(family) -> None:
    module = tiny_module(family)
    module.compile()
    assert torch.equal(load(module, labels=LABELS).logits(tiny_batch(3)), load(
        tiny_module(family), labels=LABELS).logits(tiny_batch(3)))  # fmt: skip


def test_what_holds_a_module_is_told_its_attribute(tiny_bert) -> None:
    with pytest.raises(ModelError, match=r"A HookedModel holds a module.*Pass its \.module"):
        load(tiny_bert)
    words = word_tokenizer(TEXTS)
    pipeline = transformers.pipeline("text-classification", model=name_labels(tiny_module()), tokenizer=words)
    with pytest.raises(ModelError, match=r"A TextClassificationPipeline holds a module.*Pass its \.model"):
        load(pipeline)


@pytest.mark.parametrize(
    "given",
    [
        torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)),
        transformers.BertModel,
        tiny_module().state_dict(),
        tiny_module().config,
        (tiny_module(), None),
        b"bytes",
        "",
        "a\0b",
        "x" * 5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_things_are_one_paragraph(given) -> None:
    with pytest.raises(ModelError, match=r"cannot wrap|is neither a folder") as caught:
        load(given)
    assert "\n" not in str(caught.value)
