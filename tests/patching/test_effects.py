"""The table of path effects: whole sources are the unit of every test and interval, and q has its family."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_results import path_effects

from hc_interp.components import Head
from hc_interp.errors import ResultError
from hc_interp.patching.effects import PathEffects
from hc_interp.statistics.tests import bootstrap, fdr, ratio_interval, sign_flip_test

SOURCES = tuple(f"premise {i // 8}" for i in range(40))  # five


@pytest.fixture(scope="module")
def result() -> PathEffects:
    """Rows of which some have receivers that are not downstream; pairs of a source are alike."""
    made = path_effects([Head(0, 0), Head(1, 1)], [Head(0, 1), Head(1, 0), Head(2, 2)], density=1.0)
    arrays = {name: getattr(made, name)[::8].repeat_interleave(8, 0) for name in ("effects", "node", "explained")}
    return replace(made, sources=SOURCES, total=made.total[::8].repeat_interleave(8), **arrays)


def test_every_number_has_sources_as_its_unit(result) -> None:
    frame = result.to_frame()
    effects, common = result.effects.numpy(), {"clusters": SOURCES, "level": result.level, "seed": result.seed}
    p = sign_flip_test(effects, clusters=SOURCES, seed=result.seed)
    assert frame["p"].tolist() == pytest.approx(p)
    assert min(p) == 2 / 2**5  # no p of five sources is smaller
    intervals = {
        "": bootstrap(effects, **common),
        "share_": ratio_interval(effects, result.total.numpy(), **common),
        "node_share_": ratio_interval(effects, result.node.numpy(), **common),
        "response_": ratio_interval(result.explained.numpy(), result.extent.numpy(), **common),
    }
    for name, interval in intervals.items():
        assert frame[f"{name}low"].tolist() == pytest.approx(interval.low)
        assert frame[f"{name}high"].tolist() == pytest.approx(interval.high)


def test_the_family_of_q_is_what_is_downstream(result) -> None:
    frame, downstream = result.to_frame(), np.array(result.downstream)
    assert 0 < downstream.sum() < len(result)
    assert frame["q"][~downstream].isna().all()
    assert frame["q"][downstream].tolist() == pytest.approx(fdr(frame["p"][downstream].to_numpy()))


def shards(whole: PathEffects) -> list[PathEffects]:
    result = []
    for first in range(2):
        places = tuple(range(len(whole)))[first::2]
        arrays = {name: getattr(whole, name)[:, places] for name in ("effects", "node", "explained", "extent")}
        rows = {name: getattr(whole, name)[first::2] for name in ("rows", "downstream", "methods")}
        result.append(replace(whole, part=(len(whole), places), **arrays, **rows))
    return result


def test_shards_whose_runs_gave_other_totals_are_not_joined(result) -> None:
    first, second = shards(result)
    joined = PathEffects.join([second, first])
    assert joined.rows == result.rows
    assert torch.equal(joined.effects, result.effects)
    with pytest.raises(ResultError, match="not shards of one sweep"):
        PathEffects.join([first, replace(second, total=second.total + 0.1)])
