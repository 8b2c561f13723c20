"""Weights come from safetensors inside the checkpoint's folder; an index that names anything else is refused."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import transformers
from tiny import LABELS, tiny_module

from hc_interp.errors import ModelError
from hc_interp.models.load import load
from hc_interp.models.weight_files import INDEX, WEIGHTS, check_weight_files

SHARDS = "model-0000*.safetensors"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A checkpoint in several files."""
    path = tmp_path / "mine"
    tiny_module(dtype=torch.float32).save_pretrained(path, max_shard_size="4KB")
    assert len(list(path.glob(SHARDS))) > 1
    return path


@pytest.fixture(autouse=True)
def nothing_unpickled(monkeypatch):
    def refuse(*args, **options):
        pytest.fail("a pickle was loaded")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)


def rename(folder: Path, file: str) -> Path:
    """Move the first shard, and name it so in the index."""
    first = sorted(folder.glob(SHARDS))[0]
    path = folder / INDEX
    path.write_text(path.read_text().replace(f'"{first.name}"', json.dumps(file)))
    target = folder / file
    target.parent.mkdir(parents=True, exist_ok=True)
    return first.rename(target)


def test_a_checkpoint_in_several_files_loads(folder) -> None:
    rename(folder, "parts/first.safetensors")
    state = load(folder, labels=LABELS, device="cpu").module.state_dict()
    expected = tiny_module(dtype=torch.float32).state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


@pytest.mark.parametrize("name", ["weights.bin", "weights.pt", "weights.pkl", "safetensors", "a.safetensors.bin"])
def test_an_index_that_names_a_pickle_is_refused(folder, name, monkeypatch) -> None:
    rename(folder, name)
    torch.save(tiny_module(dtype=torch.float32).state_dict(), folder / name)
    monkeypatch.setattr(transformers.BertForSequenceClassification, "from_pretrained", pytest.fail)
    with pytest.raises(ModelError, match=rf"index\.json takes weights from '{name}', which is no safetensors file"):
        load(folder, labels=LABELS, device="cpu")


def test_an_index_that_leads_out_of_the_folder_is_refused(folder, monkeypatch) -> None:
    monkeypatch.setattr(transformers.BertForSequenceClassification, "from_pretrained", pytest.fail)
    outside = folder.parent / "x.safetensors"
    first = rename(folder, "x.safetensors")
    first.rename(outside)
    content = (folder / INDEX).read_text()
    for name in ("../x.safetensors", str(outside), "a/../../x.safetensors", "..\\x.safetensors", "C:x.safetensors"):
        (folder / INDEX).write_text(content.replace('"x.safetensors"', json.dumps(name)))
        with pytest.raises(ModelError, match=r"x\.safetensors', which is outside its folder"):
            load(folder, labels=LABELS, device="cpu")
    (folder / INDEX).write_text(content)
    first.symlink_to(outside)
    with pytest.raises(ModelError, match=r"'x\.safetensors', which is a link out of its folder"):
        load(folder, labels=LABELS, device="cpu")


def test_a_link_inside_the_folder_and_one_of_the_hubs_cache_load(folder, tmp_path) -> None:
    first = sorted(folder.glob(SHARDS))[0]
    first.rename(folder / "real.safetensors")
    first.symlink_to("real.safetensors")
    assert load(folder, labels=LABELS, device="cpu").labels == LABELS
    snapshot, blobs = tmp_path / "models--me--mine" / "snapshots" / "0123", tmp_path / "models--me--mine" / "blobs"
    blobs.mkdir(parents=True)
    snapshot.parent.mkdir()
    folder.rename(snapshot)
    (snapshot / "real.safetensors").rename(blobs / "abc")
    (snapshot / first.name).unlink()
    (snapshot / first.name).symlink_to(Path("../../blobs/abc"))
    assert load(snapshot, labels=LABELS, device="cpu").labels == LABELS


def test_a_config_that_names_other_weights_is_held_to_the_same(folder) -> None:
    config = json.loads((folder / "config.json").read_text())

    def named(file: str) -> None:
        (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": file}))

    torch.save(tiny_module(dtype=torch.float32).state_dict(), folder / "adapter_model.bin")
    named("adapter_model.bin")  # which transformers would unpickle
    with pytest.raises(ModelError, match=r"its config\.json takes weights from 'adapter_model\.bin', which is no safe"):
        load(folder, labels=LABELS, device="cpu")
    rename(folder, "weights.bin")
    (folder / INDEX).rename(folder / "other.safetensors.index.json")
    named("other.safetensors.index.json")
    with pytest.raises(ModelError, match=r"other\.safetensors\.index\.json takes weights from 'weights\.bin'"):
        load(folder, labels=LABELS, device="cpu")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_is_none_is_refused(folder, content) -> None:
    (folder / INDEX).write_text(content)
    with pytest.raises(ModelError, match="mine"):
        load(folder, labels=LABELS, device="cpu")


def test_the_index_of_a_hub_id_is_checked_before_its_weights_are_fetched(folder, monkeypatch) -> None:
    rename(folder, "weights.bin")
    asked, there = [], {INDEX}

    def fetch(source, name, **options):
        asked.append((source, name))
        return str(folder / name) if name in there else None

    monkeypatch.setattr("transformers.utils.hub.cached_file", fetch)
    with pytest.raises(ModelError, match=r"me/mine was not loaded: .*'weights\.bin'"):
        check_weight_files("me/mine", transformers.BertConfig(), local=False)
    assert asked == [("me/mine", WEIGHTS), ("me/mine", INDEX)]
    there.add(WEIGHTS)  # which goes before an index
    check_weight_files("me/mine", transformers.BertConfig(), local=False)
    there.clear()
    check_weight_files("me/mine", transformers.BertConfig(), local=False)
