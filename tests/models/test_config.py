"""Fields of a config: put right where their meaning is plain, else refused by name, of a folder and a live module."""

from functools import cache

import pytest
import torch
import transformers
from checkpoints import TEXTS, save
from path_pairs import make_pairs
from shell import call
from tiny import LABELS, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.errors import HCWarning, ModelError
from hc_interp.models.load import load

BACKENDS = ["transformer_lens", "nnsight"]
KINDS = ["bert", "gpt2", "llama", "distilbert"]
CLASSES = {kind: type(tiny_module(kind)).__name__ for kind in KINDS}
NAMES = {  # of the numbers of heads, layers and positions, and of the width
    "bert": ("num_attention_heads", "num_hidden_layers", "max_position_embeddings", "hidden_size"),
    "gpt2": ("n_head", "n_layer", "n_positions", "n_embd"),
    "llama": ("num_attention_heads", "num_hidden_layers", "max_position_embeddings", "hidden_size"),
    "distilbert": ("n_heads", "n_layers", "max_position_embeddings", "dim"),
}


@cache
def plain_logits(kind):
    """Of the module whose config is as its class sets it."""
    return load(tiny_module(kind, dtype=torch.float32), labels=LABELS).logits(tiny_batch(3))


def same_as_plain(model, kind) -> None:
    torch.testing.assert_close(model.logits(tiny_batch(3)).float(), plain_logits(kind), atol=1e-5, rtol=1e-5)
    hc.path_effects(model, make_pairs(3), "L0H1", "L2H1")


