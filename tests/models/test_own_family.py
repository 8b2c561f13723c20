"""`hc.load(..., family=)`: a class that hc_interp does not know is wrapped; a family that nearly fits is refused."""

import pickle
from dataclasses import replace

import pytest
import torch
import transformers
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module
from transformers import ErnieConfig, ErnieForSequenceClassification
from twin import Twin

import hc_interp as hc
from hc_interp.models.attention_rule import DistanceVectors
from hc_interp.models.families import FAMILIES
from hc_interp.models.families.bert import BERT
from hc_interp.models.load import load

BATCH = tiny_batch(4)
SITES = [hc.Site(layer, kind) for layer in range(3) for kind in ("pattern", "z", "mlp_out", "resid_post")]


def pooled_by_ernie(module, first):
    return module.classifier(module.ernie.pooler(first[:, None]))


ERNIE = replace(BERT, trunk="ernie", adapter=None, classify=pooled_by_ernie)


def ernie():
    """A class that is not in the table: BERT's layers under other names, with the weights of the tiny BERT."""
    module = ErnieForSequenceClassification(ErnieConfig(**BERT.tiny)).double().eval()
    weights = {name.replace("bert.", "ernie."): value for name, value in tiny_module("bert").state_dict().items()}
    module.load_state_dict(weights, strict=False)
    return module


@pytest.fixture(scope="module")
def model():
    return load(ernie(), labels=LABELS, backend="nnsight", family=ERNIE)


def test_a_class_of_a_users_family_runs_as_the_class_with_these_layers(model) -> None:
    assert type(model.module).__name__ not in FAMILIES
    known = load(tiny_module("bert"), labels=LABELS, backend="nnsight")
    one, other = model.run(BATCH, capture=SITES), known.run(BATCH, capture=SITES)
    assert torch.equal(one.logits, other.logits)
    assert all(torch.equal(one.captured[site], other.captured[site]) for site in SITES)


def test_the_model_carries_its_family(model) -> None:
    for again in (model.copy(), pickle.loads(pickle.dumps(model)), model.tail(1)):
        assert again.family is model.family or again.family == model.family
    assert torch.equal(model.copy().logits(BATCH), model.logits(BATCH))
    path = [hc.PatchPath(["L0H0"], ["L2H1"], source=0)]
    known = load(tiny_module("bert"), labels=LABELS)
    torch.testing.assert_close(model.logits(BATCH, path), known.logits(BATCH, path), atol=1e-10, rtol=0)


def test_a_folder_too(tmp_path, model) -> None:
    ernie().save_pretrained(tmp_path)
    word_tokenizer(["some words"]).save_pretrained(tmp_path)
    with pytest.raises(hc.ModelError, match="ErnieForSequenceClassification"):
        load(tmp_path, labels=LABELS)
    read = load(tmp_path, labels=LABELS, backend="nnsight", family=ERNIE)
    assert torch.equal(read.logits(BATCH), model.logits(BATCH))


def test_without_an_adapter_there_is_no_bridge(model) -> None:
    with pytest.raises(hc.ModelError, match=r"names no TransformerLens adapter.*backend='nnsight'"):
        model.bridge  # noqa: B018
    with pytest.raises(hc.ModelError, match=r"names no TransformerLens adapter.*backend='nnsight'"):
        load(ernie(), labels=LABELS, family=ERNIE, backend="transformer_lens")
    assert load(ernie(), labels=LABELS, family=ERNIE).backend_name == "nnsight"


def test_what_is_no_family_is_an_error() -> None:
    with pytest.raises(hc.ModelError, match=r"family='bert' was given. Expected an hc.Family"):
        load(ernie(), labels=LABELS, family="bert")


LLAMA, QWEN3 = FAMILIES["LlamaForSequenceClassification"], FAMILIES["Qwen3ForCausalLM"]
LAYER = "encoder.layer.{}."


def mirrored(module, layer, length):
    """DeBERTa's distances from key to query."""
    vectors = FAMILIES["DebertaV2ForMaskedLM"].distances(module, layer, length)
    return DistanceVectors(vectors.keys.flip(0), vectors.queries.flip(0))


