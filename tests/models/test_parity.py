"""Every class of every family, by its tiny config: backends equal plain hooks, paths the twin, and what must hold.

The families come from the package's own table: a new one is tested here once it has a tiny config.
"""

import pytest
import torch
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module
from twin import Twin

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.interventions.edges import PatchEdges
from hc_interp.interventions.nodes import Ablate, SoftMask
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sites import Edit
from hc_interp.models.component_weights import component_weights, sharing
from hc_interp.models.families import FAMILIES
from hc_interp.models.load import load
from hc_interp.models.site import Site
from hc_interp.patching.path_effects import path_effects

# Whatever the type of the model, Hugging Face computes in float32 the norms of OLMo and Gemma 2 and 3, the softmax of
# Gemma 2 and GPT-J, the norms of DeBERTa v1, and the rotation of ModernBERT.
COARSE = ("Olmo", "Gemma2", "Gemma3", "GPTJ", "ModernBert", "DebertaFor")
TOLERANCE = {name: 1e-6 if name.startswith(COARSE) else 1e-10 for name in FAMILIES}
BATCH = tiny_batch(4)
DERIVED = ("q_in", "k_in", "v_in", "pattern", "result")
WORDS = ["yes", "no", "maybe"]
TOKENIZER = word_tokenizer([" ".join(WORDS)])
TOKENS = [TOKENIZER.convert_tokens_to_ids(word) for word in WORDS]


def other_words():
    """Rows as long as the batch's, of other words."""
    words = tiny_batch(4, seed=50).input_ids.clamp(min=5)
    ids = torch.where(BATCH.attention_mask.bool(), words, BATCH.input_ids)
    return type(BATCH)(ids, BATCH.attention_mask, BATCH.token_type_ids, ids=BATCH.ids)


PATHS = [
    ([Head(0, 1)], [Head(2, 1)], ("v",)),
    ([EMBED, MLP(0)], [Head(1, 0), Head(2, 2), MLP(2)], ("q", "k")),
    ([Head(0, 0), Head(1, 2)], [MLP(1)], ("q", "k", "v")),
    ([Head(0, 0), Head(1, 2)], [OUTPUT], ("q", "k", "v")),
]


ONE_INPUT = [([Head(0, 1)], [Head(2, 1)], (name,)) for name in "qk"]


def metric(logits, rows):
    return logits[:, 1]


PAIRS = ContrastPairs(BATCH, other_words(), [0, 1, 0, 1], groups=((0,), (1, 2)))


def is_first(name):
    """Whether the slow tests are for this class too: they are not for classes that differ in name only, and of token
    classifiers for one. Layers are those of the other classes, and readouts differ in the position alone."""
    if FAMILIES[name].readout == "token":
        return name == "BertForTokenClassification"
    same = [other for other in sorted(FAMILIES) if FAMILIES[other] == FAMILIES[name]]
    return name == same[0]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def name(request):
    return request.param


def middle(batch):
    """A token inside each row, where a token classifier is read."""
    return batch.attention_mask.sum(1) // 2


def wrapped(name, backend):
    if FAMILIES[name].readout == "vocabulary":
        return load(tiny_module(name), labels=WORDS, tokenizer=TOKENIZER, backend=backend)
    if FAMILIES[name].readout == "token":
        return load(tiny_module(name), labels=LABELS, backend=backend, read_at=middle)
    return load(tiny_module(name), labels=LABELS, backend=backend)


@pytest.fixture(scope="module")
def models(name):
    backends = ("transformer_lens", "nnsight") if FAMILIES[name].adapter else ("nnsight",)
    return [wrapped(name, backend) for backend in backends]


@pytest.fixture(scope="module")
def twin(models):
    return Twin(models[0].module)


def read(name, logits):
    """The twin's logits as the wrapper reads them."""
    if FAMILIES[name].readout == "token":
        return logits[torch.arange(len(BATCH)), middle(BATCH)]
    if FAMILIES[name].readout != "vocabulary":
        return logits
    return logits[torch.arange(len(BATCH)), BATCH.attention_mask.sum(1) - 1][:, TOKENS]


def close(name, actual, expected):
    size = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(actual, expected, atol=TOLERANCE[name] * size, rtol=0)


