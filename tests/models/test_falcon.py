"""Falcon's variants: keys of all heads, of groups or of each head; one norm or two; side by side or not; ALiBi."""

import pytest
import torch
import transformers
from tiny import LABELS, tiny_batch
from twin import Twin

import hc_interp as hc
from hc_interp.models.component_weights import component_weights, sharing
from hc_interp.models.families.falcon import FALCON, GROUPED

BATCH, OTHER = tiny_batch(4), tiny_batch(4, seed=50)
VARIANTS = {  # those that test_parity.py does not have
    "one norm": {**GROUPED, "num_ln_in_parallel_attn": 1, "bias": False},
    "own keys": {"multi_query": False},
    "one after the other": {"parallel_attn": False, "multi_query": False},
    "alibi": {"alibi": True},
    "alibi in groups": {**GROUPED, "alibi": True},
}


def falcon(**changes):
    config = transformers.FalconConfig(**{**FALCON.tiny, **changes, "num_hidden_layers": 2})
    torch.manual_seed(0)
    module = transformers.FalconForSequenceClassification(config).double().eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3 + (weight.ndim == 1))
    return module


@pytest.fixture(scope="module", params=VARIANTS)
def models(request):
    module = falcon(**VARIANTS[request.param])
    return [hc.load(module, labels=LABELS, backend=backend) for backend in ("transformer_lens", "nnsight")]


@pytest.fixture(scope="module")
def twin(models):
    return Twin(models[0].module)


def same(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_values_are_those_of_plain_hooks(models, twin) -> None:
    logits, seen = twin.run(BATCH)
    for model in models:
        kinds = [kind for kind in ("q", "k", "v", "z", "resid_mid", "mlp_out") if kind in model.layer_kinds]
        sites = [hc.Site(layer, kind) for layer in range(2) for kind in kinds]
        run = model.run(BATCH, capture=sites)
        same(run.logits, logits)
        for site in sites:
            same(run.captured[site], seen[site.layer, site.kind])


@torch.no_grad()
@pytest.mark.parametrize("route", ["direct", "all"])
def test_paths_are_two_runs(models, twin, route) -> None:
    """By hooks, and by the fast engine."""
    rows = torch.where(BATCH.attention_mask.bool(), OTHER.input_ids.clamp(min=5), BATCH.input_ids)
    corrupt = hc.Batch(rows, BATCH.attention_mask, BATCH.token_type_ids, ids=BATCH.ids)
    pairs = hc.ContrastPairs(BATCH, corrupt, [0, 1, 0, 1], groups=((0,), (1, 2)))
    plain = twin.run(BATCH)[0]
    senders = [hc.Head(0, 1), hc.MLP(0)]
    expected = twin.path(BATCH, pairs.corrupt, senders, [hc.Head(1, 2)], ("q", "k"), route)[0]
    for model in models:
        same(model.logits(BATCH, hc.PatchPath(senders, "L1H2", ("q", "k"), source=pairs, route=route)), expected)
    effects = hc.path_effects(
        models[0], pairs, senders, "L1H2", ("q", "k"), joint=True, route=route, metric=lambda logits, rows: logits[:, 1]
    ).effects
    same(torch.as_tensor(effects.flatten()).double(), (expected - plain)[:, 1])
    assert (expected - plain).abs().max() > 1e-3


@torch.no_grad()
def test_the_weights_of_a_head_are_its_own(models) -> None:
    edited = models[1].copy()
    for part in component_weights(edited.own_geometry, [hc.Head(1, 1)]):
        if not part.name.endswith("self_attention.dense.weight"):
            part.of(edited.module).zero_()
    _, seen = Twin(edited.module).run(BATCH)
    heads = [item.head for item in sharing(edited.geometry, hc.Head(1, 1))]
    zero = {name: (seen[1, name] == 0).all(dim=(0, 1, 3)).nonzero().flatten().tolist() for name in "qkv"}
    assert zero == {"q": [1], "k": heads, "v": heads}


@torch.no_grad()
def test_what_was_read_at_an_mlp_is_not_added_to(models, twin) -> None:
    """The module adds attention's output to that tensor, also to what an edit gave."""
    given = torch.ones(4, 9, models[0].d_model, dtype=torch.float64)
    site = hc.Site(0, "mlp_out")
    logits, _ = twin.run(BATCH, {(0, "mlp_out"): lambda value: torch.ones_like(value)})
    for model in models:
        run = model.run(BATCH, hc.Edit(site, lambda value: given), capture=site)
        assert run.captured[site].eq(1).all()
        assert given.eq(1).all()
        same(run.logits, logits)


def test_alibi_by_eager_attention_is_refused() -> None:
    module = falcon(alibi=True)
    module.config._attn_implementation = "eager"
    with pytest.raises(hc.ModelError, match=r"eager attention, by which transformers adds ALiBi twice"):
        hc.load(module, labels=LABELS, backend="nnsight")


def test_variants_with_the_same_weights_are_different_models() -> None:
    prints = {hc.load(falcon(alibi=alibi), labels=LABELS, backend="nnsight").fingerprint for alibi in (False, True)}
    assert len(prints) == 2
