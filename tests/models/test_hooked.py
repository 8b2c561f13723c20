"""`HookedModel`: every site is what it says it is, on every family; runs, gradients, tokens, fingerprints, copies."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module
from twin import Twin

from hc_interp.components import EMBED, Head
from hc_interp.data.batch import Batch
from hc_interp.data.examples import Examples
from hc_interp.errors import ComponentError, DataError, InterventionError
from hc_interp.interventions.sites import Edit, Steer
from hc_interp.models.geometry import Geometry
from hc_interp.models.load import load
from hc_interp.models.site import HEAD_KINDS, LAYER_KINDS, SITE_KINDS, Site

BATCH = tiny_batch(4)
SITES = [Site.embed(), *(Site(layer, kind) for layer in range(3) for kind in LAYER_KINDS), Site.pooled()]
CLOSE = {"atol": 1e-12, "rtol": 1e-12}
SHAPES = {
    **dict.fromkeys(("q", "k", "v", "z"), (4, 9, 3, 8)),
    **dict.fromkeys(("q_in", "k_in", "v_in", "result"), (4, 9, 3, 24)),
    **dict.fromkeys(("embed", "resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"), (4, 9, 24)),
    "pattern": (4, 3, 9, 9),
    "pooled": (4, 24),
}


@pytest.fixture(scope="module")
def run(any_model):
    return any_model.run(BATCH, capture=SITES)


@pytest.fixture(scope="module")
def seen(any_model):
    """Values that plain hooks on the plain module show."""
    with torch.no_grad():
        return Twin(any_model.module).run(BATCH)[1]


def same(model, actual, expected):
    """Bit by bit; but TransformerLens takes a decoder's attention apart, which rounds otherwise than the module."""
    if model.geometry.family.causal:
        torch.testing.assert_close(actual, expected, **CLOSE)
    else:
        assert torch.equal(actual, expected)


def plain_logits(module, batch):
    with torch.no_grad():
        return module(batch.input_ids, **Geometry.of(module).inputs(batch)).logits


def test_sizes(any_model) -> None:
    sizes = (any_model.n_layers, any_model.n_heads, any_model.d_model, any_model.d_head, len(any_model.components))
    assert sizes == (3, 3, 24, 8, 12)
    assert any_model.labels == LABELS
    assert "3 layers x 3 heads, d_model 24, labels entailment, neutral, contradiction" in repr(any_model)


def test_shapes(run) -> None:
    assert set(SHAPES) == set(SITE_KINDS)
    assert {site: tuple(value.shape) for site, value in run.captured.items()} == {
        site: SHAPES[site.kind] for site in SITES
    }


@pytest.mark.parametrize("kind", ["resid_pre", "q", "k", "v", "z", "attn_out", "resid_mid", "mlp_out", "resid_post"])
def test_sites_are_what_plain_hooks_show(any_model, run, seen, kind) -> None:
    for layer in range(3):
        same(any_model, run.captured[Site(layer, kind)], seen[layer, kind])


def test_sites_without_a_hook_of_their_own(any_model, run, seen) -> None:
    twin = Twin(any_model.module)
    assert torch.equal(run.captured[Site.embed()], seen[None, "embed"])
    for layer in range(3):
        at = {kind: run.captured[Site(layer, kind)] for kind in LAYER_KINDS}
        read = seen.get((layer, "normed"), at["resid_pre"])  # q, k, v read the normed stream where norms stand before
        for name in "qkv":
            same(any_model, at[f"{name}_in"], read[:, :, None].expand(-1, -1, 3, -1))
        weight = twin.out_weight(layer).view(24, 3, 8)
        for head in range(3):
            torch.testing.assert_close(at["result"][:, :, head], at["z"][:, :, head] @ weight[:, head].T, **CLOSE)
        torch.testing.assert_close(at["pattern"].sum(-1), torch.ones(4, 3, 9, dtype=torch.float64), **CLOSE)
        assert (at["pattern"].transpose(1, 3)[BATCH.attention_mask == 0] == 0).all()
        z = torch.einsum("bhqk,bkhd->bqhd", at["pattern"], at["v"])
        torch.testing.assert_close(
            z, twin.attention(*(at[name] for name in "qkv"), BATCH.attention_mask, layer), **CLOSE
        )
    head = any_model.module.score if twin.decoder else any_model.module.classifier
    head = getattr(head, "out_proj", head)
    torch.testing.assert_close(head(run.captured[Site.pooled()]), run.logits, **CLOSE)