@torch.no_grad()
def test_backends_equal_plain_hooks(name, models, twin) -> None:
    logits, seen = twin.run(BATCH)
    for model in models:
        kinds = [kind for kind in model.layer_kinds if kind not in DERIVED]
        sites = [Site.embed(), *(Site(layer, kind) for layer in range(3) for kind in kinds)]
        run = model.run(BATCH, capture=sites)
        close(name, run.logits, read(name, logits))
        for site in sites:
            expected = seen[site.layer, site.kind] if site != Site.embed() else seen[None, "embed"]
            real = BATCH.attention_mask.bool()  # a padded query in a window may see no key
            close(name, run.captured[site][real], expected[real])


@torch.no_grad()
@pytest.mark.parametrize("route", ROUTES)
def test_paths_equal_the_twin(name, models, twin, route) -> None:
    """By both engines: `path_effects` takes the fast one where it serves the family.

    A path is edits of sites, so that one route is enough for the second backend.
    """
    if not is_first(name):
        return
    plain = read(name, twin.run(BATCH)[0])
    alone = ONE_INPUT if route == "direct" and FAMILIES[name].readout != "vocabulary" else []
    for senders, receivers, through in [*PATHS, *alone]:
        logits, _ = twin.path(BATCH, PAIRS.corrupt, senders, receivers, through, route)
        expected = read(name, logits)
        for model in models if route == "all" else models[:1]:
            if receivers != [OUTPUT]:
                path = PatchPath(senders, receivers, through, source=PAIRS, route=route)
                close(name, model.logits(BATCH, path), expected)
        inputs = ("q", "k", "v") if receivers == [OUTPUT] else through
        effects = path_effects(models[0], PAIRS, senders, receivers, inputs, joint=True, route=route, metric=metric)
        close(name, torch.as_tensor(effects.effects.flatten()).double(), (expected - plain)[:, 1])


@torch.no_grad()
def test_edges_are_direct_paths(name, models) -> None:
    """With one receiver. A head of its own layer sends to an MLP only where the MLP reads it."""
    if not is_first(name):
        return
    senders = [EMBED, MLP(0), Head(0, 1), Head(1, 0), Head(1, 2)]
    for receiver, through in ((MLP(1), "v"), (Head(2, 1), "v"), (Head(2, 1), ("q", "k"))):
        edges, path = (kind(senders, receiver, through, source=PAIRS) for kind in (PatchEdges, PatchPath))
        close(name, models[0].logits(BATCH, edges), models[0].logits(BATCH, path))
    head_to_mlp = models[0].logits(BATCH, PatchPath("L1H0", "L1MLP", source=PAIRS)) - models[0].logits(BATCH)
    assert bool((head_to_mlp == 0).all()) is models[0].geometry.parallel
    assert models[0].is_upstream(Head(1, 0), MLP(1)) is not models[0].geometry.parallel


@torch.no_grad()
def test_edits_equal_the_twins(name, models, twin) -> None:
    """Of sites that no module shows, each as an edit of one that the twin has."""
    if not is_first(name):
        return
    _, seen = twin.run(BATCH)
    read_by_heads = seen.get((1, "normed"), seen[1, "resid_pre"]) if twin.decoder else seen[1, "resid_pre"]
    ramp = torch.linspace(-1, 1, read_by_heads.shape[-1], dtype=read_by_heads.dtype)

    def one_head(site_value):
        return lambda value: torch.stack([site_value if h == 1 else value[:, :, h] for h in range(value.shape[2])], 2)

    for model in models:
        for edited in "qkv":
            new = twin.project(1, edited, read_by_heads + ramp)[:, :, 1]
            logits = twin.run(BATCH, {(1, edited): one_head(new)})[0]
            change = Edit(Site(1, f"{edited}_in", head=1), lambda value: value + ramp)
            close(name, model.logits(BATCH, change), read(name, logits))
        own = torch.eye(BATCH.input_ids.shape[1], dtype=model.dtype).expand(len(BATCH), model.n_heads, -1, -1)
        logits = twin.run(BATCH, {(1, "z"): lambda value: seen[1, "v"]})[0]
        close(name, model.logits(BATCH, Edit(Site(1, "pattern"), lambda value, own=own: own)), read(name, logits))
        logits = twin.run(BATCH, {(1, "z"): one_head(3 * seen[1, "z"][:, :, 1])})[0]
        tripled = Edit(Site(1, "result", head=1), lambda value: 3 * value)
        close(name, model.logits(BATCH, tripled), read(name, logits))


