"""The backends are one: same logits, captures, gradients and path effects, and nothing left behind by either."""

import sys
import weakref

import pytest
import torch
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.errors import ModelError
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Keep, Scale, SoftMask
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sites import Edit, Patch, Steer
from hc_interp.models.forward import SiteEdit
from hc_interp.models.load import load
from hc_interp.models.nnsight_backend import NNsightBackend
from hc_interp.models.site import HEAD_KINDS, LAYER_KINDS, Site
from hc_interp.models.taps import TAP_SHAPES, Tap
from hc_interp.models.transformer_lens_backend import TransformerLensBackend
from hc_interp.patching.path_effects import path_effects
from hc_interp.subnetwork import Subnetwork

CLOSE = {"atol": 1e-10, "rtol": 0}
SITES = [Site.embed(), *(Site(layer, kind) for layer in range(3) for kind in LAYER_KINDS), Site.pooled()]
EDITED = [Site.embed(), *(Site(1, kind) for kind in LAYER_KINDS), Site.pooled()]
EDITED += [Site(1, kind, head=2) for kind in LAYER_KINDS if kind in HEAD_KINDS]
BATCH = tiny_batch(4)


@pytest.fixture(scope="module")
def seen(family):
    """A tiny float64 model of each family on nnsight; the weights are those of `any_model`."""
    return load(tiny_module(family), labels=LABELS, backend="nnsight")


MEANS = tuple(kind for kind in LAYER_KINDS if kind != "pattern")


@pytest.fixture(scope="module")
def means(any_model):
    return mean_activations(any_model, tiny_batch(6, seed=7), kinds=MEANS)


def other_tokens(seed):
    """Rows as long as the batch's, of other words."""
    words = tiny_batch(4, seed=seed).input_ids.clamp(min=5)
    ids = torch.where(BATCH.attention_mask.bool(), words, BATCH.input_ids)
    return type(BATCH)(ids, BATCH.attention_mask, BATCH.token_type_ids, ids=BATCH.ids)


PAIRS = ContrastPairs(BATCH, other_tokens(50), [0, 1, 0, 1], groups=((0,), (1, 2)))


def test_models_of_this_room_run_by_the_backend_that_they_name(any_model, seen) -> None:
    """`tests/passes.py` leaves it as it is: all that this file compares rests on that."""
    assert (type(any_model.backend), type(seen.backend)) == (TransformerLensBackend, NNsightBackend)
    assert type(any_model.tail(1).backend) is TransformerLensBackend


