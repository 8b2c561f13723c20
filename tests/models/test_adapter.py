"""LoRA and other adapters of peft: folders load merged into their base, and what cannot be merged is refused."""

import builtins
import json
import shutil
import sys

import pytest
import torch
import transformers
from checkpoints import edit_config, save
from path_pairs import make_pairs
from shell import call
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.errors import HCWarning, LabelError, ModelError
from hc_interp.models.load import load

peft = pytest.importorskip("peft")
BACKENDS = ["transformer_lens", "nnsight"]
TARGETS = {
    "bert": ["query", "value", "output.dense"],
    "roberta": ["query", "key"],
    "distilbert": ["q_lin", "lin1"],
    "gpt2": ["c_attn", "mlp.c_proj"],
    "llama": ["q_proj", "v_proj", "down_proj"],
}
BATCH = tiny_batch(4)


def adapt(base, folder, family="bert", module=None, **settings):
    """An adapter with random numbers on a base, saved; and the logits that peft itself gives, unmerged."""
    if module is None:
        module = type(tiny_module(family)).from_pretrained(base)
    settings = {"task_type": "SEQ_CLS", "r": 4, "target_modules": TARGETS[family]} | settings
    wrapped = peft.get_peft_model(module, peft.LoraConfig(**settings)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
        wrapped.save_pretrained(folder)
        logits = wrapped(BATCH.input_ids, attention_mask=BATCH.attention_mask).logits
    return wrapped, logits


def logits_of(model):
    """Without token types, as above."""
    return model.logits(hc.Batch(BATCH.input_ids, BATCH.attention_mask))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", sorted(TARGETS))
def test_a_folder_loads_merged(family, backend, tmp_path) -> None:
    base = save(tmp_path / "base", family)
    _, expected = adapt(base, tmp_path / "lora", family)
    model = load(tmp_path / "lora", device="cpu", backend=backend)
    assert (model.name, model.labels) == ("lora", LABELS)
    assert model.tokenizer is not None, "the base's"
    plain = load(base, device="cpu").logits(BATCH)
    assert float((logits_of(model) - plain).abs().max()) > 0.01
    exact = load(tmp_path / "lora", device="cpu", dtype="float64", backend=backend)
    torch.testing.assert_close(logits_of(exact).float(), expected, atol=1e-5, rtol=0)
    assert type(model.module) is type(tiny_module(family))
    assert not [part for part in model.module.modules() if type(part).__module__.startswith("peft")]
    hc.path_effects(model, make_pairs(3), "L0H1", "L2H1")


@pytest.mark.parametrize("family", sorted(TARGETS))
def test_merged_logits_are_pefts_own(family, tmp_path) -> None:
    """Both in float64, so that the order of sums does not show."""
    tiny_module(family).save_pretrained(tmp_path / "base")
    wrapped, expected = adapt(tmp_path / "base", tmp_path / "lora", family)
    assert expected.dtype == torch.float64
    model = load(tmp_path / "lora", device="cpu", labels=LABELS)
    assert model.dtype == torch.float64
    torch.testing.assert_close(logits_of(model), expected, atol=1e-6, rtol=0)
    live = load(wrapped.merge_and_unload(), labels=LABELS)
    torch.testing.assert_close(logits_of(live), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"bias": "all"},
        {"task_type": None},
        {"modules_to_save": ["pooler", "classifier"]},
        {"rank_pattern": {"query": 2}},
        {"target_modules": "all-linear"},
    ],
    ids=str,
)
def test_kinds_of_lora(settings, tmp_path) -> None:
    base = save(tmp_path / "base")
    _, expected = adapt(base, tmp_path / "lora", **settings)
    torch.testing.assert_close(logits_of(load(tmp_path / "lora", device="cpu")), expected, atol=1e-5, rtol=0)


def test_other_adapters_that_scale_weights(tmp_path) -> None:
    base = save(tmp_path / "base")
    module = type(tiny_module()).from_pretrained(base)
    config = peft.IA3Config(task_type="SEQ_CLS", target_modules=["query", "value"], feedforward_modules=[])
    wrapped = peft.get_peft_model(module, config).eval()
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "ia3_" in name:
                parameter.mul_(1.5)
        expected = wrapped(BATCH.input_ids, attention_mask=BATCH.attention_mask).logits
    wrapped.save_pretrained(tmp_path / "ia3")
    torch.testing.assert_close(logits_of(load(tmp_path / "ia3", device="cpu")), expected, atol=1e-5, rtol=0)