def test_mask_gradients_equal_the_twins(name, models, twin) -> None:
    if not is_first(name):
        return
    width = models[0].n_heads + 1  # the heads of a layer and its MLP
    values = torch.linspace(0.3, 1, 3 * width, dtype=models[0].dtype)
    mask = values.clone().requires_grad_()
    edits = {}
    for layer, part in enumerate(mask.split(width)):
        edits[layer, "z"] = lambda value, part=part: value * part[:-1, None]
        edits[layer, "mlp_out"] = lambda value, part=part: value * part[-1]
    expected = torch.autograd.grad(read(name, twin.run(BATCH, edits)[0])[:, 1].sum(), mask)[0]
    for model in models:
        gates = values.clone().requires_grad_()
        logits = model.logits(BATCH, SoftMask(gates, 0))
        close(name, torch.autograd.grad(logits[:, 1].sum(), gates)[0], expected)


@torch.no_grad()
def test_a_path_inside_a_mask_equals_the_twins(name, models, twin) -> None:
    """Interventions compose, in both engines: all three runs of a path are made under the mask before it."""
    if not is_first(name) or FAMILIES[name].readout == "vocabulary":
        return
    model, (senders, receivers, through) = models[-1], PATHS[1]
    values = torch.linspace(0.3, 1, len(model.components), dtype=model.dtype)
    edits = {}
    for layer, part in enumerate(values.split(model.n_heads + 1)):
        edits[layer, "z"] = lambda value, part=part: value * part[:-1, None]
        edits[layer, "mlp_out"] = lambda value, part=part: value * part[-1]
    masked = read(name, twin.run(BATCH, edits)[0])
    expected = twin.path(BATCH, PAIRS.corrupt, senders, receivers, through, "all", base_edits=edits)[0]
    expected, mask = read(name, expected), SoftMask(values, 0)
    path = PatchPath(senders, receivers, through, source=PAIRS, route="all")
    close(name, model.logits(BATCH, [mask, path]), expected)
    asked = {"joint": True, "route": "all", "metric": metric, "interventions": mask}
    effects = path_effects(model, PAIRS, senders, receivers, through, **asked).effects.flatten()
    close(name, torch.as_tensor(effects).double(), (expected - masked)[:, 1])
    assert not torch.allclose(expected, masked)


@torch.no_grad()
def test_all_direct_paths_into_the_output_give_the_corrupt_run(name, models, twin) -> None:
    if not is_first(name):
        return
    everything = [EMBED, *models[0].components]
    effects = path_effects(models[0], PAIRS, everything, "output", joint=True, metric=metric).effects.flatten()
    expected = read(name, twin.run(PAIRS.corrupt)[0]) - read(name, twin.run(BATCH)[0])
    close(name, torch.as_tensor(effects).double(), expected[:, 1])


@torch.no_grad()
def test_an_ablated_head_is_zero_rows_of_its_output_projection(name, models) -> None:
    model = models[0]
    layers = range(3) if name.startswith("Albert") else [1]  # those that have this weight
    ablated = model.logits(BATCH, Ablate([Head(layer, 1) for layer in layers], 0))
    assert not torch.allclose(ablated, model.logits(BATCH))
    cut = model.copy()
    weight = cut.geometry.weight(1, "o")
    weight[:, cut.d_head : 2 * cut.d_head] = 0
    close(name, ablated, cut.logits(BATCH))


@torch.no_grad()
def test_weights_edited_in_place_are_those_of_every_pass(name, models) -> None:
    """The slices of a head are its own: without them its values are 0. Passes were made before the edit."""
    if not is_first(name):
        return
    for model in models:
        edited = model.copy()
        edited.logits(BATCH)
        for part in component_weights(edited.own_geometry, [Head(1, 1)]):
            if not part.name.endswith(f"{edited.family.o.format(1)}.weight"):
                part.of(edited.module).zero_()
        logits, seen = Twin(edited.module).run(BATCH)
        close(name, edited.logits(BATCH), read(name, logits))
        heads = [item.head for item in sharing(edited.geometry, Head(1, 1))]
        assert not seen[1, "v"][:, :, heads].any()
        assert all(seen[1, "v"][:, :, head].any() for head in range(edited.n_heads) if head not in heads)


def test_equal_sides_have_no_effect(models) -> None:
    equal = ContrastPairs(BATCH, BATCH, [0, 1, 0, 1], groups=((0,), (1, 2)))
    for route in ROUTES:
        effects = path_effects(models[0], equal, ["L0H0", "L0MLP"], ["L2H0", "L2MLP"], route=route).effects
        assert not torch.as_tensor(effects).any()
