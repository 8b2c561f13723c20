"""The tokenizer: by object, by name, of `tokenizers`, missing, broken, or without anything to pad with."""

import json

import pytest
import tokenizers
import torch
import transformers
from checkpoints import TEXTS, save
from shell import call
from texts import word_tokenizer
from tiny import LABELS, tiny_module

import hc_interp as hc
from hc_interp.errors import ModelError
from hc_interp.models.load import load

BACKENDS = ["transformer_lens", "nnsight"]
WORDS = word_tokenizer(TEXTS)


def core_of(tokenizer):
    core = tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    core.no_padding()
    return core


def bare(**special):
    """A tokenizer of whole words that knows only these special tokens."""
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core_of(WORDS), unk_token="[UNK]", **special)


NAMES = ["number", "list", "dict", "class", "function", "object"]  # the same in every process


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_name_or_of_tokenizers(family, backend, tmp_path) -> None:
    WORDS.save_pretrained(tmp_path / "words")
    core = core_of(WORDS)
    core.enable_truncation(3)
    core.enable_padding(length=30, pad_token="[PAD]")
    expected = load(tiny_module(family), tokenizer=WORDS, labels=LABELS, backend=backend)
    batch = expected.tokenize(TEXTS, TEXTS[::-1])
    for given in (str(tmp_path / "words"), tmp_path / "words", core):
        model = load(tiny_module(family), tokenizer=given, labels=LABELS, backend=backend)
        same = model.tokenize(TEXTS, TEXTS[::-1])
        assert torch.equal(same.input_ids, batch.input_ids)
        assert torch.equal(model.logits(same), expected.logits(batch))
    assert core.truncation is not None, "the user's own is left as it is"


def test_special_tokens_of_a_bare_one_are_found_by_their_names() -> None:
    table = {"<pad>": 0, "<unk>": 1, "<mask>": 2, "yes": 3, "no": 4, "is": 5}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(table, unk_token="<unk>"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    model = load(tiny_module("bert-lm"), tokenizer=core, labels=["yes", "no"])
    assert (model.readout.mask_token, model.tokenizer.pad_token_id, model.tokenizer.unk_token) == (2, 0, "<unk>")


@pytest.mark.parametrize("given", [3, ["a"], {"a": 1}, transformers.AutoTokenizer, len, object()], ids=NAMES)
def test_what_encodes_no_texts_is_refused(given) -> None:
    with pytest.raises(ModelError, match=r"encodes no texts\. Expected a tokenizer of transformers or tokenizers"):
        load(tiny_module(), tokenizer=given, labels=LABELS)


def test_a_name_without_a_tokenizer(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"holds no tokenizer\. Expected one of the files .*tokenizer\.json"):
        load(tiny_module(), tokenizer=tmp_path / "empty", labels=LABELS)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "gpt2", "llama", "gpt2-lm", "qwen3-lm"])
def test_a_folder_without_tokenizer_files_loads_without_one(kind, tmp_path) -> None:
    save(tmp_path, kind, tokenizer=False)
    model = load(tmp_path, device="cpu")
    assert model.tokenizer is None
    with pytest.raises(ModelError, match=r"was loaded without a tokenizer.*hc\.load\(\.\.\., tokenizer=tok\)"):
        model.tokenize(TEXTS)
    assert load(tmp_path, device="cpu", tokenizer=WORDS).tokenize(TEXTS).input_ids.shape == (2, 8)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "tokenizer.json").write_text("{"),
        lambda folder: (folder / "tokenizer.json").write_text(json.dumps({"model": 3})),
        lambda folder: (folder / "tokenizer_config.json").write_text('{"tokenizer_class": 3}'),
    ],
)
def test_a_broken_tokenizer_is_blamed_not_the_weights(kind, damage, tmp_path) -> None:
    damage(save(tmp_path, kind))
    with pytest.raises(ModelError, match=r"The tokenizer of .* could not be loaded \(.*tokenizer\.json among them"):
        load(tmp_path, device="cpu")
    assert load(tmp_path, device="cpu", tokenizer=WORDS).tokenizer is WORDS


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_pad_with(family, backend) -> None:
    """Padding is masked, so the model reads the same whatever stands there."""
    given = bare()
    assert (given.pad_token, given.eos_token) == (None, None)
    model = load(tiny_module(family), tokenizer=given, labels=LABELS, backend=backend)
    expected = load(tiny_module(family), tokenizer=WORDS, labels=LABELS, backend=backend)
    texts = ["the doctor", "a lawyer saw the old doctor ."]
    batch = model.tokenize(texts)
    assert batch.attention_mask.sum(1).tolist() == [4, 9]
    torch.testing.assert_close(
        model.logits(batch), expected.logits(expected.tokenize(texts)), atol=1e-12, rtol=0
    )  # fmt: skip
    assert given.pad_token is None, "the user's tokenizer is left as it is"
    means = hc.mean_activations(model, hc.Examples(texts, label=[0, 1]))
    assert means is not None


@pytest.mark.parametrize("pad", [None, 5, 59])
def test_padding_with_a_word_does_not_change_how_it_is_read(pad) -> None:
    """The token that pads is one that texts hold: it is split and counted as before."""
    module = tiny_module("gpt2")
    module.config.pad_token_id = pad  # the last is none of the tokenizer's
    model = load(module, tokenizer=bare(eos_token=None), labels=LABELS)
    texts = ["the doctor saw thee lawyer", "the", "old a ."]
    for text in texts:
        assert model.tokenizer(text)["input_ids"] == bare()(text)["input_ids"]
        assert model.tokenizer.tokenize(text) == bare().tokenize(text)
    assert model.tokenize(texts).input_ids.shape == (3, 7)


def test_the_command_line_says_it(tmp_path, monkeypatch, capsys) -> None:
    save(tmp_path / "mine", "gpt2")
    (tmp_path / "mine" / "tokenizer.json").write_text("{")
    done = call(
        monkeypatch, capsys, "evaluate", "--model", str(tmp_path / "mine"), "--task", "overlap-grammar",
        "--out", str(tmp_path / "out.json"),
    )  # fmt: skip
    assert (done.code, "Put them into the folder" in done.err) == (2, True)
    assert "Traceback" not in done.err
