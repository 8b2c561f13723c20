"""Where a decoder's classifier is read, on texts that hold or end in its padding token: as the module itself does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from path_pairs import GROUPS, RECEIVERS, SENDERS
from tiny import LABELS, VOCABULARY, tiny_batch, tiny_module
from transformers import (
    GemmaConfig,
    GemmaForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
    Qwen3Config,
    Qwen3ForSequenceClassification,
)
from twin import Twin

import hc_interp as hc
from hc_interp.components import Head
from hc_interp.data.batch import Batch
from hc_interp.errors import ModelError
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.load import load
from hc_interp.models.readout import Readout
from hc_interp.models.site import Site
from hc_interp.patching import sweep as sweep_module

PAD = 1  # of the tiny decoders
SIZES = {
    "vocab_size": VOCABULARY, "num_labels": 3, "pad_token_id": PAD, "bos_token_id": 2, "eos_token_id": PAD,
    "hidden_size": 24, "num_hidden_layers": 3, "intermediate_size": 32, "max_position_embeddings": 40, "head_dim": 8,
    "num_attention_heads": 3, "num_key_value_heads": 1,
}  # fmt: skip
OTHERS = {
    "qwen2": lambda: Qwen2ForSequenceClassification(Qwen2Config(**SIZES)),
    "qwen3": lambda: Qwen3ForSequenceClassification(Qwen3Config(**SIZES)),
    "gemma": lambda: GemmaForSequenceClassification(GemmaConfig(**SIZES)),
}
DECODERS = ["gpt2", "llama", "mistral", *OTHERS]
BACKENDS = ["transformer_lens", "nnsight"]


def module_of(name: str):
    if name not in OTHERS:
        return tiny_module(name)
    torch.manual_seed(0)
    module = OTHERS[name]().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.35 if parameter.ndim > 1 else 0.1))
    return module.double()


@pytest.fixture(scope="module", params=DECODERS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def module(name):
    return module_of(name)


@pytest.fixture(scope="module")
def models(module):
    return [load(module, labels=LABELS, backend=backend) for backend in BACKENDS]


@st.composite
def batches(draw) -> Batch:
    """Any tokens, about every second one the padding token; right-padded with it; some rows hold nothing else."""
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    token = st.one_of(st.just(PAD), st.integers(0, VOCABULARY - 1))
    rows = [draw(st.lists(token, min_size=n, max_size=n)) for n in lengths]
    longest = max(lengths)
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    return Batch(ids, (torch.arange(longest) < torch.tensor(lengths)[:, None]).long())


@settings(max_examples=25)
@given(batch=batches())
def test_logits_are_the_modules(models, module, batch) -> None:
    with torch.no_grad():
        expected = module(batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
    for model in models:
        torch.testing.assert_close(model.logits(batch), expected, atol=1e-7, rtol=1e-7)


def test_what_is_read_and_what_is_not(models) -> None:
    """Ends in padding tokens, holds one, is nothing else, is masked after a padding token, is plain."""
    ids = torch.tensor([[5, 6, PAD, PAD], [5, PAD, 7, 8], [PAD] * 4, [5, PAD, PAD, PAD], [5, 6, 7, 8]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]])
    for model in models:
        assert model.readout.positions(Batch(ids, mask)).tolist() == [1, 3, 0, 0, 3]
        run = model.run(Batch(ids, mask), capture=[Site.pooled(), Site(2, "resid_post")])
        stream = run.captured[Site(2, "resid_post")][torch.arange(5), torch.tensor([1, 3, 0, 0, 3])]
        torch.testing.assert_close(run.captured[Site.pooled()], model.geometry.part("norm_final")(stream))


def test_other_padding_than_the_modules_is_masked_not_read(models, module) -> None:
    """A row's answer is the module's for the row alone, whatever it is padded with."""
    ids = torch.tensor([[5, 6, 7, 9, 9], [5, PAD, 9, 9, 9]])
    batch = Batch(ids, torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]))
    with torch.no_grad():
        alone = torch.cat([module(ids[:1, :3]).logits, module(ids[1:, :2]).logits])
    for model in models:
        torch.testing.assert_close(model.logits(batch), alone, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("end", [PAD, 0, None])
def test_a_module_without_a_padding_token_reads_the_last_position(name, backend, end) -> None:
    module = module_of(name)
    module.config.pad_token_id, module.config.eos_token_id = None, end
    model = load(module, labels=LABELS, backend=backend)
    ids = torch.tensor([[5, 6, 0, PAD], [5, 6, 7, 0], [PAD] * 4, [0] * 4])
    with torch.no_grad():
        expected = torch.cat([module(row[None]).logits for row in ids])
    torch.testing.assert_close(model.logits(Batch(ids)), expected, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(model.logits(Batch(ids[:1])), expected[:1], atol=1e-7, rtol=1e-7)
    assert model.module.config.pad_token_id is None, "what is saved is what was given"
    assert model.tail(1).readout == model.readout


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_check_at_loading_sees_it(name, backend, monkeypatch) -> None:
    monkeypatch.setattr(Readout, "positions", lambda self, batch: batch.attention_mask.sum(1) - 1)
    with pytest.raises(ModelError, match="is wrong at the logits"):
        load(module_of(name), labels=LABELS, backend=backend)


def pairs_that_end_in_padding() -> hc.ContrastPairs:
    """Clean and corrupt sides that end in 0 to 3 padding tokens, each for itself; one row that is nothing else."""
    clean, other = tiny_batch(12, seed=3), tiny_batch(12, seed=4)
    mask, last = clean.attention_mask, clean.attention_mask.sum(1)
    place = torch.arange(mask.shape[1])
    sides = []
    for seed, ids in enumerate((clean.input_ids, other.input_ids.clamp(min=5))):
        ends = torch.randint(0, 4, (12,), generator=torch.Generator().manual_seed(seed))
        ends[5] = 9 if seed == 0 else 1
        text = (place < (last - ends)[:, None]) & mask.bool()
        sides.append(Batch(torch.where(text, ids, PAD), mask, ids=clean.ids))
    sides[1].input_ids[7] = sides[0].input_ids[7]
    return hc.ContrastPairs(*sides, [i % 2 for i in range(12)], groups=GROUPS)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_path_effects_equal_the_twin(family, route) -> None:
    model, pairs = load(tiny_module(family), labels=LABELS), pairs_that_end_in_padding()
    gold, twin = torch.tensor(pairs.gold), Twin(model.module)
    clean, corrupt = (
        logit_diff(twin.run(side)[0], MetricRows.labelled(gold, GROUPS)) for side in (pairs.clean, pairs.corrupt)
    )
    effects = hc.path_effects(model, pairs, SENDERS, RECEIVERS, "each", route=route, batch_size=5)
    torch.testing.assert_close(effects.total, corrupt - clean, atol=1e-10, rtol=0)
    for sender in SENDERS:
        for receiver in RECEIVERS:
            for through in "qkv" if isinstance(receiver, Head) else ["in"]:
                logits, _ = twin.path(pairs.clean, pairs.corrupt, [sender], [receiver], through, route)
                expected = logit_diff(logits, MetricRows.labelled(gold, GROUPS)) - clean
                effect = effects.per_example(sender, receiver, through)
                torch.testing.assert_close(effect, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("inside", [False, True])
def test_all_that_is_measured_equals_the_general_engine(name, monkeypatch, inside) -> None:
    model, pairs = load(module_of(name), labels=LABELS), pairs_that_end_in_padding()
    means = hc.mean_activations(model, tiny_batch(8, seed=5), positional=True)
    interventions = [hc.Ablate([Head(1, 0), "L2MLP"], means)] if inside else []
    args = model, pairs, ["L0H1", "L1MLP"], [Head(2, 1), "L2MLP", "output", (Head(1, 0), Head(2, 1))]
    fast = hc.path_effects(*args, interventions=interventions, route="mlps")
    with monkeypatch.context() as patch:
        patch.setattr(sweep_module, "is_fast", lambda model, interventions: False)
        slow = hc.path_effects(*args, interventions=interventions, route="mlps")
    assert fast.effects.abs().max() > 1e-3
    for kind in ("effects", "node", "total", "explained", "extent"):
        torch.testing.assert_close(getattr(fast, kind), getattr(slow, kind), atol=1e-7, rtol=1e-7, equal_nan=True)


def test_estimates_agree_with_exact_effects_where_the_change_is_small(name) -> None:
    """Pairs whose sides end in as many padding tokens; all other tokens' embeddings are nearly the same."""
    module = module_of(name)
    pairs = pairs_that_end_in_padding()
    with torch.no_grad():
        table = module.get_input_embeddings().weight
        table[5:] = table[5] + 1e-4 * (table[5:] - table[5])
    rows = [i for i in range(12) if pairs.clean.input_ids[i].eq(PAD).equal(pairs.corrupt.input_ids[i].eq(PAD))]
    model, near = load(module, labels=LABELS), pairs.rows(rows)
    exact, estimate = (
        hc.path_effects(model, near, SENDERS, RECEIVERS, "each", method=method).effects
        for method in ("exact", "attribution")
    )
    assert exact.abs().max() > 1e-6
    torch.testing.assert_close(estimate, exact, atol=2e-2 * float(exact.abs().max()), rtol=0)


def test_the_first_mask_token_of_a_row_is_read() -> None:
    """Of two, of one, and the last position of a row that has none; a masked position is not looked at."""
    tokens = torch.tensor([[5, 9, 6, 9, 1], [5, 6, 7, 9, 8], [5, 6, 7, 9, 1]])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    readout = Readout("vocabulary", ("yes", "no"), (3, 4), mask_token=9)
    assert readout.positions(Batch(tokens, mask)).tolist() == [1, 3, 2]
