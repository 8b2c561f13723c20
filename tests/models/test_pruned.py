"""Subnetworks written into weights, and models written into folders: what others read is what was measured."""

import pytest
import torch
import transformers
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.models.families import FAMILIES

BATCH = tiny_batch(4)
REMOVED = ["L0H1", "L1H0", "L1H1", "L1H2", "L2H0", "L0MLP", "L2MLP"]


def wrapped(name, **more):
    if FAMILIES[name].readout == "vocabulary":
        words = ["yes", "no", "maybe"]
        return hc.load(tiny_module(name), labels=words, tokenizer=word_tokenizer([" ".join(words)]), backend="nnsight")
    if FAMILIES[name].readout == "token":
        more["read_at"] = 1
    return hc.load(tiny_module(name), labels=LABELS, backend="nnsight", **more)


def plain_logits(model, module):
    """The logits of a module that transformers runs, read where `model` reads its own."""
    again = hc.load(
        module,
        tokenizer=model.tokenizer,
        labels=model.labels,
        backend="nnsight",
        family=model.family,
        read_at=model.readout.read_at,
    )
    return again.logits(BATCH)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def model(request):
    return wrapped(request.param)


def subnetwork(model):
    return hc.Subnetwork(model.components, model.components).without(REMOVED)


def test_a_subnetwork_without_means_is_the_model_under_keep(model) -> None:
    found = subnetwork(model)
    expected = model.logits(BATCH, hc.Keep(found, 0))
    torch.testing.assert_close(plain_logits(model, found.apply(model, 0)), expected, rtol=0, atol=1e-6)
    assert (expected - model.logits(BATCH)).abs().max() > 1e-4


def test_a_subnetwork_with_means_is_the_model_under_keep_or_refused_by_name(model) -> None:
    found, means = subnetwork(model), hc.mean_activations(model, tiny_batch(6, seed=3), positional=False)
    before = [parameter.clone() for parameter in model.module.parameters()]
    geometry = model.geometry
    holds = geometry.part("o", 0).bias is not None and geometry.part("mlp_out", 0).bias is not None
    if holds and model.family.mlp_norm is None:
        expected = model.logits(BATCH, hc.Keep(found, means))
        torch.testing.assert_close(plain_logits(model, found.apply(model, means)), expected, rtol=0, atol=1e-6)
    else:
        with pytest.raises(hc.ModelError, match=rf"{type(model.module).__name__}.* Apply the subnetwork with 0"):
            found.apply(model, means)
    for old, new in zip(before, model.module.parameters(), strict=True):
        assert torch.equal(old, new)  # the model itself stays


def test_constants_that_no_weight_can_hold_are_refused() -> None:
    model = wrapped("BertForSequenceClassification")
    means = hc.mean_activations(model, tiny_batch(6, seed=3), positional=True)
    with pytest.raises(hc.InterventionError, match="means by position, which no bias can hold"):
        subnetwork(model).apply(model, means)
    with pytest.raises(hc.InterventionError, match="Expected means, which weights can hold, or 0"):
        subnetwork(model).apply(model, 1.5)
    other = hc.load(tiny_module("bert", seed=1), labels=LABELS)
    of_other = hc.mean_activations(other, tiny_batch(6), positional=False)
    with pytest.raises(hc.InterventionError, match="were taken from a model with fingerprint"):
        subnetwork(model).apply(model, of_other)
    small = hc.Subnetwork([], ["L7H0"])
    with pytest.raises(hc.ComponentError, match="L7H0 is not a component"):
        small.apply(model, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_saved_pruned_model_is_read_by_transformers_alone(tmp_path, dtype) -> None:
    model = hc.load(tiny_module("bert", dtype=dtype), labels=LABELS, tokenizer=word_tokenizer(["one two"]))
    means = hc.mean_activations(model, tiny_batch(6, seed=3), positional=False)
    found = subnetwork(model)
    hc.load(found.apply(model, means), tokenizer=model.tokenizer, labels=LABELS).save(tmp_path / "pruned")
    module = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "pruned")
    assert module.dtype == dtype
    assert [module.config.id2label[i] for i in range(3)] == [*LABELS]
    mask = BATCH.attention_mask
    plain = module.eval()(input_ids=BATCH.input_ids, attention_mask=mask, token_type_ids=BATCH.token_type_ids).logits
    tolerance = 1e-6 if dtype == torch.float64 else 0.05
    torch.testing.assert_close(plain, model.logits(BATCH, hc.Keep(found, means)), rtol=0, atol=tolerance)


def test_a_saved_model_loads_as_the_same_model(tmp_path, capfd) -> None:
    model = hc.load(tiny_module("gpt2"), labels=LABELS, tokenizer=word_tokenizer(["one two"]))
    folder = model.save(tmp_path / "new" / "folder")
    assert not capfd.readouterr().err  # no bars
    again = hc.load(folder)
    assert again.fingerprint == model.fingerprint
    assert again.labels == model.labels
    assert torch.equal(again.logits(BATCH), model.logits(BATCH))
    assert again.tokenize("one two").input_ids.tolist() == model.tokenize("one two").input_ids.tolist()


def test_nothing_is_written_over_or_left_half_written(tmp_path, monkeypatch) -> None:
    model = hc.load(tiny_module("bert"), labels=LABELS)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(hc.HCError, match=r"is there already\. Expected a folder that is new or empty"):
        model.save(tmp_path / "taken")
    (tmp_path / "empty").mkdir()
    model.save(tmp_path / "empty")

    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transformers.PretrainedConfig, "save_pretrained", full)
    with pytest.raises(hc.HCError, match=r"could not be written \(No space left on device\)"):
        model.save(tmp_path / "full")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "taken"]
