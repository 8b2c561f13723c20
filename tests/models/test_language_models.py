"""Language models: read whole, or as classifiers at label words; both backends equal plain hooks."""

import copy

import pytest
import torch
from texts import word_tokenizer
from tiny import LANGUAGE_MODELS, tiny_batch, tiny_module
from twin import Twin

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs
from hc_interp.errors import ComponentError, LabelError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Scale, SoftMask
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sites import Edit, Patch
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.load import load
from hc_interp.models.site import LAYER_KINDS, Site
from hc_interp.patching.path_effects import path_effects

CLOSE = {"atol": 1e-10, "rtol": 0}
TOKENIZER = word_tokenizer(["the doctor saw a lawyer , and it is true or false or yes or no ."])
WORDS = [" yes", " no"]
TOKENS = [TOKENIZER.convert_tokens_to_ids(word.strip()) for word in WORDS]
BATCH = tiny_batch(5)
LAST = BATCH.attention_mask.sum(1) - 1
GROUPS = ((0,), (1,))


@pytest.fixture(scope="module", params=sorted(LANGUAGE_MODELS))
def name(request):
    return request.param


@pytest.fixture(scope="module", params=["transformer_lens", "nnsight"])
def model(request, name):
    return load(tiny_module(name), tokenizer=TOKENIZER, labels=WORDS, backend=request.param)


def read(logits, batch=BATCH):
    """The label words' logits at each row's last word."""
    last = batch.attention_mask.sum(1) - 1
    return logits[torch.arange(len(batch)), last][:, TOKENS]


def test_label_words_are_read_at_the_last_word(model) -> None:
    with torch.no_grad():
        expected = read(Twin(model.module).run(BATCH)[0])
    run = model.run(BATCH, capture=[Site.pooled()])
    assert model.labels == tuple(WORDS)
    torch.testing.assert_close(run.logits, expected, **CLOSE)
    assert run.captured[Site.pooled()].shape == (5, 24)
    assert torch.equal(model.logits(BATCH, Patch(Site.pooled(), run.captured[Site.pooled()])), run.logits)
    assert torch.equal(model.logits(BATCH, Scale("L1H1", 1.0)), run.logits)
    torch.testing.assert_close(model.logits(BATCH.rows([3])), run.logits[[3]], **CLOSE)


def test_without_label_words_the_vocabulary_is_read_everywhere(name) -> None:
    module = tiny_module(name)
    model = load(module)
    with torch.no_grad():
        expected = module(BATCH.input_ids, attention_mask=BATCH.attention_mask).logits
    if name == "bert-lm":
        with torch.no_grad():
            expected = Twin(module).run(BATCH)[0]
    real = BATCH.attention_mask.bool()
    assert model.labels is None
    assert "whole vocabulary" in repr(model)
    assert model.logits(BATCH).shape == (5, 9, 60)
    torch.testing.assert_close(model.logits(BATCH)[real], expected[real], **CLOSE)
    assert torch.equal(model.logits(BATCH, Scale("L1H1", 1.0)), model.logits(BATCH))
    with pytest.raises(ComponentError, match=r"no site 'pooled'.*label words"):
        model.run(BATCH, capture=Site.pooled())


def test_a_masked_model_is_read_at_its_mask() -> None:
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.mask_token = "saw"
    model = load(tiny_module("bert-lm"), tokenizer=tokenizer, labels=WORDS)
    ids = BATCH.input_ids.clone()
    ids[ids == tokenizer.mask_token_id] = 30
    ids[0, 2], ids[3, 1] = tokenizer.mask_token_id, tokenizer.mask_token_id
    batch = Batch(ids, BATCH.attention_mask, BATCH.token_type_ids)
    with torch.no_grad():
        everywhere = Twin(model.module).run(batch)[0][..., TOKENS]
    at = LAST.clone()
    at[0], at[3] = 2, 1
    torch.testing.assert_close(model.logits(batch), everywhere[torch.arange(5), at], **CLOSE)