@pytest.mark.parametrize("kind", sorted(HEAD_KINDS))
def test_one_head_drops_its_axis(any_model, run, kind) -> None:
    site, whole = Site(1, kind, head=2), Site(1, kind)
    both = any_model.run(BATCH, capture=[site, whole]).captured
    assert torch.equal(both[site], both[whole].select(whole.head_axis, 2))
    assert torch.equal(both[whole], run.captured[whole])
    assert torch.equal(any_model.run(BATCH, capture=site).captured[site], both[site])


def test_logits_are_those_of_the_module(any_model, run) -> None:
    same(any_model, run.logits, plain_logits(any_model.module, BATCH))
    longest = any_model.max_positions
    unmasked = Batch(
        BATCH.input_ids.clamp(min=5)
    )  # padding tokens left in would be words here, not to a decoder's head
    for batch in (tiny_batch(1), unmasked, tiny_batch(2, length=longest), tiny_batch(3, length=1)):
        same(any_model, any_model.logits(batch), plain_logits(any_model.module, batch))
    bare = Batch(BATCH.input_ids, BATCH.attention_mask.bool())
    assert torch.equal(any_model.logits(bare), any_model.logits(Batch(BATCH.input_ids, BATCH.attention_mask)))


def test_longest_input(any_model, family) -> None:
    assert any_model.max_positions == (38 if family == "roberta" else 40)
    with pytest.raises(DataError, match=r"at most (38|40) tokens"):
        any_model.logits(tiny_batch(2, length=any_model.max_positions + 1))


def test_token_types_are_used_where_there_are_any(any_model, family) -> None:
    other = Batch(BATCH.input_ids, BATCH.attention_mask, 1 - BATCH.token_type_ids)
    assert torch.equal(any_model.logits(other), any_model.logits(BATCH)) == (family in ("distilbert", "gpt2", "llama"))


def test_token_types_are_ignored_where_there_is_one() -> None:
    module = tiny_module("roberta")
    module.config.type_vocab_size = 1
    module.roberta.embeddings.token_type_embeddings = torch.nn.Embedding(1, 24, dtype=torch.float64)
    model = load(module, labels=LABELS)
    assert torch.equal(model.logits(BATCH), model.logits(Batch(BATCH.input_ids, BATCH.attention_mask)))


def test_gradients(tiny_bert) -> None:
    assert not tiny_bert.logits(BATCH).requires_grad
    direction = torch.zeros(24, dtype=torch.float64, requires_grad=True)
    tiny_bert.logits(BATCH, [Steer(Site(1, "attn_out"), direction)])[:, 0].sum().backward()
    assert direction.grad.abs().sum() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in tiny_bert.module.parameters())
    with torch.no_grad():
        assert not tiny_bert.logits(BATCH, [Steer(Site(1, "attn_out"), direction)]).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_edits_of_another_type_take_the_type_of_the_model(dtype) -> None:
    model = load(tiny_module(dtype=torch.bfloat16), labels=LABELS)
    run = model.run(BATCH, [Edit(Site(1, "z"), lambda value: value.to(dtype))], capture=Site(1, "z"))
    assert (run.logits.dtype, run.captured[Site(1, "z")].dtype) == (torch.bfloat16, torch.bfloat16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Site(0, "head"), "is not a kind of site. Choose one of: embed, resid_pre"),
        (lambda: Site(None, "z"), "every other kind needs one"),
        (lambda: Site(1, "embed"), "embed and pooled have no layer"),
        (lambda: Site(1, "resid_pre", head=0), "has no head axis, so head=0 selects nothing"),
        (lambda: Site(1.5, "z"), "layer=1.5; expected a whole number"),
        (lambda: Site(1, "z", "2"), "head='2'; expected a whole number"),
    ],
)
def test_sites_that_cannot_be(make, message) -> None:
    with pytest.raises(ComponentError, match=message):
        make()


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (Site(np.int64(3), "z"), "layers 0 to 2"),
        (Site(3, "z"), "layers 0 to 2"),
        (Site(-1, "z"), "layers 0 to 2"),
        (Site(0, "z", 3), "heads 0 to 2"),
        (Site(0, "z", -1), "heads 0"),
    ],
)
def test_sites_that_the_model_has_not(tiny_bert, site, message) -> None:
    with pytest.raises(ComponentError, match=message):
        tiny_bert.run(BATCH, capture=site)


