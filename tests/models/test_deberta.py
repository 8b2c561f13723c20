"""DeBERTa v1 to v3 as checkpoints have them: distances in the scores, padding as a query, what a head owns."""

import pytest
import torch
import transformers
from tiny import LABELS, tiny_batch, tiny_module
from transformers.models.deberta.modeling_deberta import DebertaLayerNorm
from twin import Twin

import hc_interp as hc
from hc_interp.components import EMBED
from hc_interp.models.attention_rule import AttentionRule, DistanceVectors, attend
from hc_interp.models.component_weights import component_weights
from hc_interp.models.families import FAMILIES
from hc_interp.models.fingerprint import fingerprint
from hc_interp.models.load import load
from hc_interp.models.module_taps import visits
from hc_interp.models.taps import Tap
from hc_interp.models.trainable import TrainableModel, trainable_module
from hc_interp.patching.engine.budget import Budget
from hc_interp.patching.sweep import is_fast

V1, V2 = "DebertaForSequenceClassification", "DebertaV2ForSequenceClassification"
SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
OWN = {"share_att_key": False}
# The changes of a tiny config. A batch has up to 9 positions.
VARIANTS = {
    "v3": (V2, {}),
    "own projections": (V2, OWN),
    "content to position": (V2, {"pos_att_type": "c2p"}),
    "position to content": (V2, {"pos_att_type": ["p2c"], **OWN}),
    "no buckets": (V2, {"position_buckets": -1, "norm_rel_ebd": "none"}),
    "short span": (V2, {"position_buckets": -1, "max_relative_positions": 3}),
    "absolute positions too": (V2, {"position_biased_input": True, "type_vocab_size": 2}),
    "no products": (V2, {"pos_att_type": []}),
    "v2 without distances": (V2, {"relative_attention": False}),
    "v1": (V1, {}),
    "v1, content to position": (V1, {"pos_att_type": ["c2p"]}),
    "v1, position to content": (V1, {"pos_att_type": ["p2c"]}),
    "v1, a term that counts only in the scale": (V1, {"pos_att_type": ["c2p", "p2p"]}),
    "v1, long span": (V1, {"max_relative_positions": 20}),
    "v1 without distances": (V1, {"relative_attention": False}),
}
BATCH, CORRUPT = tiny_batch(4), tiny_batch(4, seed=50)
CORRUPT = hc.Batch(torch.where(BATCH.attention_mask.bool(), CORRUPT.input_ids.clamp(min=5), BATCH.input_ids),
                   BATCH.attention_mask, BATCH.token_type_ids, ids=BATCH.ids)  # fmt: skip
PAIRS = hc.ContrastPairs(BATCH, CORRUPT, [0, 1, 0, 1], groups=((0,), (1, 2)))


@pytest.fixture(autouse=True, scope="module")
def exact_norms():
    """The norms of DeBERTa v1 in the weights' own precision: the module rounds to float32 whatever it is."""

    def forward(self, x):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.variance_epsilon)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DebertaLayerNorm, "forward", forward)
        yield


def module_of(name, changes):
    kind = getattr(transformers, name)
    torch.manual_seed(0)
    module = kind(kind.config_class(**{**FAMILIES[name].tiny, **SMALL, **changes})).double().eval()
    with torch.no_grad():
        for path, parameter in module.named_parameters():
            parameter.normal_(std=0.7)
            if path.endswith("LayerNorm.weight"):
                parameter.add_(1)
    return module


def wrapped(name, changes):
    return load(module_of(name, changes), labels=LABELS, backend="nnsight")


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    return wrapped(*VARIANTS[request.param])


@torch.no_grad()
def test_patterns_are_the_modules_own_at_padding_too(model) -> None:
    sites = [hc.Site(layer, "pattern") for layer in range(2)]
    run = model.run(BATCH, capture=sites)
    plain = model.module(BATCH.input_ids, **model.geometry.inputs(BATCH), output_attentions=True)
    assert torch.equal(run.logits, plain.logits)
    for site, expected in zip(sites, plain.attentions, strict=True):
        torch.testing.assert_close(run.captured[site], expected, atol=1e-12, rtol=0)
    assert not BATCH.attention_mask.all()
    assert plain.attentions[0].std() > 0.05


