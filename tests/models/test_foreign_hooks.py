"""What hangs on a module beside its weights: refused or stripped at loading, refused afterwards; families, backends."""

import copy
import functools
import pickle
import types
import warnings
from functools import cache

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, ModelHook, SequentialHook, add_hook_to_module
from path_pairs import make_pairs
from tiny import FAMILIES, LABELS, tiny_batch, tiny_module
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import hc_interp as hc
from hc_interp.errors import HCWarning, ModelError
from hc_interp.models import foreign_hooks
from hc_interp.models.geometry import Geometry
from hc_interp.models.load import load

BACKENDS = ["transformer_lens", "nnsight"]
BATCH = tiny_batch(4)


def mlp_out(module) -> str:
    return Geometry.of(module).path("mlp_out", 1)


def plain_logits(module):
    with torch.no_grad():
        return module.eval()(BATCH.input_ids, **Geometry.of(module).inputs(BATCH)).logits


class Scaled(nn.Module):
    def forward(self, weight):
        return weight * 0.3


def scale_forward(part) -> None:
    part.forward = types.MethodType(lambda self, x: type(self).forward(self, x) * 0.3, part)


def scale_under_accelerate(part) -> None:
    scale_forward(part)
    add_hook_to_module(part, AlignDevicesHook(execution_device="cpu"))


class ScalingHook(ModelHook):
    def post_forward(self, module, output):
        return output * 0.3


HOOKS = {
    "forward hook": lambda part: part.register_forward_hook(lambda module, args, output: output * 0.3),
    "forward pre-hook": lambda part: part.register_forward_pre_hook(lambda module, args: (args[0] * 0.3,)),
    "backward hook": lambda part: part.register_full_backward_hook(lambda module, given, out: None),
    "backward pre-hook": lambda part: part.register_full_backward_pre_hook(lambda module, out: None),
    "forward function of its own": scale_forward,
    "forward function of its own under accelerate": scale_under_accelerate,
    "forward function of its own by accelerate": lambda part: add_hook_to_module(part, ScalingHook()),
    "forward function of its own in a chain": lambda part: add_hook_to_module(
        part, SequentialHook(AlignDevicesHook(execution_device="cpu"), ScalingHook())
    ),
}
WEIGHTS = {  # what is computed from other weights keeps its value
    "pruning mask on weight": lambda part: prune.random_unstructured(part, "weight", 0.5),
    "WeightNorm of weight": lambda part: weight_norm(part),
    "SpectralNorm of weight": lambda part: torch.nn.utils.spectral_norm(part),
    "parametrization of weight": lambda part: parametrize.register_parametrization(part, "weight", Scaled()),
    "parametrization of weight, normed": lambda part: parametrizations.weight_norm(part),
    "parametrization of weight, spectral": lambda part: parametrizations.spectral_norm(part),
}


def weight_norm(part) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.nn.utils.weight_norm(part)


def spread(kinds, *one: str) -> list[tuple[str, str, str]]:
    """All kinds on a BERT by both backends; of the other families those in `one`, by the backends in turn."""
    others = [(name, kind) for name in FAMILIES if name != "bert" for kind in one]
    return [("bert", kind, backend) for kind in kinds for backend in BACKENDS] + [
        (name, kind, BACKENDS[i % 2]) for i, (name, kind) in enumerate(others)
    ]


@cache
def without_hooks(family: str, backend: str = "transformer_lens"):
    """The family's model that never had any. It is shared: tests only run it."""
    return load(tiny_module(family), labels=LABELS, backend=backend)


def carry(family: str, kind: str, seed: int = 0):
    """A module with a foreign hook at the output of an MLP, and the place."""
    module = tiny_module(family, seed)
    place = mlp_out(module)
    part = module.get_submodule(place)
    if not isinstance(part, nn.Linear) and "norm" in kind.lower():
        pytest.skip("torch's norms are of linear layers")
    {**HOOKS, **WEIGHTS}[kind](part)
    return module, place


@pytest.mark.parametrize("kind", [*HOOKS, *WEIGHTS])
def test_foreign_hooks_are_refused_by_name(family, kind) -> None:
    module, place = carry(family, kind)
    shown = kind.split(" under ")[0].split(" by ")[0].split(" in a ")[0].split(",")[0]
    with pytest.raises(ModelError, match=rf"carries 1 foreign .*{place}: a? ?{shown}.*foreign_hooks='strip'"):
        load(module, labels=LABELS)