@pytest.mark.parametrize("item", [Head(3, 0), Head(0, 3), Head(-1, 0), EMBED, "L0H0", None])
def test_components_that_the_model_has_not(tiny_bert, item) -> None:
    with pytest.raises(ComponentError, match=r"is not a component of"):
        tiny_bert.check_component(item)


@pytest.mark.parametrize("batch", [BATCH.rows([]), "text", torch.ones(2, 3, dtype=torch.long), None])
def test_what_is_no_batch(tiny_bert, batch) -> None:
    with pytest.raises(DataError, match=r"expected an hc\.Batch of at least one row"):
        tiny_bert.logits(batch)


@pytest.mark.parametrize("token_type", [2, -1])
@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_token_types_that_the_model_does_not_know(family, token_type) -> None:
    types = BATCH.token_type_ids.clone()
    types[1, 2] = token_type
    with pytest.raises(DataError, match=rf"holds token type {token_type}; .* knows token types 0 to 1"):
        load(tiny_module(family), labels=LABELS).logits(Batch(BATCH.input_ids, BATCH.attention_mask, types))


@pytest.mark.parametrize("token", [60, -1])
def test_tokens_that_the_model_does_not_know(tiny_bert, token) -> None:
    ids = BATCH.input_ids.clone()
    ids[1, 2] = token
    with pytest.raises(DataError, match=rf"holds token {token}; .* knows tokens 0 to 59"):
        tiny_bert.logits(Batch(ids))


@pytest.mark.parametrize("capture", ["L0H0", ["L0H0"], [Site(0, "z"), 3]])
def test_captures_that_are_no_sites(tiny_bert, capture) -> None:
    with pytest.raises(ComponentError, match="which is not a site"):
        tiny_bert.run(BATCH, capture=capture)


@pytest.mark.parametrize("backend", ["transformer_lens", "nnsight"])
def test_a_run_inside_an_edit_is_refused(backend) -> None:
    """Its hooks would fire in the inner run too."""
    model = load(tiny_module(), labels=LABELS, backend=backend)
    plain = model.logits(BATCH)
    with pytest.raises(InterventionError, match=r"in the middle of a pass.*model\.copy"):
        model.logits(BATCH, [Edit(Site(1, "z"), lambda value: value * model.logits(BATCH).sum())])
    assert torch.equal(model.logits(BATCH), plain)


def test_two_threads_do_not_mix(tiny_bert) -> None:
    inside, leave, errors = threading.Event(), threading.Event(), []
    plain = tiny_bert.logits(BATCH)

    def wait(value):
        inside.set()
        assert leave.wait(20)
        return value * 0

    thread = threading.Thread(target=lambda: tiny_bert.logits(BATCH, [Edit(Site(1, "z"), wait)]))
    thread.start()
    assert inside.wait(20)
    try:
        tiny_bert.logits(BATCH)
    except InterventionError as error:
        errors.append(error)
    finally:
        leave.set()
        thread.join()
    assert len(errors) == 1
    assert torch.equal(tiny_bert.logits(BATCH), plain)


def test_fingerprints() -> None:
    def made(seed=0, **config) -> str:
        module = tiny_module(seed=seed)
        for name, value in config.items():
            setattr(module.config, name, value)
        return load(module, labels=LABELS).fingerprint

    model = load(tiny_module(), labels=LABELS)
    assert made() == model.fingerprint == load(tiny_module(), labels=("a", "b", "c")).fingerprint
    changed = tiny_module()
    changed.classifier.bias.data[0] += 1e-12
    others = [made(seed=1), made(layer_norm_eps=1e-5), load(changed, labels=LABELS).fingerprint]
    others += [load(tiny_module(dtype=torch.float32), labels=LABELS).fingerprint]
    others += [
        load(tiny_module("electra"), labels=LABELS).fingerprint,
        load(tiny_module("roberta"), labels=LABELS).fingerprint,
    ]
    assert len({model.fingerprint, *others}) == 1 + len(others)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_goes_to_another_process(way) -> None:
    model = load(tiny_module(), labels=LABELS, tokenizer=word_tokenizer(TEXTS))
    expected = model.logits(BATCH, Edit(Site(1, "z"), torch.sin))
    copied = way(model)
    assert torch.equal(copied.logits(BATCH, Edit(Site(1, "z"), torch.sin)), expected)
    assert (copied.fingerprint, copied.labels) == (model.fingerprint, model.labels)
    assert copied.tokenize(TEXTS).input_ids.shape == model.tokenize(TEXTS).input_ids.shape


