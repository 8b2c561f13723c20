"""A series on a public base: the base is found, joined and checked, and its checkpoints are what was trained."""

import hashlib
import importlib.metadata
import logging
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_start import TASK, same, start_of, weights

import hc_interp as hc
from hc_interp.errors import ModelError
from hc_interp.models.bases import CACHE, base_file, cached
from hc_interp.models.on_base import read_base

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "series"))
import packing

MEMBER = "tiny/model.safetensors"
HEAD = "classifier"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A series of LoRA adapters, and the weights of its start without the head, as a base has them."""
    start = start_of("bert")
    folder = tmp_path_factory.mktemp("trained") / "series"
    series = hc.finetune(start, TASK, folder, steps=3, batch_size=6, lr=1e-1, lora=4, checkpoints=[0, 1])
    whole = load_file(folder / "start" / "model.safetensors")
    return series, {name.removeprefix("bert."): value for name, value in whole.items() if HEAD not in name}


@pytest.fixture
def parts(trained, tmp_path, monkeypatch):
    """A base whose archive lies in two installed packages: the base as a card has it, and the packages' files."""
    save_file(trained[1], tmp_path / "model.safetensors")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.write(tmp_path / "model.safetensors", MEMBER)
    content = (tmp_path / "all.zip").read_bytes()
    files = {"tiny-1": tmp_path / "all.zip.001", "tiny-2": tmp_path / "all.zip.002"}
    files["tiny-1"].write_bytes(content[:1000])
    files["tiny-2"].write_bytes(content[1000:])

    def distribution(name: str) -> SimpleNamespace:
        if name not in files:
            raise importlib.metadata.PackageNotFoundError(name)
        others = [SimpleNamespace(name="METADATA", locate=lambda: tmp_path / "METADATA")]
        return SimpleNamespace(files=[*others, SimpleNamespace(name=files[name].name, locate=lambda: files[name])])

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    base = {"name": "tiny", "packages": ["tiny-1", "tiny-2"], "version": "1.2", "member": MEMBER, "hub": "someone/tiny",
            "sha256": digest}  # fmt: skip
    return base, files


def pack(series: hc.ModelSeries, base: dict, out: Path, rank: int = 4) -> Path:
    scaling = series.card["lora"]["scaling"]
    files = {step: load_file(series.folder / series.card["checkpoints"][str(step)]["file"]) for step in series.steps}
    lower = {step: packing.lower_rank(tensors, scaling, rank) for step, tensors in files.items()}
    start = series[0]
    packing.pack(out, base, start.module.config, start.tokenizer, series.card["labels"], lower)
    return out


def test_a_base_in_parts_is_joined_once_and_then_read_from_the_cache(parts, trained) -> None:
    base, files = parts
    assert base_file(base) == cached(base)
    assert [path.name for path in cached(base).parent.iterdir()] == ["model.safetensors"]
    for path in files.values():
        path.unlink()
    assert same(read_base(base), trained[1])


def test_a_packed_series_is_what_was_trained_on_the_start_of_its_base(parts, trained, tmp_path, caplog) -> None:
    base, _ = parts
    series, trunk = trained
    folder = pack(series, base, tmp_path / "packed")
    assert not list((folder / "start").glob("*.safetensors"))
    logger = logging.getLogger("transformers")  # whose records do not reach the root
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.WARNING, "transformers")
    state = torch.get_rng_state()
    found = {step: weights(hc.load_series(folder)[step]) for step in series.steps}
    assert torch.equal(state, torch.get_rng_state())
    logger.removeHandler(caplog.handler)
    assert "LOAD REPORT" not in caplog.text  # the head that the base lacks is no fault
    assert same({n.removeprefix("bert."): v for n, v in found[0].items() if HEAD not in n}, trunk)
    assert not same(found[1], found[0])
    for step in series.steps:
        for name, value in weights(series[step]).items():
            torch.testing.assert_close(found[step][name], value, atol=1e-3, rtol=1e-3)  # float16
    model = hc.load(f"{folder}@1")
    assert model.labels == series[1].labels
    assert torch.equal(model.tokenize(TASK.train).input_ids, series[1].tokenize(TASK.train).input_ids)