@pytest.mark.parametrize("place", ["", "bert", "bert.encoder.layer.0.intermediate.dense", "classifier"])
def test_a_hook_anywhere_is_found(place) -> None:
    module = tiny_module()
    module.get_submodule(place).register_forward_hook(lambda *args: None)
    with pytest.raises(ModelError, match=place or "BertForSequenceClassification: a forward hook"):
        load(module, labels=LABELS)
    with pytest.raises(ModelError, match=place or "BertForSequenceClassification: a forward hook"):
        hc.HookedModel(module, labels=LABELS)


@pytest.mark.parametrize(("family", "kind", "backend"), spread(HOOKS, "forward hook"))
def test_stripped_hooks_are_not_applied(family, kind, backend) -> None:
    module, place = carry(family, kind)
    with pytest.warns(HCWarning, match=f"leaves out 1 foreign .*{place}"):
        model = load(module, labels=LABELS, backend=backend, foreign_hooks="strip")
    plain = without_hooks(family, backend)
    assert torch.equal(model.logits(BATCH), plain.logits(BATCH))
    assert model.fingerprint == plain.fingerprint
    assert not foreign_hooks.foreign_hooks(model.module)
    assert foreign_hooks.foreign_hooks(module), "the module that was given keeps its hooks"


@pytest.mark.parametrize(("family", "kind", "backend"), spread(WEIGHTS, "pruning mask on weight"))
def test_computed_weights_stay_what_they_are(family, kind, backend) -> None:
    module, _ = carry(family, kind)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.warns(HCWarning, match="parametrized weights are kept"):
        model = load(module, labels=LABELS, backend=backend, foreign_hooks="strip")
    torch.testing.assert_close(model.logits(BATCH), plain_logits(module), atol=1e-10, rtol=0)
    assert sorted(model.module.state_dict()) == sorted(tiny_module(family).state_dict())
    assert foreign_hooks.foreign_hooks(module)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_the_users_hooks_are_never_called(family) -> None:
    module, calls = tiny_module(family), []
    held = module.get_submodule(mlp_out(module)).register_forward_hook(lambda *args: calls.append(1))
    with pytest.warns(HCWarning):
        model = load(module, labels=LABELS, foreign_hooks="strip")
    model.logits(BATCH)
    hc.path_effects(model, make_pairs(3), "L0H1", "L2H1")
    assert not calls
    assert list(held.hooks_dict_ref()), "the hook is still there"
    plain_logits(module)
    assert calls


def test_a_hook_that_cannot_be_copied_does_not_hinder(family) -> None:
    class Watch:
        def __deepcopy__(self, memo):
            raise TypeError("not to be copied")

        def __call__(self, *args):
            return None

    module = tiny_module(family)
    module.register_forward_hook(Watch())
    with pytest.warns(HCWarning, match="forward hook, Watch"):
        load(module, labels=LABELS, foreign_hooks="strip")


def test_a_plain_module_warns_of_nothing_and_a_wrong_choice_is_an_error(recwarn) -> None:
    load(tiny_module(), labels=LABELS, foreign_hooks="strip")
    assert not [warning for warning in recwarn if issubclass(warning.category, HCWarning)]
    with pytest.raises(ModelError, match="foreign_hooks='keep'; choose one of refuse, strip"):
        load(tiny_module(), labels=LABELS, foreign_hooks="keep")


@pytest.mark.parametrize("backend", BACKENDS)
def test_hooks_of_a_device_map_are_known(family, backend) -> None:
    module, plain = tiny_module(family), without_hooks(family, backend)
    for part in list(module.modules()):
        if any(True for _ in part.parameters(recurse=False)):
            hook = AlignDevicesHook(execution_device="cpu", io_same_device=True)
            add_hook_to_module(part, SequentialHook(hook))
    module.to = functools.partial(pytest.fail, "accelerate binds `to` to the module that was given")
    model = load(module, labels=LABELS, backend=backend)
    assert torch.equal(model.logits(BATCH), plain.logits(BATCH))
    stripped, expected = (
        hc.path_effects(each, make_pairs(3), "L0H1", ["L2H1", "L1MLP"], "each") for each in (model, plain)
    )
    assert torch.equal(stripped.effects, expected.effects)
    assert torch.equal(copy.deepcopy(model).logits(BATCH), plain.logits(BATCH))


