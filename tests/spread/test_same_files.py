"""Workers write the same bytes as a call without an executor: every function that takes one, in this process.

The work goes through files as it does to other processes (`Inline`); `test_processes.py` has real ones.
"""

import pytest
import torch
from path_pairs import make_pairs
from pieces_work import Inline
from tiny import tiny_batch

import hc_interp as hc
from hc_interp.errors import HCError
from hc_interp.models.hooked import HookedModel
from hc_interp.patching import shards
from hc_interp.patching.engine.encoder import EncoderStack
from hc_interp.patching.engine.exact import ExactEngine
from hc_interp.records import parcel, pieces


@pytest.fixture(scope="module")
def world():
    return hc.testbeds.heuristic_core(seed=0, through="v", noise=0.02)


@pytest.fixture(autouse=True)
def _fresh_worker(monkeypatch):
    """A worker that has read nothing yet."""
    for module, name in ((parcel, "_kept"), (pieces, "_benches")):
        monkeypatch.setattr(module, name, type(getattr(module, name))())


def calls(model, world):
    """Each function that takes an executor, small, as a function of the arguments that say where pieces go."""
    examples, rows = world.task.validation.sample(24), tiny_batch(48)
    sites = [hc.Site(0, "z", 0), hc.Site(2, "v", 3), hc.Site(0, "mlp_out")]
    sizes = {"n_sets": 1, "n_disjoint": 0, "n_donors": 1, "max_per_case": 4, "max_in_domain": 8, "batch_size": 8}
    steer = hc.Steer(hc.Site(0, "resid_pre"), torch.full((model.d_model,), 0.1, dtype=torch.float64))
    heads = world.core, world.generalizing, world.means
    return {
        "path_effects": lambda **to: hc.path_effects(
            model, make_pairs(7), list(model.components), ["L1H1", "L2H1", "output"], "each", batch_size=4, **to
        ),
        "general engine": lambda **to: hc.path_effects(
            model, make_pairs(5), ["L0H1", "L0H2"], "L2H1", batch_size=4, interventions=steer, **to
        ),
        "search_masks": lambda **to: hc.search_masks(model, rows, [0.5, 0.3], 2, steps=3, batch_size=4, **to),
        "one sample": lambda **to: hc.search_masks(
            model, rows, 0.5, 2, steps=2, batch_size=4, vary=("start", "noise"), **to
        ),
        "probe_map": lambda **to: hc.probe_map(
            world.model, examples, "token_overlap", sites, control=False, n_folds=3, max_tokens=80, **to
        ),
        "premises": lambda **to: hc.premises(world.model, world.task, *heads, **sizes, **to),
    }  # fmt: skip


NAMES = ["path_effects", "general engine", "search_masks", "one sample", "probe_map", "premises"]


@pytest.mark.parametrize("name", NAMES)
def test_the_result_and_every_piece_have_the_same_bytes(name, tiny_bert, world, tmp_path) -> None:
    call = calls(tiny_bert, world)[name]
    executor = Inline()
    found = {
        "plain": call(),
        "here": call(resume=tmp_path / "here"),
        "there": call(resume=tmp_path / "there", executor=executor),
        "nowhere": call(executor=Inline()),
    }
    written = {place: result.save(tmp_path / f"{place}.json").read_bytes() for place, result in found.items()}
    assert written["plain"] == written["here"] == written["there"] == written["nowhere"]
    names = {path.name for path in (tmp_path / "here").glob("*.json")}
    assert len(names) == executor.submitted > 1
    for file in names:
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "there" / file).read_bytes()
    with pytest.raises(hc.ResultError, match="was written by a"):  # other threads round otherwise
        call(resume=tmp_path / "here", threads=2)


class EachAlone(Inline):
    """Every piece goes to a worker that has made none before."""

    def submit(self, fn, /, *args):
        pieces._benches.clear()
        return super().submit(fn, *args)


# What counts a pass of each call. The engine's own check against a pass is made by every worker.
PASSES = {
    "path_effects": (EncoderStack, "values"),
    "general engine": (HookedModel, "run"),
    "search_masks": (HookedModel, "run_edits"),
    "probe_map": (HookedModel, "run_edits"),
}


@pytest.mark.parametrize("name", PASSES)
def test_runs_that_pieces_share_are_made_by_one_worker(name, tiny_bert, world, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "SENDERS_PER_BLOCK", 5 if name == "path_effects" else 1)
    call = calls(tiny_bert, world)[name]
    passes = {"here": 0, "apart": 0, "shared": 0}
    owner, method = PASSES[name]
    plain, place = getattr(owner, method), ""

    def counted(*args, **options):
        passes[place] += 1
        return plain(*args, **options)

    monkeypatch.setattr(owner, method, counted)
    for place, gib, executor in (("here", "1", None), ("apart", "0", EachAlone()), ("shared", "1", EachAlone())):
        monkeypatch.setenv("HC_INTERP_CACHE_GIB", gib)
        call(resume=tmp_path / place, executor=executor).save(tmp_path / f"{place}.json")
        assert not (tmp_path / place / "activations").exists()
    assert passes["apart"] > passes["shared"] == passes["here"]
    assert files(tmp_path, "apart") == files(tmp_path, "shared") == files(tmp_path, "here")


def files(folder, place) -> list[bytes]:
    """The result and every piece."""
    pieces_there = sorted(path for path in (folder / place).glob("*.json") if path.name != "pieces.json")
    return [path.read_bytes() for path in (folder / f"{place}.json", *pieces_there)]


def test_node_effects_are_measured_by_one_worker(tiny_bert, world, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "SENDERS_PER_BLOCK", 5)
    plain, measured = ExactEngine.node_effects, {"here": 0, "shared": 0}

    def counted(self, rows):
        known = len(self._node)
        effects = plain(self, rows)
        measured[place] += len(self._node) - known
        return effects

    monkeypatch.setattr(ExactEngine, "node_effects", counted)
    for place, executor in (("here", None), ("shared", EachAlone())):
        calls(tiny_bert, world)["path_effects"](resume=tmp_path / place, executor=executor)
    assert measured["shared"] == measured["here"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments_are_refused_before_the_work(name, tiny_bert, world, tmp_path) -> None:
    call = calls(tiny_bert, world)[name]
    for bad, message in (({"executor": 4}, "executor=4 was given"), ({"threads": 0}, "threads=0 was given")):
        with pytest.raises(HCError, match=message):
            call(**bad)
    assert not any(tmp_path.iterdir())


def test_a_method_that_is_no_sweep_takes_no_executor(tiny_bert, tmp_path) -> None:
    with pytest.raises(HCError, match="Leave resume and executor out"):
        hc.path_effects(tiny_bert, make_pairs(4), "heads", "heads", method="auto", resume=tmp_path, executor=Inline())
