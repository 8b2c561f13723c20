"""Values that pieces share: what is read is what was computed, computed once, within the limit, and never damaged."""

import threading
import time

import pytest
import torch
from pieces_work import Inline

from hc_interp.errors import HCError, HCWarning
from hc_interp.records import value_cache
from hc_interp.records.pieces import Runner
from hc_interp.records.threads import at_threads
from hc_interp.records.value_cache import ValueCache, values_name

VALUES = {"a": torch.arange(300.0), "b": torch.tensor([True, False])}


@pytest.fixture
def cache(tmp_path):
    return ValueCache(tmp_path / "activations", 10_000)


def refused():
    raise AssertionError("the values were computed again")


def names(cache):
    return sorted(path.stem for path in cache.folder.glob("*.safetensors"))


def test_what_is_read_has_the_bytes_and_the_layout_of_what_was_computed(cache) -> None:
    wide = torch.randn(4, 6, 5)
    values = {
        "plain": wide, "turned": wide.transpose(0, 2), "part": wide[:, 1:3], "empty": wide[:0], "one": wide[:1, :1],
        "half": wide.half(), "integers": torch.arange(3),
    }  # fmt: skip
    assert cache.kept("x", lambda: {"x": values}) is values
    read = cache.kept("x", refused)
    assert list(read) == list(values)
    for name, value in values.items():
        assert torch.equal(read[name], value)
        assert (read[name].dtype, read[name].stride()) == (value.dtype, value.stride())


def test_others_wait_for_the_one_that_computes_and_get_all_that_it_computed(cache) -> None:
    computed, found = [], {}

    def compute():
        computed.append(1)
        time.sleep(0.2)
        return {"x": VALUES, "y": {"a": torch.zeros(2)}}

    def ask(name):
        found[name] = cache.kept(name, compute, together="both")

    threads = [threading.Thread(target=ask, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1
    assert torch.equal(found["x"]["a"], VALUES["a"])
    assert torch.equal(found["y"]["a"], torch.zeros(2))


def test_the_oldest_are_dropped_above_the_limit_and_computed_again(cache) -> None:
    for i in range(5):  # of 4 kB each
        cache.put(f"v{i}", {"a": torch.full((1000,), float(i))})
        time.sleep(0.01)
    assert names(cache) == ["v3", "v4"]
    assert sum(path.stat().st_size for path in cache.folder.iterdir()) <= cache.limit
    assert cache.kept("v0", lambda: {"v0": VALUES}) is VALUES
    cache.put("large", {"a": torch.zeros(3000)})
    assert cache.get("large") is None


def test_values_of_a_repeated_axis_are_not_written(cache) -> None:
    cache.put("x", {"a": torch.zeros(1, 5).expand(4, 5)})
    assert cache.get("x") is None


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-9], lambda content: content[:-300] + b"x" + content[-299:]]
)
def test_a_damaged_file_is_said_removed_and_made_again(cache, damage) -> None:
    cache.put("x", VALUES)
    path = cache.folder / "x.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(HCWarning, match=r"x\.safetensors is damaged .* computed again"):
        assert cache.kept("x", lambda: {"x": VALUES}) is VALUES
    assert torch.equal(cache.kept("x", refused)["a"], VALUES["a"])


def test_a_full_disk_costs_the_sharing_and_not_the_piece(cache, monkeypatch) -> None:
    def full(*args):
        raise HCError("x could not be written (No space left on device).")

    monkeypatch.setattr(value_cache, "write_tensors", full)
    with pytest.warns(HCWarning, match=r"not kept for other workers.*No space left"):
        assert cache.kept("x", lambda: {"x": VALUES}) is VALUES


def test_a_name_says_the_number_of_threads() -> None:
    with at_threads(1):
        one = values_name("x")
    with at_threads(2):
        assert values_name("x") != one


def test_workers_have_a_cache_of_the_limit_that_the_environment_says(tmp_path, monkeypatch) -> None:
    assert Runner.of(None, 1, tmp_path).cache is None
    runner = Runner.of(Inline(), 1, tmp_path)
    assert runner.cache == ValueCache(tmp_path / "activations", 8 * 2**30)
    monkeypatch.setenv("HC_INTERP_CACHE_GIB", "0.5")
    assert runner.cache == ValueCache(tmp_path / "activations", 2**29)
    runner.cache.put("x", VALUES)
    runner.clear_cache()
    assert not (tmp_path / "activations").exists()
    monkeypatch.setenv("HC_INTERP_CACHE_GIB", "0")
    assert runner.cache is None
    for wrong in ("-1", "much", "inf", "nan"):
        monkeypatch.setenv("HC_INTERP_CACHE_GIB", wrong)
        with pytest.raises(HCError, match="HC_INTERP_CACHE_GIB='" + wrong):
            Runner.of(Inline(), 1, tmp_path)
