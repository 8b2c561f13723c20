"""SLURM jobs and a Dask cluster: what is told to submitit and to Dask, and what is refused before. The packages are
played by modules of the same interface where a test says so; `test_engines.py` runs the real ones."""

import os
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from pieces_work import Jobs, SquareNumber, Squares, SquareStore
from tiny import LABELS, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.errors import HCError
from hc_interp.progress import SILENT
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Runner
from hc_interp.spread.slurm import minutes


class AutoExecutor(Jobs):
    """submitit's, as far as it is documented."""

    made: "AutoExecutor"

    def __init__(self, folder, cluster=None) -> None:
        super().__init__()
        self.folder, self.cluster, self.parameters = folder, cluster, {}
        AutoExecutor.made = self

    def update_parameters(self, **parameters) -> None:
        self.parameters |= parameters


@pytest.fixture
def submitit(monkeypatch):
    module = ModuleType("submitit")
    module.AutoExecutor = AutoExecutor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "submitit", module)
    return module


def test_the_table_becomes_submitits_parameters(submitit, tmp_path) -> None:
    executor = hc.spread.slurm(
        20, tmp_path, partition="gpu", time="1-02:03:04", gpus=1, cpus=4, mem_gb=7.5, account="lab", qos="low",
        setup=["module load cuda"], options={"mail-type": "END"},
    )  # fmt: skip
    with executor.batch():
        pass
    made = AutoExecutor.made
    assert (made.cluster, made.folder) == ("slurm", tmp_path.absolute() / "logs")
    assert made.parameters == {
        "name": "hc-interp", "timeout_min": 26 * 60 + 4, "slurm_partition": "gpu", "slurm_gpus_per_node": 1,
        "slurm_cpus_per_task": 4, "slurm_mem": "7680MB", "slurm_account": "lab", "slurm_qos": "low",
        "slurm_setup": ["module load cuda"], "slurm_additional_parameters": {"mail-type": "END"},
        "slurm_array_parallelism": 20,
    }  # fmt: skip


def test_submitit_writes_the_table_into_its_script_and_a_refused_partition_is_one_error(monkeypatch, tmp_path) -> None:
    """The real package, and an `sbatch` that refuses."""
    for name, says in (("srun", ""), ("sbatch", "echo 'sbatch: error: invalid partition specified: gpuu' >&2; exit 1")):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\n{says}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    pieces = tmp_path / "pieces"
    executor = hc.spread.slurm(
        3, pieces, partition="gpuu", time="2:00:00", gpus=1, cpus=4, mem_gb=7.5, account="lab",
        setup=["module load cuda"], options={"mail-type": "END"},
    )  # fmt: skip
    script = executor.script
    for option in ("partition=gpuu", "time=120", "gpus-per-node=1", "cpus-per-task=4", "mem=7680MB", "account=lab"):
        assert f"#SBATCH --{option}\n" in script
    assert "#SBATCH --array=0-2%3" in script
    assert "#SBATCH --mail-type=END" in script
    assert "\nmodule load cuda\n" in script
    work, store = Squares(torch.arange(4.0)), SquareStore(pieces, "settings")
    store.put("square-001", SquareNumber(1.0, 1))
    missing = {name: key for name, key in work.keys.items() if key != 1}
    with pytest.raises(HCError, match=r"takes no work \(.*invalid partition specified: gpuu.*0 of 3 pieces are in"):
        dict(make_missing(work, missing, store, Runner(executor, folder=pieces), SILENT))
    assert store.get("square-001", SquareNumber) is not None


def test_pieces_are_dealt_to_as_many_jobs(submitit, tmp_path) -> None:
    work = Squares(torch.arange(7.0))
    executor = hc.spread.slurm(3, tmp_path)
    found = dict(make_missing(work, work.keys, SquareStore(tmp_path, "settings"), Runner(executor), SILENT))
    assert [piece.value for piece in found.values()] == [float(n * n) for n in range(7)]
    assert [len(job.call[1][0].pieces) for job in AutoExecutor.made.arrays[0]] == [3, 3, 1]


def test_a_call_without_resume_keeps_its_pieces_in_the_executors_folder(submitit, tmp_path) -> None:
    model = hc.load(tiny_module("bert"), labels=LABELS)
    rows, folder = tiny_batch(32), tmp_path / "pieces"
    call = {"sparsity": 0.5, "seeds": 2, "steps": 2, "batch_size": 4, "exchanges": 0}
    found = hc.search_masks(model, rows, **call, executor=hc.spread.slurm(2, folder))
    assert len(list(folder.glob("run-*.json"))) == len(found.subnetworks) == 2
    assert len(hc.spread.status(folder).finished) == 2
    sent = AutoExecutor.made
    again = hc.search_masks(model, rows, **call, executor=hc.spread.slurm(2, folder))
    assert again.subnetworks == found.subnetworks
    assert AutoExecutor.made is sent  # the second call sent nothing
    with pytest.raises(hc.ResultError, match=r"by a search of another .* Give resume= a folder of its own"):
        hc.search_masks(model, rows, **call | {"steps": 3}, executor=hc.spread.slurm(2, folder))


@pytest.mark.parametrize(("given", "expected"), [(90, 90), ("1:30:00", 90), ("0:00:10", 1), ("2-00:00", 2880)])
def test_times(given, expected) -> None:
    assert minutes(given) == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"time": "soon"}, r"time='soon' was given\. Expected minutes"),
        ({"time": 0}, "time=0 was given"),
        ({"gpus": -1}, "gpus=-1 was given. Expected a whole number from 0"),
        ({"cpus": 0}, "cpus=0 was given. Expected a whole number from 1"),
        ({"mem_gb": 0}, "mem_gb=0 was given"),
        ({"cluster": "pbs"}, "cluster='pbs' was given"),
    ],
)
def test_values_without_meaning_are_refused(wrong, message, submitit, tmp_path) -> None:
    with pytest.raises(HCError, match=message):
        hc.spread.slurm(2, tmp_path, **wrong)


def test_without_submitit_or_slurm_the_error_says_what_to_do(monkeypatch, submitit, tmp_path) -> None:
    def none(folder, cluster=None):
        raise RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')

    submitit.AutoExecutor = none
    with pytest.raises(HCError, match=r"SLURM was not found.*login node"):
        hc.spread.slurm(2, tmp_path).batch()
    monkeypatch.setitem(sys.modules, "submitit", None)  # as if it were not installed
    with pytest.raises(HCError, match=r"pip install 'hc-interp\[slurm\]'"):
        hc.spread.slurm(2, tmp_path)


def test_dask_is_asked_without_its_cache_and_its_absence_is_said(monkeypatch) -> None:
    asked = []
    client = SimpleNamespace(submit=lambda fn, *args, **options: asked.append((args, options)), close=lambda: None)
    distributed = ModuleType("distributed")
    distributed.Client = lambda address, timeout: client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "distributed", distributed)
    with hc.spread.dask(address="tcp://host:8786") as executor:
        executor.submit(len, "abc")
    assert asked == [(("abc",), {"pure": False})]

    def nobody(address, timeout):
        raise OSError("Timed out trying to connect")

    distributed.Client = nobody  # type: ignore[attr-defined]
    with pytest.raises(HCError, match=r"No Dask scheduler answers at tcp://host:8786"):
        hc.spread.dask(address="tcp://host:8786")
    for wrong in ({}, {"jobs": 2, "address": "tcp://host:8786"}, {"jobs": 0}):
        with pytest.raises(HCError, match="jobs="):
            hc.spread.dask(**wrong)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(HCError, match=r"pip install 'hc-interp\[dask\]'"):
        hc.spread.dask(2)
