"""Parcels: what is read is what was written, to the bit; weights are in no pickle; what was changed is refused."""

import pytest
import torch
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.errors import HCError, ResultError
from hc_interp.models.load import load
from hc_interp.records import parcel as parcel_module
from hc_interp.records.parcel import read_parcel, write_parcel
from hc_interp.records.tensor_file import ALIGNMENT, read_tensors, write_tensors


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    """Nothing that another test read is kept."""
    monkeypatch.setattr(parcel_module, "_kept", type(parcel_module._kept)())


@pytest.fixture(scope="module")
def model():
    return load(tiny_module("bert").float(), labels=LABELS)


def test_tensors_of_every_type_and_size_come_back_aligned(tmp_path) -> None:
    tensors = [torch.arange(3.0), torch.arange(64).reshape(8, 8), torch.tensor([True, False, True]), torch.empty(0, 4)]
    tensors += [torch.randn(16, 16).to(dtype) for dtype in (torch.bfloat16, torch.float16, torch.float64)]
    write_tensors(tmp_path / "t.safetensors", tensors)
    for before, after in zip(tensors, read_tensors(tmp_path / "t.safetensors"), strict=True):
        assert before.dtype == after.dtype
        assert torch.equal(before, after)
        assert after.data_ptr() % ALIGNMENT == 0


def test_a_tensor_keeps_its_layout_and_what_is_one_object_stays_one(tmp_path) -> None:
    long = torch.randn(40, 30)
    weight = torch.nn.Parameter(torch.randn(64, 16), requires_grad=False)
    sent = {
        "turned": long.t(),
        "wide": long[:1].expand(40, 30),
        "weight": weight,
        "again": weight,
        "small": long[0, :2],
    }
    read = read_parcel(write_parcel(tmp_path, sent))
    assert all(torch.equal(read[name], sent[name]) for name in sent)
    assert read["turned"].stride() == sent["turned"].stride()
    assert read["weight"] is read["again"]
    assert isinstance(read["weight"], torch.nn.Parameter)


def test_a_model_comes_back_to_the_bit_and_its_weights_are_in_no_pickle(model, tmp_path) -> None:
    parcel = write_parcel(tmp_path, {"model": model, "same": model})
    read = read_parcel(parcel)
    assert read["model"] is read["same"]
    batch = tiny_batch(4)
    assert torch.equal(read["model"].logits(batch), model.logits(batch))
    assert read["model"].fingerprint == model.fingerprint
    assert read["model"].identity() == model.identity()
    pickles = [path.read_bytes() for path in tmp_path.glob("*.pickle")]
    for weight in model.module.parameters():
        raw = weight.detach().numpy().tobytes()
        assert len(raw) < 1024 or not any(raw in content for content in pickles)


def test_a_model_is_written_once_for_all_parcels_and_kept_between_them(model, tmp_path) -> None:
    first, second = (write_parcel(tmp_path, {"model": model, "number": i}) for i in range(2))
    assert len(list(tmp_path.glob("hookedmodel-*.safetensors"))) == 1
    assert read_parcel(first)["model"] is read_parcel(second)["model"]
    with torch.no_grad():
        other = model.copy()
        next(other.module.parameters()).mul_(2)
    third = write_parcel(tmp_path, {"model": other})
    assert len(list(tmp_path.glob("hookedmodel-*.safetensors"))) == 2
    assert read_parcel(third)["model"].fingerprint == other.fingerprint


def test_functions_of_a_script_go_along(tmp_path) -> None:
    scale = 3
    assert read_parcel(write_parcel(tmp_path, lambda x: scale * x))(2) == 6


def test_what_was_changed_is_refused(model, tmp_path) -> None:
    parcel = write_parcel(tmp_path, {"model": model})
    (weights,) = tmp_path.glob("hookedmodel-*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-700] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ResultError, match="does not hold what was written there"):
        read_parcel(parcel)
    parcel.pickle.write_bytes(parcel.pickle.read_bytes() + b"x")
    with pytest.raises(ResultError, match="was changed after it was written"):
        read_parcel(parcel)
    parcel.pickle.unlink()
    with pytest.raises(ResultError, match="a disk that all workers see"):
        read_parcel(parcel)


def test_what_cannot_be_sent_is_refused_and_nothing_is_written(tmp_path) -> None:
    with (tmp_path / "open").open("w") as file, pytest.raises(HCError, match=r"cannot be sent.*leave executor= out"):
        write_parcel(tmp_path / "parcels", {"file": file})
    assert not (tmp_path / "parcels").exists()
