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
from hc_interp.interventions.nodes import Ablate
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.paths import PatchPath
from hc_interp.models.families import FAMILIES
from hc_interp.models.load import load
from hc_interp.models.site import Site
from hc_interp.patching.path_effects import path_effects

# Hugging Face computes OLMo's norm in float32, whatever the type of the model.
TOLERANCE = {name: 1e-6 if name.startswith("Olmo") else 1e-10 for name in FAMILIES}
BATCH = tiny_batch(4)
KINDS = ("resid_pre", "q", "k", "v", "z", "attn_out", "resid_mid", "mlp_out", "resid_post")
SITES = [Site.embed(), *(Site(layer, kind) for layer in range(3) for kind in KINDS)]
WORDS = ["yes", "no", "maybe"]
TOKENIZER = word_tokenizer([" ".join(WORDS)])
TOKENS = [TOKENIZER.convert_tokens_to_ids(word) for word in WORDS]


def other_words():
    """Rows as long as the batch's, of other words."""
    words = tiny_batch(4, seed=50).input_ids.clamp(min=5)
    ids = torch.where(BATCH.attention_mask.bool(), words, BATCH.input_ids)
    return type(BATCH)(ids, BATCH.attention_mask, BATCH.token_type_ids, ids=BATCH.ids)


PAIRS = ContrastPairs(BATCH, other_words(), [0, 1, 0, 1], groups=((0,), (1, 2)))


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def name(request):
    return request.param


def wrapped(name, backend):
    if FAMILIES[name].readout == "vocabulary":
        return load(tiny_module(name), labels=WORDS, tokenizer=TOKENIZER, backend=backend)
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
        run = model.run(BATCH, capture=SITES)
        close(name, run.logits, read(name, logits))
        for site in SITES:
            expected = seen[site.layer, site.kind] if site != Site.embed() else seen[None, "embed"]
            real = BATCH.attention_mask.bool()  # a padded query in a window may see no key
            close(name, run.captured[site][real], expected[real])


@torch.no_grad()
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("senders", "receivers", "through"),
    [
        ([Head(0, 1)], [Head(2, 1)], ("v",)),
        ([EMBED, MLP(0)], [Head(1, 0), Head(2, 2), MLP(2)], ("q", "k")),
        ([Head(0, 0), Head(1, 2)], [OUTPUT], ("q", "k", "v")),
    ],
)
def test_paths_equal_the_twin(name, models, twin, route, senders, receivers, through) -> None:
    """By both engines: `path_effects` takes the fast one where it serves the family."""
    logits, _ = twin.path(BATCH, PAIRS.corrupt, senders, receivers, through, route)
    expected = read(name, logits)
    for model in models:
        if receivers != [OUTPUT]:
            close(
                name, model.logits(BATCH, PatchPath(senders, receivers, through, source=PAIRS, route=route)), expected
            )
    inputs = ("q", "k", "v") if receivers == [OUTPUT] else through
    given = {"joint": True, "route": route, "metric": lambda logits, rows: logits[:, 1]}
    effects = path_effects(models[0], PAIRS, senders, receivers, inputs, **given).effects.flatten()
    plain = read(name, twin.run(BATCH)[0])
    close(name, torch.as_tensor(effects).double(), (expected - plain)[:, 1])


@torch.no_grad()
def test_an_ablated_head_is_zero_rows_of_its_output_projection(name, models) -> None:
    model = models[0]
    ablated = model.logits(BATCH, Ablate("L1H1", 0))
    assert not torch.allclose(ablated, model.logits(BATCH))
    cut = model.copy()
    weight = cut.geometry.weight(1, "o")
    weight[:, cut.d_head : 2 * cut.d_head] = 0
    close(name, ablated, cut.logits(BATCH))


def test_equal_sides_have_no_effect(models) -> None:
    equal = ContrastPairs(BATCH, BATCH, [0, 1, 0, 1], groups=((0,), (1, 2)))
    for route in ROUTES:
        effects = path_effects(models[0], equal, ["L0H0", "L0MLP"], ["L2H0", "L2MLP"], route=route).effects
        assert not torch.as_tensor(effects).any()