# Families that nearly fit their module: what is off in them, and the site that the refusal names.
NEARLY = {
    "k and v swapped": ("bert", {"k": BERT.v, "v": BERT.k}, r"off at L0\.v_in"),
    "k is q": ("bert", {"k": BERT.q}, r"L0"),
    "o is the MLP's": ("bert", {"o": BERT.mlp_out}, r"L0"),
    "mlp_out is the first projection": ("bert", {"mlp_out": BERT.mlp_in}, r"L0"),
    "norms swapped": ("bert", {"norm_1": BERT.norm_2, "norm_2": BERT.norm_1}, r"L0"),
    "causal": ("bert", {"causal": True}, r"off at L0\.pattern applied to v|use_cache"),
    "another activation": ("bert", {"activation": LAYER + "output.dropout"}, r"L0\.resid_mid through mlp_in"),
    "another head": ("bert", {"head": "bert.pooler.dense"}, r"pooled projected to logits|labels"),
    "another classify": ("bert", {"classify": lambda module, first: module.classifier(first)}, r"classify of the last"),
    "a missing part": ("bert", {"q": LAYER + "attention.query"}, r"its q is bert\.encoder\.layer\.0\.attention\.query"),
    "another list": ("bert", {"block": "encoder.layers.{}"}, r"list of layers is bert\.encoder\.layers"),
    "no rotation": ("llama", {"rotary": None}, r"L0\.pattern applied to v"),
    "not causal": ("llama", {"causal": False}, r"L0\.pattern applied to v"),
    "norms of a decoder swapped": ("llama", {"norm_1": LLAMA.norm_2, "norm_2": LLAMA.norm_1}, r"L0\.resid_pre norm"),
    "another second norm": ("llama", {"norm_2": LLAMA.norm_1}, r"L0\.resid_mid through"),
    "another last norm": ("llama", {"norm_final": "layers.0.input_layernorm"}, r"last stream normalised to pooled"),
    "taken for post-LN": ("llama", {"norm_final": None}, r"L0"),
    "norms of q and k left out": ("qwen3-lm", {"q_norm": None, "k_norm": None}, r"L0\.pattern applied to v"),
    "read as a classifier": ("gpt2-lm", {"readout": "last"}, r"labels|logits"),
    "no bias by distance": ("MPNetForMaskedLM", {"position_bias": None}, r"L0\.pattern applied to v"),
    "no products with distances": ("DebertaV2ForMaskedLM", {"distances": None}, r"L0\.pattern applied to v"),
    "another scale": ("DebertaV2ForMaskedLM", {"scale": None}, r"L0\.pattern applied to v"),
    "distances the other way": ("DebertaV2ForMaskedLM", {"distances": mirrored}, r"L0\.pattern applied to v"),
    "no later bias of q": ("DebertaForMaskedLM", {"q_bias": None}, r"L0\.pattern applied to v"),
    "no later bias of v": ("DebertaForMaskedLM", {"v_bias": None}, r"L0\.pattern applied to v"),
    "not side by side": ("GPTNeoXForCausalLM", {"parallel": False}, r"L0\.resid_mid through norm_2 and the MLP"),
    "side by side": ("llama", {"parallel": True}, r"L0\.resid_pre through norm_2 and the MLP"),
    "all q first": ("GPTNeoXForCausalLM", {"joint": "blocks"}, r"L0\.(q_in projected|pattern applied)"),
    "by head": ("gpt2-lm", {"joint": "heads"}, r"L0\.(q_in projected|pattern applied)"),
    "halves rotated": ("GPTJForCausalLM", {"neighbours": False}, r"L0\.pattern applied to v"),
    "scores not bounded": ("Gemma2ForCausalLM", {"score_cap": None}, r"L0\.pattern applied to v"),
    "logits not bounded": ("Gemma2ForCausalLM", {"logit_cap": None}, r"projected to logits"),
    "no norm after attention": ("Olmo2ForCausalLM", {"attn_norm": None}, r"L0\.resid_mid through the MLP"),
    "no norm after the MLP": ("Gemma3ForCausalLM", {"mlp_norm": None}, r"L0\.resid_mid"),
}


@pytest.mark.parametrize("case", NEARLY)
def test_a_family_that_nearly_fits_is_refused_with_the_site_that_is_off(case) -> None:
    name, changes, place = NEARLY[case]
    module = tiny_module(name)
    labels = None if name.endswith(("-lm", "LM")) else LABELS
    family = replace(FAMILIES[type(module).__name__], **changes)
    with pytest.raises(hc.HCError, match=place):
        load(module, labels=labels, backend="nnsight", family=family)


def test_a_family_whose_stream_is_normalised_names_both_norms() -> None:
    with pytest.raises(hc.ModelError, match=r"without norm_1 or norm_2, which do that"):
        replace(ERNIE, norm_2=None)