@pytest.mark.parametrize("kind", [kind for kind in LAYER_KINDS if kind not in ("pattern", "result")])
def test_every_kind_of_site(model, kind) -> None:
    twin, site = Twin(model.module), Site(1, kind)
    if kind.endswith("_in"):
        new = torch.randn(5, 9, 24, dtype=torch.float64)
        projected = twin.project(1, kind[0], new)

        def put(own):
            own = own.clone()
            own[:, :, 1] = projected[:, :, 1]
            return own

        edits, mine = {(1, kind[0]): put}, Edit(Site(1, kind, head=1), lambda own: new)
    else:
        edits, mine = {(1, kind): lambda own: own.sin() + 0.3}, Edit(site, lambda own: own.sin() + 0.3)
    with torch.no_grad():
        expected, seen = twin.run(BATCH, edits)
        assert not torch.allclose(read(expected), read(twin.run(BATCH)[0]), atol=1e-6)
    run = model.run(BATCH, [mine], capture=[Site(2, "resid_post"), Site(1, "v"), Site(1, "z")])
    real = BATCH.attention_mask.bool()
    torch.testing.assert_close(run.logits, read(expected), **CLOSE)
    for at in (Site(2, "resid_post"), Site(1, "v"), Site(1, "z")):
        torch.testing.assert_close(run.captured[at][real], seen[at.layer, at.kind][real], **CLOSE)


def test_one_heads_copy_of_a_shared_key_is_its_own() -> None:
    """Two query heads of `qwen3-lm` share each key: an edit to one leaves what the other reads as it was."""
    for backend in ("transformer_lens", "nnsight"):
        model = load(tiny_module("qwen3-lm"), tokenizer=TOKENIZER, labels=WORDS, backend=backend)
        plain = model.run(BATCH, capture=[Site(1, "k"), Site(1, "z")]).captured
        assert torch.equal(plain[Site(1, "k")][:, :, 0], plain[Site(1, "k")][:, :, 1])
        edit = Edit(Site(1, "k", head=1), lambda own: own.flip(0))
        edited = model.run(BATCH, edit, capture=[Site(1, "k"), Site(1, "z")]).captured
        for at in (Site(1, "k"), Site(1, "z")):
            same = [torch.equal(edited[at][:, :, head], plain[at][:, :, head]) for head in range(4)]
            assert same == [True, False, True, True], at


def test_a_window_shorter_than_the_text() -> None:
    """Both backends and plain hooks; the window is seen at the pattern."""
    answers = []
    for backend in ("transformer_lens", "nnsight"):
        model = load(tiny_module("mistral"), labels=["a", "b", "c"], backend=backend)
        # Within a row: what stands at padding, where a window may hold no key at all, is each kernel's own.
        run = model.run(BATCH, Edit(Site(1, "k", head=1), lambda own: own.sin()), capture=[Site(1, "pattern")])
        pattern = run.captured[Site(1, "pattern")][0]  # the row without padding
        assert bool((pattern.triu(1) == 0).all())
        assert bool((pattern.tril(-3) == 0).all())
        assert bool((pattern.tril().triu(-2).sum(-1) > 0.999999).all())
        answers.append(run.logits)
        with torch.no_grad():
            plain = model.module(BATCH.input_ids, attention_mask=BATCH.attention_mask).logits
        torch.testing.assert_close(model.logits(BATCH), plain, atol=1e-7, rtol=0)
    torch.testing.assert_close(answers[1], answers[0], atol=1e-7, rtol=0)


def test_mask_and_its_gradient(model) -> None:
    means = mean_activations(model, tiny_batch(4, seed=7))
    n_heads = model.n_heads
    ours = torch.linspace(0, 1, len(model.components), dtype=torch.float64).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    model.logits(BATCH, [SoftMask(ours, means)]).square().sum().backward()
    edits = {}
    for layer in range(3):
        first = layer * (n_heads + 1)
        z, out = means.values["z"][layer], means.values["mlp_out"][layer]
        heads, mlp = theirs[first : first + n_heads, None], theirs[first + n_heads]
        edits[layer, "z"] = lambda own, m=heads, mu=z: m * own + (1 - m) * mu
        edits[layer, "mlp_out"] = lambda own, m=mlp, mu=out: m * own + (1 - m) * mu
    read(Twin(model.module).run(BATCH, edits)[0]).square().sum().backward()
    assert float(theirs.grad.abs().min()) > 0
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=1e-9)
    assert not model.logits(BATCH).requires_grad


