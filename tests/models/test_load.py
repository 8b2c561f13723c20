"""`hc.load`: what it takes, what it refuses and how it says so, and whether a wrong wrapper is caught."""

from pathlib import Path

import pytest
import torch
from checkpoints import TEXTS, WEIGHTS, edit_config, name_labels, save
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module
from transformers import BertModel, T5Config, T5ForConditionalGeneration

from hc_interp.errors import HCWarning, LabelError, ModelError
from hc_interp.models import transformer_lens_backend
from hc_interp.models.geometry import Geometry
from hc_interp.models.load import load

TINY_T5 = T5Config(vocab_size=9, d_model=8, d_ff=8, d_kv=8, num_layers=1, num_heads=1)


@pytest.fixture
def saved(tmp_path) -> Path:
    """A folder as a user's training leaves it."""
    return save(tmp_path / "mine")


def same(model, batch, actual, expected):
    """Bit by bit; but TransformerLens takes a decoder's attention apart, which rounds otherwise than the module."""
    if not model.geometry.family.causal:
        assert torch.equal(actual, expected)
    elif model.dtype == torch.float64:
        torch.testing.assert_close(actual, expected, atol=1e-13, rtol=0)
    else:  # no further from the truth than the module is
        truth = load(model.module, labels=LABELS, dtype=torch.float64).logits(batch)
        errors = [float((logits.double() - truth).abs().max()) for logits in (actual, expected)]
        assert errors[0] <= 2 * errors[1], errors


def plain_logits(module, batch):
    with torch.no_grad():
        return module(batch.input_ids, **Geometry.of(module).inputs(batch)).logits


def test_a_saved_folder(saved) -> None:
    model, module = load(saved, device="cpu"), tiny_module(dtype=torch.float32)
    assert (model.name, model.labels, model.dtype) == ("mine", LABELS, torch.float32)
    batch = model.tokenize(TEXTS, TEXTS[::-1])
    assert torch.equal(model.logits(batch), plain_logits(module, batch))
    assert load(str(saved), device="cpu").fingerprint == model.fingerprint


def test_saving_the_wrapped_module_and_loading_it_again(saved, tmp_path) -> None:
    model = load(saved, device="cpu")
    model.module.save_pretrained(tmp_path / "again")
    assert load(tmp_path / "again", device="cpu").fingerprint == model.fingerprint


def test_live_modules_are_left_alone(family) -> None:
    module, batch = name_labels(tiny_module(family)).train(), tiny_batch(3)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    handle = module.register_forward_hook(lambda *args: None)
    with pytest.warns(HCWarning, match="a forward hook"):
        model = load(module, foreign_hooks="strip")
    logits = model.logits(batch)
    assert list(module._forward_hooks.values()) == [handle.hooks_dict_ref()[handle.id]]
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert list(module.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    same(model, batch, logits, plain_logits(module.eval(), batch))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert torch.equal(model.logits(batch), logits)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_types(family, dtype) -> None:
    module, batch = tiny_module(family, dtype=dtype), tiny_batch(3)
    model = load(module, labels=LABELS)
    assert model.dtype == dtype
    same(model, batch, model.logits(batch), plain_logits(module, batch))
    assert load(module, labels=LABELS, dtype=torch.float32).dtype == torch.float32


def test_stored_type_is_kept(saved) -> None:
    tiny_module(dtype=torch.bfloat16).save_pretrained(saved)
    assert load(saved, labels=LABELS, device="cpu").dtype == torch.bfloat16
    assert load(saved, labels=LABELS, device="cpu", dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("setting", ["return_dict", "output_hidden_states"])
def test_settings_of_the_checkpoint_that_change_its_output(setting) -> None:
    module, batch = tiny_module(), tiny_batch(3)
    setattr(module.config, setting, setting != "return_dict")
    assert torch.equal(load(module, labels=LABELS).logits(batch), plain_logits(tiny_module(), batch))


def test_labels(saved) -> None:
    names = ("Contradiction", "Entailment", "Neutral")
    edit_config(saved, id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)})
    assert load(saved, device="cpu").labels == ("contradiction", "entailment", "neutral")
    edit_config(saved, id2label={str(i): f"LABEL_{i}" for i in range(3)})
    with pytest.raises(LabelError, match=r"mine does not name its labels .* labels=\["):
        load(saved, device="cpu")
    assert load(saved, labels=list("abc"), device="cpu").labels == ("a", "b", "c")
    with pytest.raises(LabelError, match="has 2 different names, but mine has 3 classes"):
        load(saved, labels=["a", "b"], device="cpu")


