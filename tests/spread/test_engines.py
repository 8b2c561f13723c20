"""The same search, sweep and map on two worker processes, two Dask workers and submitit's jobs: the bytes of a call
without them. These are the real packages; `test_same_files.py` has all calls, and `test_slurm.py` what is refused."""

from contextlib import contextmanager

import pytest

import hc_interp as hc
from hc_interp.errors import HCError
from hc_interp.records import dispatch


@pytest.fixture(scope="module")
def calls():
    """Each call by name, small, as a function of the arguments that say where its pieces go."""
    world = hc.testbeds.heuristic_core(seed=0, through="v", noise=0.02)
    pairs, examples = world.pairs["order"].sample(6, 0), world.task.validation.sample(24)
    train, sites = world.task.train.sample(48), [hc.Site(0, "z", 0), hc.Site(2, "v", 3)]
    return {
        "sweep": lambda **to: hc.path_effects(world.model, pairs, "heads", world.generalizing, batch_size=4, **to),
        "search": lambda **to: hc.search_masks(world.model, train, 0.5, 2, world.means, steps=2, batch_size=4, **to),
        "map": lambda **to: hc.probe_map(
            world.model, examples, "token_overlap", sites, control=False, n_folds=3, max_tokens=80, **to
        ),
    }


@pytest.fixture(scope="module")
def here(calls, tmp_path_factory):
    """The folder of what is written without an executor."""
    folder = tmp_path_factory.mktemp("here")
    for name, call in calls.items():
        call(resume=folder / name).save(folder / f"{name}.json")
    return folder


def written(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.json") if path.name != "pieces.json"
    }


ENGINES = {
    "processes": lambda folder: hc.spread.processes(2),
    "dask": lambda folder: hc.spread.dask(2),
    "submitit": lambda folder: hc.spread.slurm(1, folder, cluster="local"),
}


@contextmanager
def engine(name, folder):
    with ENGINES[name](folder) as executor:
        yield executor


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_writes_the_bytes_of_a_call_without_it(name, calls, here, tmp_path) -> None:
    with engine(name, tmp_path) as executor:
        for call in calls:
            calls[call](resume=tmp_path / call, executor=executor).save(tmp_path / f"{call}.json")
    expected = written(here)
    assert len(expected) > 2 * len(calls)
    assert written(tmp_path) == expected


def test_dask_asks_its_workers_for_the_package(monkeypatch, calls, tmp_path) -> None:
    """A worker without the package would never answer."""
    monkeypatch.setattr(dispatch, "PACKAGE", "no_such_package")
    with hc.spread.dask(1) as executor, pytest.raises(HCError, match=r"The worker tcp.* cannot import no_such_package"):
        calls["sweep"](resume=tmp_path, executor=executor)
    assert not list(tmp_path.glob("block-*"))
