"""The folder of a run reads back whole, and says where it cannot tell."""

import json
import warnings

import pytest

from hc_interp.errors import HCWarning, ResultError
from hc_interp.evaluation.effective_size import effective_size
from hc_interp.reports.report import report
from hc_interp.runs.results import RunResults

SIZES = effective_size({100: {"a": 0.8}}, {0: {100: {20: {"a": 0.5}, 60: {"a": 0.79}}}}, ["a"])


def test_a_run_of_before_the_checksum_loads_with_one_note(results, tmp_path) -> None:
    run = results.run()
    run.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", HCWarning)
        assert RunResults.load(tmp_path).manifest == run.manifest
    for path in tmp_path.glob("*.json"):
        record = json.loads(path.read_text())
        del record["sha256"], record["format"]
        path.write_text(json.dumps(record if path.name == "manifest.json" else {"format": 1, **record}))
    with pytest.warns(HCWarning) as said:
        again = RunResults.load(tmp_path)
    assert [str(item.message).split(" was written")[0] for item in said] == [str(tmp_path)]
    assert [item.filename for item in said] == [__file__]
    assert again.present == run.present
    assert again.manifest == run.manifest


def test_a_damaged_manifest_and_a_damaged_part_are_named(results, tmp_path) -> None:
    run = results.run()
    run.save(tmp_path)
    for name in ("manifest.json", "core.json"):
        path = tmp_path / name
        content = path.read_bytes()
        path.write_bytes(content[:-20] + b" " + content[-19:])
        with pytest.raises(ResultError, match=rf"{path.name} is not a .* any more: it was damaged.*from a copy"):
            RunResults.load(tmp_path)
        path.write_bytes(content)
    assert RunResults.load(tmp_path).present == run.present


def test_extras_are_saved_read_back_and_reported(results, tmp_path) -> None:
    run = results.run()
    run.extras = {"by size, 50 %": SIZES}
    run.save(tmp_path)
    loaded = RunResults.load(tmp_path)
    assert list(loaded.extras) == ["by size, 50 %"]
    assert loaded.extras["by size, 50 %"].to_frame().equals(run.extras["by size, 50 %"].to_frame())
    assert "Effective size" in report(loaded, tmp_path / "report.html").read_text()


def test_extras_are_results_and_one_of_a_kind(results) -> None:
    with pytest.raises(ResultError, match="extras were given as list"):
        results.run().extras = [SIZES]
    with pytest.raises(ResultError, match="b is a second EffectiveSize"):
        RunResults.of({"a": SIZES, "b": SIZES})
