"""What the folder of a run remembers of earlier calls, and what it is not taken for."""

import json
from pathlib import Path
from typing import Any

import pytest

from hc_interp.checksum import read_checked, write_checked
from hc_interp.errors import HCError
from hc_interp.runs import folder as module
from hc_interp.runs.folder import MANIFEST, ExperimentFolder, check_free

RECORD = {"arguments": {"model": "tiny"}, "settings": {"seeds": 2}}


def opened(path: Path, resume: bool = True) -> ExperimentFolder:
    return ExperimentFolder.open(path, RECORD, overwrite=False, resume=resume, say=lambda line: None)


def manifest(path: Path) -> dict[str, Any]:
    return json.loads((path / MANIFEST).read_text())


def test_the_time_of_earlier_calls_counts(tmp_path, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    for seconds, total in ((40.0, 40.0), (2.0, 42.0)):
        folder = opened(tmp_path / "run")
        folder.started = now[0]
        now[0] += seconds
        folder.finish()
        assert manifest(tmp_path / "run")["seconds"]["all"] == total


def test_a_run_is_not_gone_on_with_by_other_versions(tmp_path, monkeypatch) -> None:
    opened(tmp_path / "run").finish()
    assert opened(tmp_path / "run").manifest["versions"]["torch"]
    monkeypatch.setattr(module, "versions", lambda: {"python": "3.11", "torch": "0.1"})
    with pytest.raises(HCError, match=r"holds a run that is not this one: versions\.\w+ was .* and is"):
        opened(tmp_path / "run")


def test_a_file_is_no_folder(tmp_path) -> None:
    file = tmp_path / "notes"
    file.write_text("mine")
    for resume in (False, True):
        with pytest.raises(HCError, match="already exists"):
            check_free(file, overwrite=False, resume=resume)
        with pytest.raises(HCError, match="already exists"):
            opened(file, resume)
    assert file.read_text() == "mine"


def test_a_run_goes_on_from_a_manifest_without_times(tmp_path) -> None:
    opened(tmp_path / "run").finish()
    record, _ = read_checked(tmp_path / "run" / MANIFEST, "manifest", "")
    del record["seconds"]
    write_checked(tmp_path / "run" / MANIFEST, record)
    again = opened(tmp_path / "run")
    assert again.before == 0
    again.finish()
    assert manifest(tmp_path / "run")["seconds"]["all"] >= 0