def test_a_head_of_other_classes_than_the_bases(tmp_path) -> None:
    """As it is trained on a base without a classifier: the head comes with the adapter, its names from the user."""
    transformers.BertForMaskedLM(tiny_module().config).save_pretrained(tmp_path / "base")
    edit_config(tmp_path / "base", id2label={str(i): f"LABEL_{i}" for i in range(2)}, label2id={})
    module = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=3)
    module.bert.pooler.dense.weight.data.zero_()
    _, expected = adapt(None, tmp_path / "lora", module=module, modules_to_save=["classifier", "pooler"])
    with pytest.raises(LabelError, match="lora does not name its labels"):
        load(tmp_path / "lora", device="cpu")
    model = load(tmp_path / "lora", labels=LABELS, device="cpu")
    torch.testing.assert_close(logits_of(model), expected, atol=1e-5, rtol=0)


def test_language_models(tmp_path) -> None:
    for family, targets in {"gpt2-lm": ["c_attn"], "qwen3-lm": ["q_proj"]}.items():
        base = save(tmp_path / family, family)
        module = type(tiny_module(family)).from_pretrained(base)
        _, expected = adapt(None, tmp_path / "lora", module=module, task_type="CAUSAL_LM", target_modules=targets)
        model = load(tmp_path / "lora", device="cpu")
        real = BATCH.attention_mask.bool()
        torch.testing.assert_close(logits_of(model)[real], expected[real], atol=2e-5, rtol=1e-5)


def test_the_tokenizer_beside_the_adapter_goes_before_the_bases(tmp_path) -> None:
    adapt(save(tmp_path / "base"), tmp_path / "lora")
    assert "[UNK]" in load(tmp_path / "lora", device="cpu").tokenizer.tokenize("the words")
    word_tokenizer(["the words"]).save_pretrained(tmp_path / "lora")
    assert load(tmp_path / "lora", device="cpu").tokenizer.tokenize("the words") == ["the", "words"]


def edit_adapter(folder, **changes) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickle_it(folder) -> None:
    (folder / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapter_model.bin")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (pickle_it, "adapter without adapter_model.safetensors.*Pickled weights are refused"),
        (lambda folder: edit_adapter(folder, base_model_name_or_path=None), "base_model_name_or_path=None; expected"),
        (lambda folder: edit_adapter(folder, base_model_name_or_path="/no/base"), "/no/base is neither a folder"),
        (lambda folder: edit_adapter(folder, base_model_name_or_path=str(folder)), "which is an adapter itself"),
        (lambda folder: edit_adapter(folder, task_type="SEQ_2_SEQ_LM"), "task_type='SEQ_2_SEQ_LM' on a bert"),
        (lambda folder: edit_adapter(folder, task_type="CAUSAL_LM"), "adapter with task_type='CAUSAL_LM' on a bert"),
        (lambda folder: edit_adapter(folder, target_modules=["query"]), "do not fit the base.*are in one of them only"),
        (
            lambda folder: edit_adapter(folder, target_modules=["none"]),
            "lora could not be loaded .*No modules were targeted",
        ),
        (lambda folder: edit_adapter(folder, peft_type="NEW"), "lora could not be loaded"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "lora could not be loaded .JSONDecodeError"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x"), "could not be loaded .*Safetensor"),
        (lambda folder: shutil.rmtree(folder.parent / "base"), "base is neither a folder"),
        (lambda folder: edit_config(folder.parent / "base", num_hidden_layers=2), "weights of layers"),
    ],
)
def test_damaged_adapters(damage, message, tmp_path) -> None:
    base = save(tmp_path / "base")
    adapt(base, tmp_path / "lora")
    damage(tmp_path / "lora")
    with pytest.raises(ModelError, match=message) as caught:
        load(tmp_path / "lora", labels=LABELS, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_head_that_neither_holds_is_refused(tmp_path) -> None:
    base = save(tmp_path / "base")
    adapt(base, tmp_path / "lora", task_type=None)
    transformers.BertModel(tiny_module().config).save_pretrained(base)
    with pytest.raises(ModelError, match="base lacks 2 of the weights of BertForSequenceClassification"):
        load(tmp_path / "lora", labels=LABELS, device="cpu")


def test_an_adapter_of_inputs_is_refused(tmp_path) -> None:
    base = save(tmp_path / "base")
    config = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3)
    wrapped = peft.get_peft_model(type(tiny_module()).from_pretrained(base), config)
    wrapped.save_pretrained(tmp_path / "prompt")
    shutil.rmtree(base)
    with pytest.raises(ModelError, match="of kind PROMPT_TUNING, which adds inputs that no weight can hold"):
        load(tmp_path / "prompt", labels=LABELS)
    with pytest.raises(ModelError, match=r"inputs that no weight can hold.*LoRA can be merged"):
        load(wrapped, labels=LABELS)