def test_no_tokenizer(saved) -> None:
    """transformers would make up a tokenizer that reads every word as [UNK]."""
    for path in saved.glob("tokenizer*"):
        path.unlink()
    model = load(saved, device="cpu")
    assert model.tokenizer is None
    with pytest.raises(ModelError, match="mine was loaded without a tokenizer"):
        model.tokenize("the doctor")
    given = load(saved, tokenizer=word_tokenizer(TEXTS), device="cpu")
    assert given.tokenize("the doctor").input_ids.shape == (1, 4)


def test_a_given_tokenizer_needs_none_in_the_folder(saved) -> None:
    (saved / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="could not be loaded"):
        load(saved, device="cpu")
    own = word_tokenizer(TEXTS)
    assert load(saved, tokenizer=own, device="cpu").tokenizer is own


def truncate(folder) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-200])


def pickle_weights(folder) -> None:
    torch.save(tiny_module(dtype=torch.float32).state_dict(), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def save_headless(folder) -> None:
    BertModel(tiny_module().config).save_pretrained(folder)
    edit_config(folder, architectures=["BertForSequenceClassification"])


def save_nan(folder) -> None:
    module = name_labels(tiny_module(dtype=torch.float32))
    module.bert.pooler.dense.weight.data[0, 0] = float("nan")
    module.save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (pickle_weights, "pickled weights are refused"),
        (truncate, "could not be loaded .SafetensorError"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), "could not be loaded .SafetensorError"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"noise" * 99), "could not be loaded .SafetensorError"),
        (lambda folder: (folder / WEIGHTS).unlink(), "could not be loaded .OSError"),
        (lambda folder: (folder / "config.json").unlink(), "a whole config.json"),
        (lambda folder: (folder / "config.json").write_text('{"mod'), "a whole config.json"),
        (lambda folder: (folder / "config.json").write_text("{}"), "a whole config.json"),
        (
            lambda folder: edit_config(folder, architectures=["BertModel"]),
            "holds .'BertModel'., which hc_interp cannot wrap",
        ),
        (lambda folder: edit_config(folder, architectures=None), "no named architecture"),
        (
            lambda folder: edit_config(folder, intermediate_size=64),
            r"holds 9 weights of another shape .*first: .*intermediate.dense.bias of shape \(32,\), expected \(64,\)",
        ),
        (lambda folder: edit_config(folder, num_hidden_layers=4), "lacks 16 of the weights"),
        (
            lambda folder: edit_config(folder, num_hidden_layers=2),
            "holds 16 weights of layers that its config.json does not have",
        ),
        (save_headless, "lacks 2 of the weights of BertForSequenceClassification .first: classifier.bias"),
        (save_nan, "NaN or infinite values in its weights .first in bert.pooler.dense.weight"),
    ],
)
def test_damaged_folders(saved, damage, message) -> None:
    damage(saved)
    with pytest.raises(ModelError, match=message):
        load(saved, device="cpu")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/no/such/folder", "is neither a folder"),
        ("./missing", "is neither a folder"),
        (Path("missing"), "is neither a folder"),
        ("a/b/c", "is neither a folder"),
        (None, "None is neither"),
        (42, "42 is neither"),
        ("zoo:nothing", "zoo has no model 'nothing'"),
        ("zoo:tiny-overlap", "a series of 10 checkpoints.*'zoo:tiny-overlap@STEP', where STEP is .* 450"),
        (torch.nn.Linear(2, 2), "is a Linear, which hc_interp cannot wrap"),
        (
            BertModel(tiny_module().config),
            "BertModel, which hc_interp cannot wrap. Load the checkpoint with the class that has its head: BertFor",
        ),
        (T5ForConditionalGeneration(TINY_T5), "two stacks, an encoder and a decoder"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else None,
)
def test_what_cannot_be_loaded(source, message) -> None:
    with pytest.raises(ModelError, match=message):
        load(source)


