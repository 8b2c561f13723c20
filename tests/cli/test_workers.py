"""`--on` and `--jobs`: the tables of a file are checked first, wrong combinations are refused, and `status` shows."""

import json
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pieces_work import Inline, Squares, SquareStore

import hc_interp as hc
from hc_interp.cli.config import FILE
from hc_interp.cli.shell import COMMANDS, kept_in_folder
from hc_interp.cli.workers import TABLES, table_of, workers
from hc_interp.errors import HCError
from hc_interp.progress import SILENT
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Runner

PAGE = Path(__file__).parents[2] / "docs" / "spread.md"
SEARCH = ("search", "--model", "zoo:none", "--task", "overlap-grammar", "--out")


@pytest.fixture
def config(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "hc.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--jobs", "2"), "--jobs 2 was given without --on"),
        (("--on", "slurm", "--jobs", "2", "--threads", "2"), "--threads 2 was given, and cpus in [slurm] is 1"),
        (("--on", "slurm", "--resume", "pieces"), "--on slurm was given without --jobs"),
        (("--on", "dask"), "Expected one of the two"),
        (("--dry-run",), "--dry-run was given with --on here"),
    ],
)
def test_combinations_without_meaning_are_refused_before_a_model_is_loaded(
    options, message, hc_interp_call, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = hc_interp_call(*SEARCH, str(tmp_path / "search.json"), *options)
    assert found.code == 2
    assert message in found.err
    assert "zoo:none" not in found.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[slurm]\npartitoin = "gpu"', r"'partitoin' in \[slurm\], which has no such key; did you mean partition\?"),
        ("[slurm]\ngpus = -1", r"gpus in \[slurm\] is -1\. Expected"),
        ('[slurm]\ngpus = "one"', r"gpus in \[slurm\] is 'one'\. Expected"),
        ("[slurm]\ntime = 90", r"time in \[slurm\] is 90\. Expected text"),
        ('[slurm]\ncluster = "pbs"', r"cluster in \[slurm\] is 'pbs'\. Expected.*local"),
        ("[dask]\naddress = 5", r"address in \[dask\] is 5\. Expected text"),
    ],
)
def test_a_table_with_a_mistake_is_refused(text, message, config) -> None:
    with pytest.raises(HCError, match=message):
        table_of(config(text), text[1 : text.index("]")])


def test_a_setup_may_be_tried_on_this_machine(config, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "submitit", ModuleType("submitit"))
    token = FILE.set(config('[slurm]\ncluster = "local"\ncpus = 2'))
    try:
        with workers("slurm", 3, 1, tmp_path / "pieces") as executor:
            assert (executor.cluster, executor.n_jobs, executor.pieces) == ("local", 3, tmp_path / "pieces")
            assert "at most 3 jobs at a time on this machine, " in repr(executor)
    finally:
        FILE.reset(token)


def test_a_table_of_workers_is_no_unknown_command(config, hc_interp_call, tmp_path) -> None:
    path = config('[slurm]\npartition = "gpu"\n[slrum]\npartition = "gpu"')
    found = hc_interp_call(*SEARCH, str(tmp_path / "x.json"), "--config", str(path))
    assert "has a table [slrum], but there is no such command; did you mean slurm" in found.err
    path.write_text('[slurm]\npartition = "gpu"')
    assert "table" not in hc_interp_call(*SEARCH, str(tmp_path / "x.json"), "--config", str(path)).err


def test_the_pages_tables_are_right() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names = [name for block in blocks for name in re.findall(r"^\[(\w+)\]", block, re.MULTILINE)]
    assert [name for name in names if name in TABLES] == ["slurm", "dask"]
    commands = re.findall(r"^    hc-interp ([\w-]+) (.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) >= 5
    for name, options in commands:
        assert {option.replace("-", "_") for option in re.findall(r"--([\w-]+)", options.partition("#")[0])} <= {
            *(setting.name for setting in COMMANDS[name]),
            "config",
        }


@pytest.mark.parametrize("index", [0, 1])
def test_a_table_of_the_page_is_read(index, config) -> None:
    block = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)[index]
    name = ("slurm", "dask")[index]
    assert table_of(config(block), name)


def test_a_dry_run_prints_the_script_and_sends_nothing(config, hc_interp_call, monkeypatch, tmp_path) -> None:
    submitit, inner = ModuleType("submitit"), ModuleType("submitit.slurm.slurm")
    inner._make_sbatch_string = lambda **told: f"#!/bin/bash\n{sorted(told.items())}"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "submitit", submitit)
    monkeypatch.setitem(sys.modules, "submitit.slurm", ModuleType("submitit.slurm"))
    monkeypatch.setitem(sys.modules, "submitit.slurm.slurm", inner)
    path = config('[slurm]\npartition = "gpu"\ntime = "2:00:00"')
    options = ("--config", str(path), "--on", "slurm", "--jobs", "7", "--resume", str(tmp_path / "pieces"), "--dry-run")
    found = hc_interp_call(*SEARCH, str(tmp_path / "x.json"), *options)
    assert found.code == 0
    assert found.out.startswith("#!/bin/bash")
    for part in ("('map_count', 7)", "('partition', 'gpu')", "('time', 120)"):
        assert part in found.out
    assert [path.name for path in tmp_path.iterdir()] == ["hc.toml"]


def test_the_commands_hand_their_executor_on(hc_interp_call, monkeypatch, tiny_folder, small_task, tmp_path) -> None:
    executor = Inline()

    @contextmanager
    def processes(jobs, *, threads):
        assert (jobs, threads) == (2, 1)
        yield executor

    monkeypatch.setattr(hc.spread, "processes", processes)
    pieces = tmp_path / "search.pieces"  # beside the output
    found = hc_interp_call(
        "search", "--model", str(tiny_folder), "--task", "overlap-grammar", "--out", str(tmp_path / "search.json"),
        "--seeds", "2", "--steps", "2", "--exchanges", "0", "--train-examples", "80", "--mean-examples", "16",
        "--on", "processes", "--jobs", "2",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert f"; a piece uses 1 thread; pieces are kept in {pieces}" in found.err
    assert executor.submitted == 2
    shown = hc_interp_call("status", str(pieces))
    assert ": 2 of 2 pieces finished, 0 running, 0 failed, 0 waiting" in " ".join(shown.out.split())


@pytest.mark.parametrize("on", ["here", "processes"])
def test_an_interrupted_command_says_where_its_pieces_are(on) -> None:
    message = kept_in_folder("searches")({"on": on, "resume": None, "out": Path("runs/search.json")})
    assert ("Finished searches are in runs/search.pieces. To go on:" in message) == (on == "processes")


def test_status_tells_what_failed_and_refuses_other_folders(hc_interp_call, tmp_path) -> None:
    work = Squares(torch.arange(3.0), {1: "mendable"})
    pieces = tmp_path / "run" / "pieces" / "search"
    with pytest.raises(HCError, match="1 of 3"):
        dict(make_missing(work, work.keys, SquareStore(pieces, "settings"), Runner(Inline()), SILENT))
    for folder in (pieces, tmp_path / "run"):  # the pieces' folder, or that of a whole run
        (record,) = json.loads(hc_interp_call("status", str(folder), "--json").out).values()
        assert (record["finished"], record["waiting"], list(record["failed"])) == (2, 0, ["square-001"])
    found = hc_interp_call("status", str(tmp_path))
    assert found.code == 2
    assert "has no pieces.json" in found.err