def test_without_peft_the_extra_is_named(tmp_path, monkeypatch) -> None:
    adapt(save(tmp_path / "base"), tmp_path / "lora")
    plain = builtins.__import__

    def lack(name, *rest, **given):
        if name.split(".")[0] == "peft":
            raise ImportError("No module named 'peft'")
        return plain(name, *rest, **given)

    monkeypatch.setattr(builtins, "__import__", lack)
    monkeypatch.delitem(sys.modules, "peft")
    with pytest.raises(ModelError, match=r"peft is not installed.*pip install 'hc-interp\[lora\]'"):
        load(tmp_path / "lora")


@pytest.mark.parametrize("family", sorted(TARGETS))
def test_live_adapted_models_are_merged_in_a_copy(family, tmp_path) -> None:
    tiny_module(family).save_pretrained(tmp_path / "base")
    wrapped, expected = adapt(tmp_path / "base", tmp_path / "lora", family)
    before = {name: tensor.clone() for name, tensor in wrapped.state_dict().items()}
    for given in (wrapped, wrapped.base_model):
        model = load(given, labels=LABELS)
        torch.testing.assert_close(logits_of(model), expected, atol=1e-10, rtol=0)
        assert model.name == type(model.module).__name__ == type(tiny_module(family)).__name__
    assert all(torch.equal(before[name], tensor) for name, tensor in wrapped.state_dict().items())
    assert before.keys() == wrapped.state_dict().keys()  # the user's model has its adapters still


@pytest.mark.parametrize("family", sorted(TARGETS))
def test_what_holds_adapted_parts_is_refused(family, tmp_path) -> None:
    wrapped, _ = adapt(save(tmp_path / "base", family), tmp_path / "lora", family)
    for given, way in (
        (torch.nn.DataParallel(wrapped), r"module\.module"),
        (torch.compile(wrapped), r"module\._orig_mod"),
    ):
        with pytest.raises(ModelError, match=rf"Pass hc\.load\({way}\)"):
            load(given, labels=LABELS)
    with pytest.raises(ModelError, match=r"is a peft\.tuners\.lora\.layer\.\w+, not a .*merge_and_unload\(\)"):
        load(wrapped.base_model.model, labels=LABELS)
    inside = tiny_module(family, dtype=torch.float32)
    inside.add_adapter(peft.LoraConfig(r=2, target_modules=TARGETS[family]))
    with pytest.raises(ModelError, match="is a peft"):
        load(inside, labels=LABELS)


def test_adapters_that_are_switched_off_or_hooked_are_refused(tmp_path) -> None:
    wrapped, _ = adapt(save(tmp_path / "base"), tmp_path / "lora")
    wrapped.base_model.disable_adapter_layers()
    with pytest.raises(ModelError, match=r"adapters are switched off.* hc\.load\(module\.unload\(\)\)"):
        load(wrapped, labels=LABELS)
    wrapped.base_model.enable_adapter_layers()
    wrapped.register_forward_hook(lambda module, given, value: None)
    with pytest.raises(ModelError, match="carries"):
        load(wrapped, labels=LABELS)


def test_hooks_on_an_adapted_model_are_stripped_with_a_warning(tmp_path) -> None:
    wrapped, expected = adapt(save(tmp_path / "base"), tmp_path / "lora")
    wrapped.register_forward_hook(lambda module, given, value: None)
    adapted = next(part for part in wrapped.modules() if hasattr(part, "lora_A"))
    adapted.register_forward_hook(lambda module, given, value: 2 * value)
    with pytest.warns(HCWarning, match="leaves out 2 foreign hooks"):
        model = load(wrapped, labels=LABELS, foreign_hooks="strip")
    torch.testing.assert_close(logits_of(model), expected, atol=1e-6, rtol=0)
    assert adapted._forward_hooks


def test_the_command_line_takes_the_folder(tmp_path, monkeypatch, capsys) -> None:
    adapt(save(tmp_path / "base"), tmp_path / "lora")
    pickle_it(tmp_path / "lora")
    done = call(
        monkeypatch, capsys, "evaluate", "--model", str(tmp_path / "lora"), "--task", "overlap-grammar",
        "--out", str(tmp_path / "out.json"),
    )  # fmt: skip
    assert (done.code, "Pickled weights are refused" in done.err) == (2, True)