@pytest.mark.parametrize("route", ["direct", "mlps", "all"])
def test_paths(model, route) -> None:
    corrupt = Batch(
        torch.where(BATCH.attention_mask.bool(), tiny_batch(5, seed=50).input_ids.clamp(min=5), BATCH.input_ids),
        BATCH.attention_mask, BATCH.token_type_ids, ids=BATCH.ids,
    )  # fmt: skip
    pairs = ContrastPairs(BATCH, corrupt, [0, 1, 0, 1, 0], groups=GROUPS)
    gold = torch.tensor(pairs.gold)
    twin = Twin(model.module)
    with torch.no_grad():
        clean = logit_diff(read(twin.run(BATCH)[0]), MetricRows.labelled(gold, GROUPS))
        for senders, receivers, through in [
            ([Head(0, 1)], [Head(2, 1)], "k"),
            ([MLP(0)], [Head(1, 0)], "qv"),
            ([Head(0, 0)], [MLP(1)], "qkv"),
            ([EMBED], [OUTPUT], "qkv"),
        ]:
            logits, _ = twin.path(BATCH, corrupt, senders, receivers, through, route)
            expected = logit_diff(read(logits), MetricRows.labelled(gold, GROUPS)) - clean
            table = path_effects(model, pairs, senders, receivers, through, route=route)
            torch.testing.assert_close(table.effects[:, 0], expected, atol=1e-9, rtol=0)
            path = PatchPath(senders, receivers, through, source=pairs, route=route)
            torch.testing.assert_close(
                logit_diff(model.logits(BATCH, path), MetricRows.labelled(gold, GROUPS)) - clean,
                expected,
                atol=1e-9,
                rtol=0,
            )


def test_paths_need_classes(name) -> None:
    model = load(tiny_module(name), tokenizer=TOKENIZER)
    pairs = ContrastPairs(BATCH, BATCH, [0] * 5, groups=GROUPS)
    with pytest.raises(LabelError, match="whole vocabulary"):
        path_effects(model, pairs, "L0H0", "L1H0")


@pytest.mark.parametrize(
    ("labels", "tokenizer", "message"),
    [
        ([" yes", " no"], None, "without a tokenizer"),
        ([" yes", " yes or no"], TOKENIZER, "is 3 tokens"),
        ([" yes", " zebra"], TOKENIZER, "one known token"),
        ([" yes", "yes"], TOKENIZER, "a different word per class"),
        ([" yes"], TOKENIZER, "at least two words"),
        ("yes", TOKENIZER, "at least two words"),
        ([3, 4], TOKENIZER, "at least two words"),
    ],
)
def test_label_words_that_cannot_be_read(labels, tokenizer, message) -> None:
    with pytest.raises(LabelError, match=message):
        load(tiny_module("gpt2-lm"), tokenizer=tokenizer, labels=labels)


def test_a_tokenizer_without_padding_pads_with_its_end() -> None:
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    model = load(tiny_module("gpt2-lm"), tokenizer=tokenizer, labels=WORDS)
    texts = ["the doctor saw a lawyer", "the lawyer"]
    batch = model.tokenize(texts)
    assert batch.attention_mask.sum(1).tolist() == [7, 4]
    torch.testing.assert_close(model.logits(batch)[[1]], model.logits(model.tokenize(texts[1])), **CLOSE)
    assert tokenizer.pad_token is None, "the user's tokenizer is left as it is"


def test_a_tokenizer_is_never_opened_again_by_its_name() -> None:
    """TransformerLens would, for one that has a start token: from a folder that may be gone, or from the hub."""
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.bos_token, tokenizer.name_or_path = "[CLS]", "/no/such/folder"
    tokenizer.add_tokens(["zebra"])
    model = load(tiny_module("llama"), tokenizer=tokenizer, labels=["a", "b", "c"])
    assert "zebra" in model.bridge.tokenizer.get_vocab()
    assert model.bridge.tokenizer is not tokenizer
    assert model.bridge.cfg.tokenizer_prepends_bos
    assert model.bridge.to_tokens("the lawyer").shape[-1] == model.tokenize("the lawyer").input_ids.shape[-1]


def test_a_decoders_classifier_without_a_padding_token_reads_by_the_mask() -> None:
    """The module itself reads the last position, and takes no batch."""
    module = tiny_module("gpt2")
    module.config.pad_token_id = None
    model = load(module, labels=["a", "b", "c"])
    rows = [model.logits(Batch(BATCH.input_ids[[i], : int(LAST[i]) + 1])) for i in range(5)]
    torch.testing.assert_close(model.logits(BATCH), torch.cat(rows), **CLOSE)
    assert module.config.pad_token_id is None


def test_saved_language_models(tmp_path, name) -> None:
    tiny_module(name, dtype=torch.float32).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    saved, live = (load(source, labels=WORDS, device="cpu", tokenizer=TOKENIZER) for source in (
        tmp_path, tiny_module(name, dtype=torch.float32)
    ))  # fmt: skip
    assert saved.fingerprint == live.fingerprint
    assert torch.equal(saved.logits(BATCH), live.logits(BATCH))
    assert torch.equal(saved.copy().logits(BATCH, Ablate("L1H1", 0)), live.logits(BATCH, Ablate("L1H1", 0)))
