"""The script for a GPU runs where there is none, and measures what it says."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments/benchmarks/on_gpu.py"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("on_gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    out = tmp_path_factory.mktemp("gpu") / "cpu"
    with pytest.MonkeyPatch.context() as patch:
        spec.loader.exec_module(script)
        patch.setattr(sys, "argv", ["on_gpu.py", "--out", str(out), "--device", "cpu", "--small"])
        script.main()
    assert out.with_suffix(".md").read_text().count("\n| BERT, random |") == 13
    return json.loads(out.with_suffix(".json").read_text())


def test_a_device_equals_itself(record) -> None:
    rows = {row["task"]: row for row in record["rows"]}
    assert rows["parity, float32"]["logits"] == rows["parity, float32"]["effects"] == 0
    assert 0 < rows["parity, bfloat16"]["logits"] < 1


def test_operations_are_those_of_the_model(record) -> None:
    rows = {row["task"]: row for row in record["rows"]}
    found = rows["forward, float32, 16 rows of 32"]["operations"]
    layer = 4 * 96 * 96 + 2 * 96 * 192  # projections and MLP: torch does not count its attention kernel for CPUs
    assert found == pytest.approx(2 * 3 * 16 * 32 * layer, rel=0.01)
    assert rows["masked forward, 64 rows"]["operations"] >= rows["plain forward, 64 rows"]["operations"]


def test_every_task_has_a_share_of_the_measured_rate(record) -> None:
    timed = [row for row in record["rows"] if not row["task"].startswith("parity")]
    assert len(timed) == 10
    for row in timed:
        kind = "TF32" if "TF32" in row["task"] else "float32"
        expected = row["operations"] / row["seconds"] / record["rates"][kind]
        assert row["share of the matrix rate"] == pytest.approx(expected)
