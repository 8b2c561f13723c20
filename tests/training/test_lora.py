"""LoRA: only adapters and head are trained and kept, and a merged checkpoint is the model that peft runs."""

import copy
import json

import peft
import pytest
import torch
from safetensors.torch import load_file
from training_start import TASK, same, start_of, weights

import hc_interp as hc
from hc_interp.metrics import group_cross_entropy
from hc_interp.models.hashed_files import sha256_of
from hc_interp.training.data import TrainingData
from hc_interp.training.phases import as_phases, draw


def by_peft(start: hc.HookedModel, file, settings: dict) -> torch.nn.Module:
    """The module that peft makes of a fresh copy of the start and the file of a checkpoint."""
    module = copy.deepcopy(start.module)
    head = "classifier" if hasattr(module, "classifier") else "score"
    config = peft.LoraConfig(
        r=settings["rank"], lora_alpha=settings["alpha"], use_rslora=settings["rank_stabilised"],
        target_modules=settings["targets"], modules_to_save=[head], fan_in_fan_out=head == "score", task_type="SEQ_CLS",
    )  # fmt: skip
    wrapped = peft.get_peft_model(module, config)
    found = peft.set_peft_model_state_dict(wrapped, load_file(file))
    assert not found.unexpected_keys
    return wrapped.eval()


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("lora", [4, {"r": 2, "lora_alpha": 5, "use_rslora": True}], ids=["rank", "fields"])
def test_a_merged_checkpoint_is_what_peft_runs(family, lora, tmp_path) -> None:
    start = start_of(family, torch.float64)
    series = hc.finetune(start, TASK, tmp_path / "out", steps=4, batch_size=6, lr=1e-2, lora=lora, checkpoints=[])
    batch = start.tokenize(TASK.validation)
    module = by_peft(start, series.folder / "step-0000004.safetensors", series.card["lora"])
    expected = module(batch.input_ids, **start.geometry.inputs(batch)).logits
    logits = series[4].logits(batch)
    assert (logits - expected).abs().max() < 1e-10
    assert (logits - start.logits(batch)).abs().max() > 1e-2


def test_only_adapters_and_head_are_trained_and_kept(tmp_path) -> None:
    start = start_of("bert")
    lora = {"r": 2, "target_modules": ["query"]}
    series = hc.finetune(start, TASK, tmp_path / "out", steps=4, batch_size=6, lr=1e-2, lora=lora)
    assert same(weights(series[0]), weights(start))
    changed = {name for name, value in weights(series[4]).items() if not torch.equal(value, weights(start)[name])}
    queries = {f"bert.encoder.layer.{layer}.attention.self.query.weight" for layer in range(3)}
    assert changed == queries | {"classifier.weight", "classifier.bias"}
    kept = load_file(series.folder / "step-0000004.safetensors")
    assert sum(value.numel() for value in kept.values()) == 3 * 2 * (24 + 24) + 3 * 24 + 3


def test_updates_of_the_trained_model_are_read_by_interventions(tmp_path) -> None:
    """An edit of q_in reads W_Q: in a model with trained adapters it must be the merged one."""
    start = start_of("bert", torch.float64)
    given = [hc.Edit(hc.Site(1, "q_in", 1), lambda value: 0.5 * value), hc.Ablate("L0H1", with_=0)]
    options = {"steps": 3, "batch_size": 6, "lr": 1e-2, "dropout": False, "interventions": given, "lora": 4}
    series = hc.finetune(start, TASK, tmp_path / "out", checkpoints=[1, 2], **options)
    data = TrainingData.of(start, [TASK.train], draw(as_phases([(0, TASK.train)], 3), 3, 6, 0))
    for step in (1, 2):  # the loss of the update after a checkpoint is that of the checkpoint, loaded and merged
        batch, gold = data.batch(step)
        loss = group_cross_entropy(series[step].logits(batch, given), gold).mean()
        later = series.metrics[(series.metrics.step == step + 1) & (series.metrics.system == "full")]
        assert later.loss.item() == pytest.approx(loss.item(), rel=1e-9)


def test_a_peft_config_says_the_same_as_its_fields(tmp_path) -> None:
    start, options = start_of("bert"), {"steps": 2, "batch_size": 6}
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["query", "value"], task_type="SEQ_CLS")
    fields = {"r": 2, "lora_alpha": 6, "target_modules": ["query", "value"]}
    one = hc.finetune(start, TASK, tmp_path / "one", lora=config, **options)
    other = hc.finetune(start, TASK, tmp_path / "other", lora=fields, **options)
    assert sorted(one.card["lora"].pop("targets")) == sorted(other.card["lora"].pop("targets"))
    assert one.card["lora"] == other.card["lora"]


def test_dropout_in_adapters_is_resumed_too(tmp_path) -> None:
    """Two trainings of one seed are the same where adapters drop values."""
    options = {"steps": 3, "batch_size": 6, "lora": {"r": 2, "lora_dropout": 0.5}, "lr": 1e-2}
    one, other = (hc.finetune(start_of("bert"), TASK, tmp_path / name, **options) for name in ("one", "other"))
    assert same(weights(one[3]), weights(other[3]))
    off = hc.finetune(start_of("bert"), TASK, tmp_path / "off", **{**options, "lora": 2})
    assert not same(weights(one[3]), weights(off[3]))
    hashes = json.loads((one.folder / "card.json").read_text())["checkpoints"]
    assert hashes["3"]["sha256"] == sha256_of(one.folder / hashes["3"]["file"])