def test_dispatched_models_load(family) -> None:
    from accelerate import dispatch_model

    module = dispatch_model(tiny_module(family), {"": "cpu"}, force_hooks=True)
    model = load(module, labels=LABELS)
    assert torch.equal(model.logits(BATCH), without_hooks(family).logits(BATCH))
    model.module.to(torch.float32)
    assert next(module.parameters()).dtype == torch.float64


def test_transformers_own_hooks_are_known(family) -> None:
    """They stay on a module that was once asked for hidden states, and change nothing."""
    module = tiny_module(family)
    expected = plain_logits(module)
    with torch.no_grad():
        module(BATCH.input_ids, attention_mask=BATCH.attention_mask, output_hidden_states=True)
    assert any(part._forward_hooks for part in module.modules())
    model = load(module, labels=LABELS)
    torch.testing.assert_close(model.logits(BATCH), expected, atol=1e-13, rtol=0)
    fresh = load(tiny_module(family), labels=LABELS)
    with torch.no_grad():
        fresh.module(BATCH.input_ids, attention_mask=BATCH.attention_mask, output_hidden_states=True)
    torch.testing.assert_close(fresh.logits(BATCH), expected, atol=1e-13, rtol=0)


def replace_head(module) -> None:
    parent, _, name = Geometry.of(module).path("head").rpartition(".")
    module.get_submodule(parent).register_module(name, nn.Linear(24, 3).double())


def assign_parameter(module) -> None:
    part = module.get_submodule(mlp_out(module))
    part.weight = nn.Parameter(part.weight * 2)


def set_data(module) -> None:
    part = module.get_submodule(mlp_out(module))
    part.weight.data = part.weight.data * 2


def take_bias(module) -> None:
    Geometry.of(module).part("norm_1", 0).weight = None


CHANGES = {
    "replaced": replace_head,
    "was replaced": assign_parameter,
    "other memory": set_data,
    "added": lambda module: module.register_buffer("mine", torch.zeros(1)),
    "forward hook": lambda module: HOOKS["forward hook"](module.get_submodule(mlp_out(module))),
    "forward pre-hook": lambda module: HOOKS["forward pre-hook"](module.get_submodule(mlp_out(module))),
    "forward function of its own": lambda module: scale_forward(module.get_submodule(mlp_out(module))),
    "pruning mask on weight": lambda module: prune.random_unstructured(
        module.get_submodule(mlp_out(module)), "weight", 0.5
    ),
    "removed": take_bias,
    "parametrization of weight": lambda module: parametrize.register_parametrization(
        module.get_submodule(mlp_out(module)), "weight", Scaled()
    ),
}
PUBLIC = {
    "run": lambda model: model.run(BATCH),
    "logits": lambda model: model.logits(BATCH),
    "tail": lambda model: model.run_edits(BATCH, [], start=(1, torch.zeros(4, 9, 24, dtype=torch.float64))),
    "bridge": lambda model: model.bridge,
    "nnsight": lambda model: model.nnsight,
    "fingerprint": lambda model: model.fingerprint,
    "path_effects": lambda model: hc.path_effects(model, make_pairs(3), "L0H1", "L2H1"),
    "reads_from": lambda model: hc.reads_from(
        model, {"order": make_pairs(3)}, core=["L0H1", "L0H2"], generalizing=["L2H1"], n_permutations=9
    ),
    "mean_activations": lambda model: hc.mean_activations(model, BATCH),
}


@pytest.mark.parametrize(("family", "change", "backend"), spread(CHANGES, "replaced", "was replaced"))
def test_a_module_that_is_changed_after_loading_is_an_error(family, change, backend) -> None:
    model = load(tiny_module(family), labels=LABELS, backend=backend)
    assert model.bridge is model.bridge
    model.logits(BATCH), model.nnsight, model.fingerprint, model.tail(1)
    CHANGES[change](model.module)
    for call in PUBLIC.values():
        with pytest.raises(ModelError, match=rf"is not the one that was wrapped.*{change}.*hc\.load\(module"):
            call(model)