def test_a_rule_that_no_site_shows_is_refused() -> None:
    """OLMo's clipping bounds q, k and v, which small weights never reach."""
    module = tiny_module("OlmoForCausalLM")
    module.config.clip_qkv = 8.0
    with pytest.raises(hc.ModelError, match=r"says clip_qkv=8\.0; expected None"):
        load(module)


@torch.no_grad()
def test_the_order_of_neox_is_that_of_its_config() -> None:
    """One after the other: the MLP reads its heads, and the layer has `resid_mid`."""
    config = transformers.GPTNeoXConfig(
        **{**FAMILIES["GPTNeoXForCausalLM"].tiny, "use_parallel_residual": False, "num_hidden_layers": 2}
    )
    torch.manual_seed(0)
    module = transformers.GPTNeoXForCausalLM(config).double().eval()
    for weight in module.parameters():
        weight.normal_(std=0.3)
    one = load(module)
    path = hc.PatchPath("L0H0", "L0MLP", source=0)
    assert (one.logits(BATCH, path) - one.logits(BATCH)).abs().max() > 1e-3
    assert hc.Site(0, "resid_mid") in one.run(BATCH, capture=hc.Site(0, "resid_mid")).captured
    module.config.use_parallel_residual = True
    for layer in module.gpt_neox.layers:
        layer.use_parallel_residual = True
    other = load(module)
    assert torch.equal(other.logits(BATCH, path), other.logits(BATCH))
    assert other.fingerprint != one.fingerprint
    with pytest.raises(hc.ComponentError, match=r"L0\.resid_mid does not exist: attention and the MLP"):
        other.run(BATCH, capture=hc.Site(0, "resid_mid"))


@torch.no_grad()
def test_edges_into_heads_whose_q_are_normed_together() -> None:
    """Receivers of two layers: a path into those of the first, then one into that of the next under it."""
    model = load(tiny_module("Olmo2ForCausalLM"), backend="nnsight")
    receivers = ["L1H0", "L1H3", "L2H1"]
    edges = hc.PatchEdges(["L0H0", "L0MLP"], receivers, ("q", "k"), source=0)
    paths = [hc.PatchPath(["L0H0", "L0MLP"], part, ("q", "k"), source=0) for part in (receivers[:2], receivers[2:])]
    one, other = model.logits(BATCH, edges), model.logits(BATCH, paths)
    torch.testing.assert_close(one, other, atol=1e-5 * float(other.abs().max()), rtol=0)
    assert (one - model.logits(BATCH)).abs().max() > 1e-3
    for kind in ("q", "v", "pattern", "k_in"):
        edit = hc.Edit(hc.Site(1, kind), lambda value: 2 * value)
        with pytest.raises(hc.InterventionError, match=rf"^{kind} of layer 1 is edited .* edit z instead"):
            model.logits(BATCH, [edges, edit])


@torch.no_grad()
def test_neox_without_biases_of_attention() -> None:
    """On both backends, and in the bridge."""
    tiny = {**FAMILIES["GPTNeoXForCausalLM"].tiny, "attention_bias": False, "num_hidden_layers": 2}
    torch.manual_seed(0)
    module = transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**tiny)).double().eval()
    logits, seen = Twin(module).run(BATCH)
    sites = [hc.Site(layer, kind) for layer in range(2) for kind in ("q", "k", "v", "z", "mlp_out")]
    for backend in ("transformer_lens", "nnsight"):
        model = load(module, backend=backend)
        run = model.run(BATCH, capture=sites)
        torch.testing.assert_close(run.logits, logits, atol=1e-10, rtol=0)
        for site in sites:
            torch.testing.assert_close(run.captured[site], seen[site.layer, site.kind], atol=1e-10, rtol=0)
    bridged = model.bridge(BATCH.input_ids, **model.geometry.inputs(BATCH))
    torch.testing.assert_close(bridged, logits, atol=1e-10, rtol=0)


def test_layers_without_rotation_are_part_of_what_a_model_is() -> None:
    one = load(tiny_module("SmolLM3ForCausalLM"))
    other = tiny_module("SmolLM3ForCausalLM")
    other.config.no_rope_layers = [1, 1, 1]
    rebuilt = transformers.SmolLM3ForCausalLM(other.config).double()
    rebuilt.load_state_dict(other.state_dict())
    assert load(rebuilt).fingerprint != one.fingerprint