def test_a_file_is_no_folder(saved) -> None:
    with pytest.raises(ModelError, match="is neither a folder"):
        load(saved / WEIGHTS)


def test_a_hub_id_without_a_network(monkeypatch, tmp_path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError, match=r"nobody/nothing could not be loaded .*no folder of this name.*your connection"
    ):
        load("nobody/nothing")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"dtype": "int32"}, ModelError, "cannot hold weights"),
        ({"dtype": torch.int64}, ModelError, "cannot hold weights"),
        ({"device": "gpu"}, ModelError, "cannot be moved to device='gpu'"),
        ({"labels": {"a", "b", "c"}}, LabelError, "has no order"),
        ({"labels": [None, "a", "b"]}, LabelError, "no names"),
        ({"labels": 3}, LabelError, "has no order"),
    ],
)
def test_settings_that_cannot_be(given, error, message) -> None:
    with pytest.raises(error, match=message):
        load(tiny_module(), **({"labels": LABELS} | given))


def test_an_unknown_backend() -> None:
    with pytest.raises(ModelError, match="'jax' is not a backend"):
        load(tiny_module(), labels=LABELS, backend="jax")


@pytest.mark.parametrize(
    ("tap", "wrong", "where"),
    [
        ("block_in", "blocks.{}.ln1.hook_in", "resid_pre"),
        ("qkv_in", "blocks.{}.attn.o.hook_out", "q_in"),
        ("q", "blocks.{}.attn.k.hook_out", "q_in"),
        ("k", "blocks.{}.attn.q.hook_out", "k_in"),
        ("v", "blocks.{}.attn.k.hook_out", "v_in"),
        ("z", "blocks.{}.attn.v.hook_out", "pattern applied to v"),
        ("attn_out", "blocks.{}.mlp.out.hook_out", "result summed"),
        ("mid", "blocks.{}.ln2.hook_out", "resid_mid"),
        ("mlp_out", "blocks.{}.attn.o.hook_out", "mlp_out"),
        ("block_out", "blocks.{}.ln1.hook_out", "resid_post|resid_mid"),
        ("head_in", "classifier.hook_out", "a site after an edit, which cannot be read"),
        ("z", "blocks.{}.attn.gone", "L0.pattern, which cannot be read"),
    ],
)
def test_a_tap_at_a_wrong_hook_is_caught(monkeypatch, tap, wrong, where) -> None:
    monkeypatch.setitem(transformer_lens_backend.HOOK_NAMES, tap, wrong)
    with pytest.raises(ModelError, match=rf"The wrapper of .* is wrong at .*({where}).*constraints\.txt"):
        load(tiny_module(), labels=LABELS)


@pytest.mark.parametrize("tap", ["block_in", "q", "k", "v", "z", "attn_out", "mid", "mlp_out", "block_out", "head_in"])
def test_a_hook_whose_edits_are_ignored_is_caught(monkeypatch, tap) -> None:
    plain = transformer_lens_backend.TransformerLensBackend.execute

    def deaf(self, batch, handlers):
        def ignore(handler):
            return lambda value: (handler(value), value)[1]

        return plain(self, batch, {at: ignore(fn) if at.name == tap else fn for at, fn in handlers.items()})

    monkeypatch.setattr(transformer_lens_backend.TransformerLensBackend, "execute", deaf)
    with pytest.raises(ModelError, match="is wrong at"):
        load(tiny_module(), labels=LABELS)