def test_the_changed_module_can_be_wrapped_again(family) -> None:
    model = load(tiny_module(family), labels=LABELS)
    replace_head(model.module)
    expected = plain_logits(model.module)
    for again in (model.copy(), load(model.module, labels=LABELS)):
        torch.testing.assert_close(again.logits(BATCH), expected, atol=1e-12, rtol=0)
        hc.path_effects(again, make_pairs(3), "L0H1", "L2H1")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_edit_in_place_reaches_everything(family, backend) -> None:
    model = load(tiny_module(family), labels=LABELS, backend=backend)
    args = make_pairs(3), "L0H1", ["L2H1", "output"]
    before, names = hc.path_effects(model, *args).effects, [model.fingerprint]
    with torch.no_grad():
        for name in ("q", "mlp_out"):
            model.geometry.part(name, 1).weight.mul_(1.5)
            names.append(model.fingerprint)
    fresh = load(copy.deepcopy(model.module), labels=LABELS, backend=backend)
    after = hc.path_effects(model, *args)
    assert not torch.allclose(after.effects, before)
    assert torch.equal(after.effects, hc.path_effects(fresh, *args).effects)
    assert torch.equal(model.logits(BATCH), fresh.logits(BATCH))
    assert len(set(names)) == 3
    assert after.provenance["model"] == fresh.fingerprint == names[-1]


def test_copies_pickles_and_tails_are_checked_too(tiny_bert) -> None:
    for other in (tiny_bert.copy(), copy.deepcopy(tiny_bert), pickle.loads(pickle.dumps(tiny_bert))):
        assert torch.equal(other.logits(BATCH), tiny_bert.logits(BATCH))
        replace_head(other.module)
        with pytest.raises(ModelError, match="classifier was replaced"):
            other.logits(BATCH)
    hooked = tiny_bert.copy()
    HOOKS["forward hook"](hooked.module.classifier)
    with pytest.raises(ModelError, match="carries 1 foreign"):
        hooked.copy()


def test_checkpoints_from_folders_carry_none(tmp_path, recwarn) -> None:
    tiny_module(dtype=torch.float32).save_pretrained(tmp_path)
    load(tmp_path, labels=LABELS, device="cpu")
    assert not [warning for warning in recwarn if issubclass(warning.category, HCWarning)]


REGISTER = {
    "forward hook": torch.nn.modules.module.register_module_forward_hook,
    "forward pre-hook": torch.nn.modules.module.register_module_forward_pre_hook,
    "backward hook": torch.nn.modules.module.register_module_full_backward_hook,
    "backward pre-hook": torch.nn.modules.module.register_module_full_backward_pre_hook,
}


@pytest.fixture
def everywhere():
    """Registers a hook for all modules, and takes it off in the end."""
    handles = []

    def halve_all(*args):
        return None

    yield lambda kind: handles.append(REGISTER[kind](halve_all))
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("choice", ["refuse", "strip"])
@pytest.mark.parametrize("kind", REGISTER)
def test_hooks_for_all_modules_are_refused(family, kind, choice, everywhere, tmp_path) -> None:
    tiny_module(family).save_pretrained(tmp_path)
    everywhere(kind)
    for source in (tiny_module(family), tmp_path):
        with pytest.raises(ModelError, match=rf"while torch calls a global {kind}, .*halve_all.*handle\.remove\(\)"):
            load(source, labels=LABELS, foreign_hooks=choice, device="cpu")


@pytest.mark.parametrize("backend", BACKENDS)
def test_hooks_for_all_modules_after_loading_are_refused(family, backend, everywhere) -> None:
    model = load(tiny_module(family), labels=LABELS, backend=backend)
    before = model.logits(BATCH)
    everywhere("forward hook")
    for call in PUBLIC.values():
        with pytest.raises(ModelError, match="while torch calls a global forward hook"):
            call(model)
    torch.nn.modules.module._global_forward_hooks.clear()
    assert torch.equal(model.logits(BATCH), before)


def test_torchs_own_tracking_of_passes_is_known(family) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = load(tiny_module(family), labels=LABELS)
    expected = model.logits(BATCH)
    with FlopCounterMode(display=False) as counter:
        assert torch.equal(model.logits(BATCH), expected)
    assert counter.get_total_flops() > 0