@torch.no_grad()
@pytest.mark.parametrize("through", ["q", "k"])
def test_paths_into_queries_and_keys_equal_the_twin(model, through) -> None:
    """A query's product with distances follows the receiver's query, and a key's its key."""
    senders, receivers = [EMBED, hc.Head(0, 0), hc.MLP(0)], [hc.Head(0, 1), hc.Head(1, 0)]
    twin = Twin(model.module)
    expected, _ = twin.path(BATCH, CORRUPT, senders, receivers, (through,), "all")
    clean = twin.run(BATCH)[0]
    assert (expected - clean).abs().max() > 1e-4
    path = hc.PatchPath(senders, receivers, through, source=PAIRS, route="all")
    torch.testing.assert_close(model.logits(BATCH, path), expected, atol=1e-10, rtol=0)
    assert is_fast(model, [])
    options = {"joint": True, "route": "all", "metric": lambda logits, rows: logits[:, 1]}
    effects = hc.path_effects(model, PAIRS, senders, receivers, (through,), **options).effects.flatten()
    expected_effects = (expected - clean)[:, 1]
    torch.testing.assert_close(torch.as_tensor(effects).double(), expected_effects, atol=1e-10, rtol=0)


def names_of_gradients(module, logits):
    module.zero_grad()
    logits.square().sum().backward()
    return {name: part.grad for name, part in module.named_parameters() if part.grad is not None}


@pytest.mark.parametrize("key", ["v3", "own projections", "v1"])
def test_gradients_of_a_trained_copy_equal_the_twins(key) -> None:
    """Its passes have torch's own hooks, which a projection that is called again reaches again."""
    start = wrapped(*VARIANTS[key])
    model, plain = TrainableModel(start, trainable_module(start)), trainable_module(start).requires_grad_(True)
    twin, ramp = Twin(plain), torch.linspace(-1, 1, 8, dtype=torch.float64).expand(4, 9, 8)

    def second_head(change):
        return lambda value: torch.stack([value[:, :, 0], change(value[:, :, 1])], dim=2)

    added = twin.project(0, "q", ramp) - twin.project(0, "q", 0 * ramp)
    edits = {
        (0, "q"): second_head(lambda value: value + added[:, :, 1]),
        (1, "q"): second_head(lambda value: 2 * value),
        (1, "k"): second_head(lambda value: 3 * value),
        (1, "v"): second_head(lambda value: 4 * value),
    }
    given = [hc.Edit(hc.Site(0, "q_in", head=1), lambda value: value + ramp)]
    for n, kind in ((2, "q"), (3, "k"), (4, "v")):
        given.append(hc.Edit(hc.Site(1, kind, head=1), lambda value, n=n: n * value))
    actual, expected = model.logits(BATCH, given), twin.run(BATCH, edits)[0]
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)
    gradients, expected_gradients = names_of_gradients(model.module, actual), names_of_gradients(plain, expected)
    assert gradients.keys() == expected_gradients.keys()
    assert "deberta.encoder.rel_embeddings.weight" in gradients
    for name, value in expected_gradients.items():
        torch.testing.assert_close(gradients[name], value, atol=1e-9, rtol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("key", ["v3", "own projections", "v1"])
def test_the_slices_of_a_head_are_all_that_its_pattern_depends_on(key) -> None:
    """Projections of distances and later biases belong to a head too: nothing else of its attention moves it."""
    model = wrapped(*VARIANTS[key])
    changed = model.copy()
    path = "deberta.encoder.layer.0.attention."
    for part in changed.module.get_submodule(path.rstrip(".")).parameters():
        part.normal_(std=0.5)
    slices = component_weights(model.geometry, [hc.Head(0, 1)])
    assert {part.length for part in slices} == {4}
    for part in slices:
        part.of(changed.module).copy_(part.of(model.module))
    sites = [hc.Site(0, kind, head=1) for kind in ("q", "k", "v", "pattern")]
    before, after = (each.run(BATCH, capture=[*sites, hc.Site(0, "pattern", head=0)]) for each in (model, changed))
    for site in sites:
        assert torch.equal(before.captured[site], after.captured[site])
    other = hc.Site(0, "pattern", head=0)
    assert (before.captured[other] - after.captured[other]).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("key", ["v3", "v1"])
def test_edits_that_change_nothing_leave_every_bit(key) -> None:
    """Also of q and v of DeBERTa v1, whose biases are added after their projection."""
    model = wrapped(*VARIANTS[key])
    edits = [hc.Edit(hc.Site(0, kind), lambda value: value.clone()) for kind in ("q_in", "q", "k", "v", "pattern")]
    assert torch.equal(model.logits(BATCH, edits), model.logits(BATCH))
    for name in "qv":
        (visit,) = visits(model.geometry, {Tap(0, name): lambda value: value.clone()})
        projected = torch.randn(500, 9, model.module.get_submodule(visit.path).out_features, dtype=torch.float64)
        assert torch.equal(visit(projected), projected)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [V1, V2])