def test_a_pass_leaves_no_hook(any_model) -> None:
    """Neither one that ended nor one that an edit stopped."""
    plain = any_model.logits(BATCH)
    assert not torch.equal(any_model.logits(BATCH, Scale(Head(1, 0), 0.5)), plain)
    with pytest.raises(ZeroDivisionError):
        any_model.logits(BATCH, Edit(Site(1, "z"), lambda value: value * (1 // 0)))
    points = any_model.backend.bridge.hook_dict.values()
    assert not any(point.has_hooks(including_permanent=False) for point in points)
    assert torch.equal(any_model.logits(BATCH), plain)


def check_equal(one, two, interventions, capture=SITES, **close):
    """Logits and captures of both; returns the first's logits."""
    first, second = (model.run(BATCH, interventions, capture=capture) for model in (one, two))
    close = close or CLOSE
    torch.testing.assert_close(second.logits, first.logits, **close)
    for site in capture:
        left, right = first.captured[site], second.captured[site]
        # The stream of a pre-LN model grows with depth, and its rounding errors with it.
        size = max(1.0, float(left.abs().max())) if one.geometry.family.pre_norm else 1.0
        torch.testing.assert_close(right, left, atol=close["atol"] * size, rtol=close["rtol"])
    return first.logits


def on_components(model, means):
    """Interventions on components, by name."""
    removed = [Head(0, 0), Head(0, 2), Head(2, 1), MLP(1)]
    kept = Subnetwork(frozenset(set(model.components) - set(removed)), model.components)
    donors = Donors(model, [other_tokens(60), other_tokens(61)], seed=1)
    mask = torch.linspace(0, 1, len(model.components), dtype=torch.float64)
    return {
        "nothing": [],
        "keep": [Keep(kept, means)],
        "keep zero": [Keep(kept, 0)],
        "ablate": [Ablate(removed, with_=means)],
        "ablate zero": [Ablate(removed, with_=0)],
        "ablate donors": [Ablate(removed, with_=donors)],
        "ablate pairs": [Ablate(removed, with_=PAIRS)],
        "mask": [SoftMask(mask, means)],
        "mask by row": [SoftMask(mask * torch.linspace(0.2, 1, 4, dtype=torch.float64)[:, None], 0)],
        "scale": [Scale(Head(1, 1), 2.5), Scale(MLP(0), -0.5)],
        "list": [Keep(kept, means), Scale(Head(1, 1), 3.0), Edit(Site(1, "z"), torch.sin), Patch("L2MLP", PAIRS)],
    }


NAMES = ("nothing", "keep", "keep zero", "ablate", "ablate zero", "ablate donors", "ablate pairs", "mask",
         "mask by row", "scale", "list")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_components(any_model, seen, means, name) -> None:
    check_equal(any_model, seen, on_components(any_model, means)[name])


def test_all_component_interventions_are_tested(any_model, means) -> None:
    assert tuple(on_components(any_model, means)) == NAMES


@pytest.mark.parametrize("site", EDITED, ids=str)
def test_every_kind_of_site(any_model, seen, means, site) -> None:
    value = any_model.run(BATCH, capture=[site]).captured[site]
    plain = any_model.logits(BATCH)
    # Of its own at each position: softmax does not see one direction added to all keys.
    direction = torch.randn(value.shape[1:], generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    items = [
        Edit(site, lambda own: own.sin() + 0.3),
        Steer(site, direction),
        Patch(site, value.flip(0)),
        Patch(site, PAIRS),
    ]
    if site.kind in means.values:
        items.append(Patch(site, means))
    for item in items:
        logits = check_equal(any_model, seen, [item], capture=[site, Site(2, "resid_post")])
        # One mean in place of all keys is the same to softmax as any other.
        if not (isinstance(item, Patch) and item.source is means):
            assert not torch.allclose(logits, plain), "the edit has no effect to compare"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("senders", "receivers", "through"),
    [
        ([Head(0, 1)], [Head(2, 1)], ("v",)),
        ([EMBED, MLP(0)], [Head(1, 0), Head(2, 2), MLP(2)], ("q", "k")),
        ([Head(0, 0), Head(1, 2)], [OUTPUT], ("q", "k", "v")),
    ],
)
def test_paths(any_model, seen, means, route, senders, receivers, through) -> None:
    path = PatchPath(senders, receivers, through, source=PAIRS, route=route)
    check_equal(any_model, seen, [path])
    path = PatchPath(senders, receivers, through, source=means, route=route)
    check_equal(any_model, seen, [Ablate(Head(1, 1), means), path, Scale(MLP(2), 0.5)], capture=[Site.pooled()])


@pytest.mark.parametrize("route", ROUTES)
def test_path_effects(any_model, seen, route) -> None:
    senders, receivers = [EMBED, Head(0, 1), MLP(1)], [Head(2, 1), MLP(2), OUTPUT]
    first, second = (path_effects(m, PAIRS, senders, receivers, "each", route=route) for m in (any_model, seen))
    assert first.rows == second.rows
    assert first.effects.abs().max() > 1e-3
    for name in ("effects", "node", "total", "explained", "extent"):
        torch.testing.assert_close(getattr(second, name), getattr(first, name), atol=1e-10, rtol=0, equal_nan=True)


def test_gradient_of_a_mask(any_model, seen, means) -> None:
    gradients = []
    for model in (any_model, seen):
        mask = torch.linspace(0, 1, len(model.components), dtype=torch.float64).requires_grad_()
        model.logits(BATCH, [SoftMask(mask, means)]).square().sum().backward()
        gradients.append(mask.grad)
        assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert gradients[0].abs().min() > 0
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-10, rtol=1e-10)


def test_means_are_equal(seen, means) -> None:
    again = mean_activations(seen, tiny_batch(6, seed=7), kinds=MEANS)
    assert again.model == means.model
    for kind, value in means.values.items():
        torch.testing.assert_close(again.values[kind], value, **CLOSE)


def test_float32(family) -> None:
    one, two = (
        load(tiny_module(family, dtype=torch.float32), labels=LABELS, backend=b)
        for b in ("transformer_lens", "nnsight")
    )
    means = mean_activations(one, tiny_batch(6, seed=7))
    mask = torch.linspace(0, 1, len(one.components))
    for item in (SoftMask(mask, means), PatchPath([Head(0, 1)], [Head(2, 1)], source=PAIRS, route="mlps")):
        check_equal(one, two, [item], atol=1e-5, rtol=1e-5)


def plain_logits(model):
    with torch.no_grad():
        return model.module(BATCH.input_ids, **model.geometry.inputs(BATCH)).logits


def test_neutral_interventions_are_bit_equal(seen, means) -> None:
    expected = plain_logits(seen)
    everything = Subnetwork(frozenset(seen.components), seen.components)
    ones = torch.ones(len(seen.components), dtype=torch.float64)
    same = [Edit(site, lambda own: own) for site in EDITED]
    copies = [Edit(site, torch.clone) for site in EDITED]
    for neutral in (
        [],
        [Keep(everything, means)],
        [SoftMask(ones, means)],
        [Scale("L1H1", 1.0)],
        [Ablate([], 0)],
        same,
        copies,
    ):
        assert torch.equal(seen.logits(BATCH, neutral), expected)


def test_a_pass_stops_and_starts_where_it_is_told(any_model, seen) -> None:
    called = []

    def late(value):
        called.append(True)
        return value

    run = seen.run_edits(BATCH, [SiteEdit(Site(1, "mlp_out"), late)], [Site(1, "z")], stop_after=Site(1, "z"))
    assert run.logits.numel() == 0
    assert not called
    expected = any_model.run(BATCH, capture=[Site(1, "z"), Site(2, "resid_pre")])
    torch.testing.assert_close(run.captured[Site(1, "z")], expected.captured[Site(1, "z")], **CLOSE)
    tail = seen.run_edits(BATCH, [], start=(2, expected.captured[Site(2, "resid_pre")]))
    torch.testing.assert_close(tail.logits, expected.logits, **CLOSE)


class _MineError(Exception):
    pass


def _fails(value):
    raise _MineError("mine")


def _wrong_shapes(value):
    return value @ value.new_ones(5, 5)  # fails inside torch's own code


@pytest.mark.parametrize(("fn", "error"), [(_fails, _MineError), (_wrong_shapes, RuntimeError)])
@pytest.mark.parametrize("kind", ["resid_pre", "q_in", "k", "pattern", "z", "mlp_out", "resid_post"])
def test_an_error_comes_out_as_itself_and_leaves_nothing(seen, fn, error, kind) -> None:
    state = {name: value.clone() for name, value in seen.module.state_dict().items()}
    keys, tracer = _module_state(seen), sys.gettrace()
    with pytest.raises(error) as caught:
        seen.logits(BATCH, [Edit(Site(1, kind), fn)])
    assert type(caught.value) is error
    assert any(entry.name == fn.__name__ for entry in caught.traceback), "the traceback must reach the function"
    assert _module_state(seen) == keys
    assert sys.gettrace() is tracer
    assert torch.equal(seen.logits(BATCH), plain_logits(seen))
    assert all(torch.equal(value, state[name]) for name, value in seen.module.state_dict().items())


def test_an_error_of_the_module_itself(seen) -> None:
    """Behind the check of batches, token types that the model lacks are its own error to make."""
    if (getattr(seen.geometry.config, "type_vocab_size", 0) or 0) < 2:
        outside = type(BATCH)(BATCH.input_ids, BATCH.attention_mask)
        seen.logits(outside)
        return
    outside = type(BATCH)(BATCH.input_ids, BATCH.attention_mask, BATCH.token_type_ids + 7)
    with pytest.raises(IndexError):
        seen.run_edits(outside, seen.compile(BATCH, [Edit(Site(1, "z"), lambda own: own)]))
    assert torch.equal(seen.logits(BATCH), plain_logits(seen))


def _module_state(model):
    """What hangs on each module of the wrapped tree: attributes and number of hooks."""
    state = {}
    for name, part in model.backend.wrapped.named_modules():
        hooks = [len(value) for key, value in vars(part).items() if key.endswith("_hooks")]
        state[name] = (sorted(vars(part)), hooks)
    return state


def test_values_are_freed_after_a_run(seen) -> None:
    held = []

    def watch(value):
        held.append(weakref.ref(value))
        return value * 2

    seen.logits(BATCH, [Edit(Site(1, kind), watch) for kind in ("q", "z", "mlp_out")])
    with pytest.raises(_MineError):
        seen.logits(BATCH, [Edit(Site(0, "z"), watch), Edit(Site(1, "z"), _fails)])
    assert len(held) == 4
    assert all(value() is None for value in held)


def test_the_order_of_the_handlers_does_not_matter(any_model, seen, family) -> None:
    orders = {}
    for name, model in (("transformer_lens", any_model), ("nnsight", seen)):
        visited = []
        missing = {"head_in", "o_out"} | ({"mid"} if family in ("gpt2", "llama") else set())  # o_out here is attn_out
        in_layer = [tap for tap in TAP_SHAPES if tap not in missing]
        taps = [Tap(layer, tap) for layer in (2, 0, 1) for tap in reversed(in_layer)]
        handlers = {tap: _noted(visited, tap) for tap in (Tap(None, "head_in"), *taps)}
        torch.testing.assert_close(model.backend.execute(BATCH, handlers), plain_logits(seen), atol=1e-13, rtol=0)
        orders[name] = visited
    assert len(orders["nnsight"]) == len(in_layer) * 3 + 1
    assert orders["nnsight"] == orders["transformer_lens"]


def _noted(visited, tap):
    def handler(value):
        if tap.name != "head_in":
            shape = dict(zip(TAP_SHAPES[tap.name].split(), value.shape, strict=True))
            shared = {"head": 1} if tap.name in ("k", "v") and shape["head"] == 1 else {}
            assert ({"batch": 4, "pos": 9, "head": 3, "d_head": 8, "d_model": 24} | shared).items() >= shape.items()
        visited.append(tap)
        return value

    return handler


def test_the_nnsight_object_is_the_users_own(seen) -> None:
    """Another tree over the same parameters: what is read there is what a capture gives; `.module` stays plain."""
    layer = seen.nnsight.get(seen.geometry.path("block", 1))
    with seen.nnsight.trace(BATCH.input_ids, **seen.geometry.inputs(BATCH)):
        value = layer.output.save()
    assert torch.equal(value, seen.run(BATCH, capture=[Site(1, "resid_post")]).captured[Site(1, "resid_post")])
    theirs, own = (list(module.parameters()) for module in (seen.nnsight, seen.module))
    assert all(a is b for a, b in zip(theirs, own, strict=True))
    assert not any("forward" in vars(part) for part in seen.module.modules())


def test_both_objects_serve_either_backend(any_model) -> None:
    logits = any_model.logits(BATCH)
    with any_model.nnsight.trace(BATCH.input_ids, **any_model.geometry.inputs(BATCH)):
        traced = any_model.nnsight.output.logits.save()
    torch.testing.assert_close(traced, logits, atol=1e-13, rtol=0)


def test_wrapping_warns_of_nothing(recwarn) -> None:
    model = load(tiny_module("bert"), labels=LABELS, backend="nnsight")
    assert model.backend_name == "nnsight"
    assert not [warning for warning in recwarn if "E_output" in str(warning.message)]


def test_a_backend_that_does_not_exist() -> None:
    with pytest.raises(ModelError, match=r"'jax' is not a backend.*transformer_lens, nnsight"):
        load(tiny_module("bert"), labels=LABELS, backend="jax")


def test_copies_keep_the_backend(seen) -> None:
    copy = seen.copy()
    assert copy.backend_name == "nnsight"
    assert torch.equal(copy.logits(BATCH), seen.logits(BATCH))
