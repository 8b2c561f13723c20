"""The whole question on decoders: every analysis takes them, a classifier and a language model read at label words."""

import math

import pytest
import torch
from texts import word_tokenizer
from transformers import GPT2Config, GPT2ForSequenceClassification, LlamaConfig, LlamaForCausalLM

import hc_interp as hc

CASE = "lexical_overlap_ln_subject/object_swap"
LABELS = ["entailment", "neutral", "contradiction"]


@pytest.fixture(scope="module")
def task():
    return hc.load_task("overlap-grammar")


@pytest.fixture(scope="module")
def pairs(task):
    return {kind: task.contrast_pairs(CASE, kind=kind, split="test").sample(24) for kind in task.pair_kinds(CASE)}


@pytest.fixture(scope="module", params=["classifier", "language model"])
def model(request, task, pairs):
    parts = [task.train, task.overlap, task.validation, *task.cases.values()]
    parts += [side for found in pairs.values() for side in (found.clean, found.corrupt)]
    texts = [text for part in parts for side in (part.first, part.second) for text in side]
    tokenizer = word_tokenizer([*texts, *LABELS])
    torch.manual_seed(0)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    if request.param == "classifier":
        module = GPT2ForSequenceClassification(
            GPT2Config(n_layer=3, n_head=4, n_embd=32, n_positions=64, num_labels=3, **ids)
        )
    else:
        sizes = {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
        module = LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=48, **sizes, **ids))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(8 if parameter.ndim > 1 else 1)  # so that heads do something
    return hc.load(module, tokenizer=tokenizer, labels=LABELS)


@pytest.fixture(scope="module")
def means(model, task):
    return hc.mean_activations(model, task.train.sample(60))


def test_from_masks_to_a_table(model, task, means) -> None:
    found = hc.search_masks(
        model, task.train.sample(100), sparsity=0.5, seeds=range(2), means=means, steps=20, exchanges=1
    )
    assert [len(subnetwork) for subnetwork in found.subnetworks] == [8, 8]  # of 15, a half rounded up
    frame = hc.evaluate(
        model, task, subnetworks=found.subnetworks, means=means, cases=[CASE], max_per_case=30
    ).to_frame()
    assert frame["kl"][0] == 0
    assert (frame["kl"][1:] > 0).all()
    assert len(hc.heuristic_core(found.subnetworks).heads) <= 8


def test_paths_and_the_verdict(model, pairs, means) -> None:
    core, readers = ["L0H0", "L0H1", "L0H2", "L0H3"], ["L2H1", "L2H3"]
    effects = hc.path_effects(model, pairs["order"], core, readers, "each", route="all")
    assert effects.effects.abs().max() > 0
    verdict = hc.reads_from(model, pairs, core=core, generalizing=readers, means=means, n_permutations=19)
    assert verdict.answer == "inconclusive"  # random weights: the pairs hardly move the metric


def test_a_probe_with_a_path_cut(model, task, means) -> None:
    cut = hc.PatchPath(["L0H0", "L0H1"], "L1H1", through="v", source=means, route="all")
    data, site = task.overlap.sample(120), hc.Site(1, "v", head=1)
    plain, after = (hc.fit_probe(model, data, site, "token_overlap", interventions=i) for i in ([], [cut]))
    assert math.isfinite(plain.scores["auc"].value)
    assert plain.scores["auc"].value != after.scores["auc"].value