@pytest.mark.parametrize("backend", ["transformer_lens", "nnsight"])
def test_what_is_done_to_the_users_objects_stays_there(backend) -> None:
    model = load(tiny_module(), labels=LABELS, backend=backend)
    plain = model.logits(BATCH)
    model.bridge.add_hook("blocks.1.attn.o.hook_in", lambda value, hook: value * 0)
    with torch.no_grad():
        assert not torch.allclose(model.bridge(BATCH.input_ids, **model.geometry.inputs(BATCH)), plain)
    assert torch.equal(model.logits(BATCH), plain)


def test_copies_are_independent(tiny_bert) -> None:
    other = tiny_bert.copy()
    assert (other.labels, other.name, other.backend_name) == (tiny_bert.labels, tiny_bert.name, tiny_bert.backend_name)
    assert other.fingerprint == tiny_bert.fingerprint
    assert torch.equal(other.logits(BATCH), tiny_bert.logits(BATCH))
    plain, changed = tiny_bert.logits(BATCH), tiny_bert.copy()
    changed.module.classifier.weight.mul_(2)
    assert torch.equal(tiny_bert.logits(BATCH), plain)
    assert not torch.equal(changed.logits(BATCH), plain)
    assert changed.fingerprint != tiny_bert.fingerprint


TEXTS = ["the doctor saw the lawyer .", "a lawyer saw the old doctor"]


@pytest.fixture(scope="module")
def reader():
    tokenizer = word_tokenizer(TEXTS)
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # as BERT's own says
    return load(tiny_module(), tokenizer=tokenizer, labels=LABELS)


def test_tokens(reader) -> None:
    batch = reader.tokenize(TEXTS, [TEXTS[1], "a"])
    assert batch.input_ids.shape == (2, 15)
    assert batch.attention_mask.sum(1).tolist() == [15, 10]
    assert batch.token_type_ids[0].tolist() == [0] * 8 + [1] * 7
    for given in (np.array(TEXTS), tuple(TEXTS), iter(TEXTS)):
        assert torch.equal(reader.tokenize(given).input_ids, reader.tokenize(TEXTS).input_ids)
    assert torch.equal(reader.tokenize(TEXTS[0], "a").input_ids, reader.tokenize([TEXTS[0]], ["a"]).input_ids)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["the " * 39], r"Row 0 has 41 tokens; .* at most 40 .*'the the"),
        (["a", "the " * 60], "Row 1 has 62 tokens"),
        ([], "expected at least one first text"),
    ],
)
def test_texts_that_do_not_fit(reader, texts, message) -> None:
    with pytest.raises(DataError, match=message):
        reader.tokenize(texts)


def test_pairs_must_match(reader) -> None:
    with pytest.raises(DataError, match="2 first and 1 second texts"):
        reader.tokenize(TEXTS, ["a"])


def test_another_models_tokenizer() -> None:
    words = " ".join(f"word{i}" for i in range(80))
    model = load(tiny_module(), tokenizer=word_tokenizer([words]), labels=LABELS)
    with pytest.raises(DataError, match=r"gave token \d+; .* knows tokens 0 to 59"):
        model.tokenize(" ".join(words.split()[-20:]))


def test_examples_keep_their_ids_and_labels(reader) -> None:
    examples = Examples(["a b", "c"], ["d", "e"], [1, 0], ["x", "y"])
    encoded, plain = reader.tokenize(examples), reader.tokenize(examples.first, examples.second)
    assert torch.equal(encoded.input_ids, plain.input_ids)
    assert (encoded.ids, encoded.labels.tolist()) == (("x", "y"), [1, 0])
    bare = reader.tokenize(Examples(["a"]))
    assert (bare.ids, bare.labels) == (("0",), None)
    with pytest.raises(DataError, match="second texts"):
        reader.tokenize(examples, ["d", "e"])


def test_a_site_is_read_from_its_text() -> None:
    for site in (Site(2, "z", 3), Site(11, "attn_out"), Site.embed(), Site.pooled()):
        assert Site.parse(str(site)) == site
    for text in ("L2H.z", "2.z", "", "L2.z ", "L2"):
        with pytest.raises(ComponentError):
            Site.parse(text)