def test_other_types_load_and_give_the_same_up_to_rounding(name, dtype) -> None:
    exact, model = wrapped(name, {}), load(module_of(name, {}), labels=LABELS, dtype=dtype)
    rounding = 20 * torch.finfo(dtype).eps
    assert (model.logits(BATCH) - exact.logits(BATCH)).abs().max() < rounding * exact.logits(BATCH).abs().max()
    if dtype == torch.float32:
        one, other = (hc.path_effects(each, PAIRS, ["L0H0"], ["L1H1"], "each") for each in (model, exact))
        torch.testing.assert_close(one.effects.double(), other.effects.double(), atol=1e-5, rtol=0)


def test_the_memory_bound_counts_products_with_distances() -> None:
    """A path takes five tensors of the scores' size, and three in a model without distances."""
    model = wrapped(V2, {})
    plain = load(tiny_module("bert"), labels=LABELS)
    size = {"batch": 64, "length": 200, "memory_mib": 1, "throughs": 1, "layers": 1}
    with pytest.raises(hc.HCError, match=r"Set memory_mib=(\d+) or more") as error:
        Budget.of(model, **size)
    needed = int(str(error.value).split("Set memory_mib=")[1].split()[0])
    scores = 2 * 64 * 200 * 200 * model.n_heads * 8 / 2**20
    assert 5 * scores < needed < 6 * scores
    with pytest.raises(hc.HCError) as error:
        Budget.of(plain, **size)
    needed = int(str(error.value).split("Set memory_mib=")[1].split()[0])
    assert 3 * scores < needed * model.n_heads / plain.n_heads < 5 * scores


def test_fewer_queries_than_keys_are_the_last() -> None:
    vectors = DistanceVectors(torch.randn(17, 2, 4), torch.randn(17, 2, 4))
    q, k = torch.randn(2, 3, 9, 2, 4)
    torch.testing.assert_close(vectors.products(q[:, -2:], k), vectors.products(q, k)[:, :, -2:])
    torch.testing.assert_close(vectors.products(q[:, :, 1:], k[:, :, 1:], [1]), vectors.products(q, k)[:, 1:])
    rule, v = AttentionRule(0.3, distances=lambda length: vectors), torch.randn(3, 9, 2, 4)
    expected = attend(rule.pattern(q, k, torch.ones(1, 9, dtype=torch.long)), v)
    torch.testing.assert_close(rule.unmasked(q, k, v), expected)
    torch.testing.assert_close(rule.unmasked(q[:, -2:], k, v), expected[:, -2:])


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (V2, {"conv_kernel_size": 3}, r"says conv_kernel_size=3; expected 0: with another value its layers compute"),
        (V1, {"talking_head": True}, r"says talking_head=True; expected False"),
        ("DebertaForMaskedLM", {"legacy": False}, r"says legacy=False; expected True"),
        ("DebertaV2ForMaskedLM", {"legacy": False}, r"says legacy=False; expected True"),
    ],
)
def test_what_a_config_adds_to_the_layers_or_the_head_is_refused_by_name(name, changes, message) -> None:
    with pytest.raises(hc.ModelError, match=message):
        load(module_of(name, changes), backend="nnsight")


def test_there_is_no_bridge() -> None:
    with pytest.raises(hc.ModelError, match=r"DebertaV2ForSequenceClassification names no TransformerLens adapter"):
        load(module_of(V2, {}), labels=LABELS, backend="transformer_lens")
    model = load(module_of(V2, {}), labels=LABELS)
    assert model.backend_name == "nnsight"
    with pytest.raises(hc.ModelError, match=r"so there is no \.bridge"):
        model.bridge  # noqa: B018


@pytest.mark.parametrize(
    ("both", "change"),
    [
        ({}, {"pos_att_type": ["c2p"]}),
        ({}, {"position_buckets": 6}),
        ({"position_buckets": 6}, {"max_relative_positions": 9}),
        ({}, {"pooler_hidden_act": "tanh"}),
        ({"pos_att_type": []}, {"relative_attention": False}),
    ],
)
def test_what_distances_do_is_part_of_what_a_model_is(both, change) -> None:
    """The weights are the same."""
    both = {"position_buckets": -1, "max_relative_positions": 6, "norm_rel_ebd": "none", **both}
    one, other = module_of(V2, both), module_of(V2, {**both, **change})
    one.deberta.encoder.rel_embeddings = other.deberta.encoder.rel_embeddings = None
    other.load_state_dict(one.state_dict())
    assert fingerprint(one, FAMILIES[V2]) != fingerprint(other, FAMILIES[V2])