def test_numbers_of_tables_and_types_are_refused_by_name(tmp_path) -> None:
    """All families and all sizes: 0, negative, a text, a fraction, a truth value."""
    for kind in KINDS:
        for field in NAMES[kind]:
            for wrong in (0, -3, "3", 3.0, True, [3]):
                save(tmp_path, kind, **{field: wrong})
                with pytest.raises(
                    ModelError, match=rf"says {field}=.*; expected a whole number of at least 1"
                ) as caught:
                    load(tmp_path, device="cpu")
                assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "is quantized .*tsandbytes"),
        ({"quantization_config": {"quant_method": "fp8"}}, "is quantized .*fp8.*dequantize"),
        ({"quantization_config": {}}, "is quantized"),
        ({"quantization_config": "int8"}, "is quantized .*int8"),
        ({"attn_implementation": "mine"}, "says attn_implementation='mine'; expected 'eager' or 'sdpa'"),
        ({"attn_implementation": 3}, "says attn_implementation=3; expected"),
        ({"dtype": "float7"}, "says dtype='float7'; expected one of float32, .*--dtype float32 goes before it"),
        ({"dtype": "int8"}, "says dtype='int8'; expected"),
        ({"dtype": "float8_e4m3fn"}, "says dtype='float8_e4m3fn'; expected"),
        ({"dtype": 3}, "says dtype=3; expected"),
        ({"dtype": None, "torch_dtype": "half7"}, "says torch_dtype='half7'; expected"),
        ({"architectures": [3]}, r"says architectures=\[3\]; expected a list of class names"),
        ({"architectures": {"a": 1}}, "says architectures=.*expected a list of class names"),
        ({"id2label": "abc"}, "says id2label='abc'; expected the name of each class"),
        ({"id2label": 3}, "says id2label=3; expected"),
        ({"id2label": {"a": "x", "b": "y", "c": "z"}}, "says id2label=.*expected the name of each class"),
        ({"label2id": "abc"}, "says label2id='abc'; expected"),
        ({"label2id": {"a": [0]}}, "says label2id=.*expected"),
        ({"id2label": None}, "weights of another shape .*the number of classes is that of the names in id2label"),
        ({"pad_token_id": "[PAD]"}, r"says pad_token_id='\[PAD\]'; expected one of the tokens 0 to 59, or null"),
        ({"pad_token_id": 60}, "says pad_token_id=60; expected one of the tokens 0 to 59, or null"),
        ({"vocab_size": "60"}, "says vocab_size='60'; expected a whole number"),
        ({"type_vocab_size": "2"}, "says type_vocab_size='2'; expected a whole number of at least 0"),
        ({"tie_word_embeddings": "yes"}, "could not be loaded .*'tie_word_embeddings' expected bool, got str"),
        ({"hidden_act": "nope", "activation_function": "nope", "activation": "nope"}, "could not be loaded .*nope"),
        ({"model_type": 3}, "could not be loaded .*model type `3`"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_field_is_refused_by_name(kind, changes, message, tmp_path) -> None:
    save(tmp_path, kind, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        load(tmp_path, device="cpu")
    assert "\n" not in str(caught.value)


def test_it_is_refused_before_weights_are_read(tmp_path) -> None:
    save(tmp_path, num_attention_heads=0)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="says num_attention_heads=0"):
        load(tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_has_one_meaning_is_put_right(kind, backend, tmp_path) -> None:
    save(
        tmp_path, kind, architectures=CLASSES[kind], id2label=list(LABELS), label2id=list(LABELS), dtype="torch.float32"
    )
    model = load(tmp_path, device="cpu", backend=backend)
    assert model.labels == LABELS
    same_as_plain(model, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_type_does_not_hinder_who_names_one(kind, tmp_path) -> None:
    save(tmp_path, kind, dtype="float7")
    model = load(tmp_path, device="cpu", dtype="float64")
    assert model.dtype == torch.float64
    same_as_plain(model, kind)


def test_weights_are_not_rounded_to_the_types_of_the_config_first(tmp_path) -> None:
    save(tmp_path, dtype="bfloat16")
    assert load(tmp_path, device="cpu").dtype == torch.bfloat16
    model = load(tmp_path, device="cpu", dtype="float32")
    assert torch.equal(model.module.classifier.weight, tiny_module(dtype=torch.float32).classifier.weight)


def test_a_llamas_rotary_frequencies_stay_in_float32(tmp_path) -> None:
    for named in ("float32", None):
        save(tmp_path, "llama", dtype=named)
        model = load(tmp_path, device="cpu", dtype="bfloat16")
        assert model.dtype == torch.bfloat16
        assert model.module.model.rotary_emb.inv_freq.dtype == torch.float32


KERNELS = ["flash_attention_2", "flash_attention_3", "flex_attention", "kernels-community/flash-attn", "paged|eager"]


@pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation"])
@pytest.mark.parametrize(("kind", "kernel"), [*((kind, KERNELS[0]) for kind in KINDS), *(("bert", k) for k in KERNELS)])
def test_other_attention_kernels_are_replaced_by_sdpa(kind, kernel, field, tmp_path) -> None:
    save(tmp_path, kind, **{field: kernel})
    with pytest.warns(HCWarning, match="asks for attention by .*computed by SDPA"):
        model = load(tmp_path, device="cpu")
    assert model.module.config._attn_implementation == "sdpa"
    same_as_plain(model, kind)


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_torchs_own_attention_is_kept(kernel, tmp_path, recwarn) -> None:
    save(tmp_path, attn_implementation=kernel)
    assert load(tmp_path, device="cpu").module.config._attn_implementation == kernel
    assert not [warning for warning in recwarn if issubclass(warning.category, HCWarning)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_live_modules_too(kind, backend) -> None:
    module = tiny_module(kind, dtype=torch.float32)
    module.config.id2label, module.config.label2id = list(LABELS), list(LABELS)
    module.config._attn_implementation = "flash_attention_2"
    module.config.pad_token_id = -1 if kind != "bert" else 0
    with pytest.warns(HCWarning, match="computed by SDPA"):
        model = load(module, backend=backend)
    assert model.labels == LABELS
    assert module.config._attn_implementation == "flash_attention_2", "the user's module is left as it is"
    assert module.config.id2label == list(LABELS)
    torch.testing.assert_close(model.logits(tiny_batch(3)), plain_logits(kind), atol=1e-5, rtol=1e-5)
    module.config.vocab_size = 0
    with pytest.raises(ModelError, match=r"says vocab_size=0; expected.*\(or module.config\)"):
        load(module, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "extra",
    [{"head_dim": 4}, {"num_key_value_heads": 1}, {"sliding_window": 2}, {"layer_types": ["sliding_attention"] * 3}],
    ids=str,
)  # fmt: skip
def test_fields_that_a_class_does_not_have_change_nothing(kind, extra, backend, tmp_path) -> None:
    if kind == "llama" and set(extra) & {"head_dim", "num_key_value_heads"}:
        pytest.skip("Llama has them")
    save(tmp_path, kind, **extra)
    same_as_plain(load(tmp_path, device="cpu", backend=backend), kind)


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_an_encoder_that_is_a_decoder_is_refused(kind, tmp_path) -> None:
    save(tmp_path, kind, is_decoder=True)
    with pytest.raises(ModelError, match=r"says is_decoder=True.*Set is_decoder to false in config\.json"):
        load(tmp_path, device="cpu")


@pytest.mark.parametrize("given", [None, -1])
def test_no_padding_token(given, tmp_path) -> None:
    for kind in KINDS:
        save(tmp_path, kind, pad_token_id=given)
        model = load(tmp_path, device="cpu")
        batch = model.tokenize(TEXTS)
        alone = [model.module(batch.input_ids[[row], : batch.attention_mask[row].sum()]).logits for row in range(2)]
        torch.testing.assert_close(model.logits(batch), torch.cat(alone), atol=1e-5, rtol=1e-5)
    save(tmp_path, "roberta", pad_token_id=given)
    with pytest.raises(ModelError, match=r"has no pad_token_id, from which its positions are counted.*it is 1"):
        load(tmp_path, device="cpu")


def test_no_class_is_named(tmp_path) -> None:
    for kind in KINDS:
        save(tmp_path, kind, architectures=None)
        with pytest.raises(ModelError, match=rf'no named architecture.*"architectures": \["{CLASSES[kind]}"\]'):
            load(tmp_path, device="cpu")


@pytest.mark.parametrize("what", ["bias", "layer"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_weights_that_the_config_leaves_out_are_refused(kind, what, tmp_path) -> None:
    if what == "layer":
        save(tmp_path, kind, **{NAMES[kind][1]: 2})
    elif kind == "llama":
        config = transformers.LlamaConfig(**tiny_module(kind).config.to_dict() | {"attention_bias": True})
        transformers.LlamaForSequenceClassification(config).save_pretrained(tmp_path)
        save(tmp_path / "other", kind)
        (tmp_path / "config.json").write_text((tmp_path / "other" / "config.json").read_text())
    else:
        pytest.skip("GPT-2 has all biases")
    with pytest.raises(ModelError, match=r"weights of layers that its config\.json does not have"):
        load(tmp_path, device="cpu")


def test_the_command_line_says_it_in_one_paragraph(tmp_path, monkeypatch, capsys) -> None:
    for changes, message in (
        ({"num_attention_heads": 0}, "says num_attention_heads=0; expected a whole number"),
        ({"quantization_config": {"quant_method": "gptq"}}, "is quantized"),
        ({"dtype": "float7"}, "--dtype float32"),
        ({"id2label": {str(i): f"LABEL_{i}" for i in range(3)}}, "--labels entailment,neutral,contradiction"),
    ):
        save(tmp_path / "mine", **changes)
        done = call(
            monkeypatch, capsys, "evaluate", "--model", str(tmp_path / "mine"), "--task", "overlap-grammar",
            "--out", str(tmp_path / "out.json"),
        )  # fmt: skip
        assert done.code == 2
        assert message in done.err
        assert "Traceback" not in done.err