@pytest.mark.parametrize("seen", [False, True])
def test_an_update_of_lower_rank_changes_the_outputs_least(seen) -> None:
    """Against the singular values of what the inputs give: their discarded part is the least possible error."""
    rng = torch.Generator().manual_seed(0)
    down, up = torch.randn(4, 7, generator=rng), torch.randn(6, 4, generator=rng)
    inputs = torch.randn(50, 7, generator=rng) * torch.tensor([9.0, 0.1, 1, 5, 0.1, 1, 1])
    adapter = {"base_model.model.a.lora_A.weight": down, "base_model.model.a.lora_B.weight": up,
               "base_model.model.classifier.weight": torch.ones(3, 6)}  # fmt: skip
    moments = {"a": (inputs.T @ inputs).double()} if seen else None
    found = packing.lower_rank(adapter, 2.0, 2, moments)
    a, b = (found[f"base_model.model.a.lora_{letter}.weight"].float() for letter in "AB")
    assert (a.shape, b.shape) == ((2, 7), (6, 2))
    assert torch.equal(found["classifier.weight"], torch.ones(3, 6).half())
    x = inputs if seen else torch.eye(7)
    outputs = x @ (2 * up @ down).T
    least = float(torch.linalg.svdvals(outputs)[2:].square().sum())
    assert float((outputs - x @ (b @ a).T).square().sum()) == pytest.approx(least, rel=1e-2)


def test_second_moments_are_those_of_the_inputs_without_padding(trained) -> None:
    model = trained[0][1]
    path = "bert.encoder.layer.0.attention.self.query"
    examples = TASK.validation
    found = packing.input_moments(model, [examples.sample(4, 0), examples.sample(3, 1)], [path])[path]
    expected = 0
    for part in (examples.sample(4, 0), examples.sample(3, 1)):
        for i in range(len(part)):
            ids = model.tokenize(part.rows([i])).input_ids
            x = model.module.bert.embeddings(ids)[0].double()
            expected = expected + x.T @ x
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_checkpoint_that_leaves_the_head_undefined_is_refused(parts, trained, tmp_path, monkeypatch) -> None:
    lower_rank = packing.lower_rank
    monkeypatch.setattr(
        packing, "lower_rank", lambda *given: {n: v for n, v in lower_rank(*given).items() if "bias" not in n}
    )
    folder = pack(trained[0], parts[0], tmp_path / "packed")
    with pytest.raises(ModelError, match=r"lacks classifier\.bias, which the base of the series does not have"):
        hc.load(f"{folder}@1")


def test_weights_with_another_digest_are_refused_and_not_kept(parts) -> None:
    base, _ = parts
    other = {**base, "sha256": "0" * 64}
    with pytest.raises(ModelError, match=r"SHA-256 .*; expected 0{64}.*--no-deps tiny-1==1\.2 tiny-2==1\.2"):
        base_file(other)
    assert not list(cached(base).parent.iterdir())


def test_a_damaged_file_in_the_cache_is_refused(parts) -> None:
    base, _ = parts
    path = base_file(base)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"SHA-256.*Delete the file"):
        read_base(base)


@pytest.mark.parametrize("damage", ["short", "no member", "no room"])
def test_what_cannot_be_joined_is_refused_with_the_mend(damage, parts, monkeypatch, tmp_path) -> None:
    base, files = parts
    if damage == "short":
        files["tiny-2"].write_bytes(b"")
    elif damage == "no member":
        base = {**base, "member": "other/model.safetensors"}
    else:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv(CACHE, str(tmp_path / "file"))
    with pytest.raises(ModelError, match=rf"could not be joined.*Set {CACHE} to a folder that has room"):
        base_file(base)


def test_a_package_with_other_files_is_refused(parts, tmp_path, monkeypatch) -> None:
    files = [SimpleNamespace(name="METADATA", locate=lambda: tmp_path)]
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: SimpleNamespace(files=files))
    with pytest.raises(ModelError, match=r"tiny-1 1\.2 holds 0 parts of an archive; expected 1"):
        base_file(parts[0])


def test_the_hub_is_asked_where_a_package_is_missing(parts, monkeypatch) -> None:
    base = {**parts[0], "packages": ["tiny-1", "tiny-3"]}
    asked = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *given: asked.append(given) or "/there/w.safetensors")
    assert base_file(base) == Path("/there/w.safetensors")
    assert asked == [("someone/tiny", "model.safetensors")]

    def offline(*given):
        raise ConnectionError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(ModelError, match=r"tiny-1, tiny-3: not installed, and the hub gave no copy of someone/tiny"):
        base_file(base)
