"""`first_matters`: two checkpoints in a row pass FDR over items and checkpoints, with an interval over runs."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

import hc_interp as hc
from hc_interp.dynamics.first_matters import median_interval
from hc_interp.errors import HCError
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.statistics.tests import fdr

STEPS = (0, 10, 100, 1000)


def run_of(p: dict[str, list[float]], share: float = 0.2) -> hc.OverTraining:
    """An analysis over training whose heads have these p at `STEPS`."""
    results = []
    for i, _ in enumerate(STEPS):
        table = pd.DataFrame({"head": list(p), "share": share, "p": [p[name][i] for name in p], "passes": False})
        results.append(GeneralizingHeads((), (), (), "contrast", (), (), table))
    return hc.OverTraining("series", STEPS, tuple(results))


def first(found: hc.FirstMatters) -> dict[str, float]:
    frame = found.to_frame()
    return dict(zip(frame["item"], frame["first"], strict=True))


def test_two_in_a_row_are_needed_and_the_last_alone_is_not_enough() -> None:
    found = hc.first_matters(
        run_of(
            {
                "L0H0": [1, 1e-6, 1e-6, 1e-6],
                "L0H1": [1e-6, 1, 1e-6, 1e-6],
                "L0H2": [1, 1, 1, 1e-6],
                "L0H3": [1e-6, 1e-6, 1, 1],
            }
        )
    )
    assert first(found) == {"L0H3": 0, "L0H0": 10, "L0H1": 100, "L0H2": math.inf}
    assert list(found.to_frame()["item"]) == ["L0H3", "L0H0", "L0H1", "L0H2"]
    assert repr(found) == "FirstMatters(3 of 4 items ever matter; first: L0H3 0, L0H0 10, L0H1 100)"


def test_a_small_effect_does_not_matter() -> None:
    significant = {"L0H0": [1e-6] * 4}
    assert first(hc.first_matters(run_of(significant, share=0.005))) == {"L0H0": math.inf}
    assert first(hc.first_matters(run_of(significant, share=-0.02))) == {"L0H0": 0}
    assert first(hc.first_matters(run_of(significant, share=0.005), margin=0.001)) == {"L0H0": 0}


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5), st.floats(0.01, 0.3))
def test_fdr_is_over_all_items_and_checkpoints(rows, alpha) -> None:
    p = {f"L0H{i}": row for i, row in enumerate(rows)}
    passes = (fdr(np.array(rows).T.ravel()) <= alpha).reshape(4, len(rows))
    expected = {}
    for i, name in enumerate(p):
        both = [STEPS[k] for k in range(3) if passes[k, i] and passes[k + 1, i]]
        expected[name] = both[0] if both else math.inf
    assert first(hc.first_matters(run_of(p), alpha=alpha)) == expected


def test_over_runs_the_median_and_its_interval() -> None:
    early, late, never = ([1e-6] * 4, [1, 1, 1e-6, 1e-6], [1] * 4)
    runs = [run_of({"L0H0": row}) for row in (early, early, early, late, late, late, late, never)]
    (row,) = hc.first_matters(runs).to_frame().to_dict("records")
    assert row["first"] == 100
    assert (row["low"], row["high"]) == (0, math.inf)
    assert (row["runs"], row["never"]) == (8, 1)
    (alone,) = hc.first_matters(runs[0]).to_frame().to_dict("records")
    assert math.isnan(alone["low"])
    assert math.isnan(alone["high"])


@given(st.integers(1, 60), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_interval_of_the_median_covers_as_it_says_and_no_narrower_one_does(n, level) -> None:
    low, _ = median_interval(np.arange(1.0, n + 1), level)
    outside = (1 - level) / 2
    if math.isnan(low):
        assert binom.cdf(0, n, 0.5) > outside
    else:
        rank = int(low)
        assert binom.cdf(rank - 1, n, 0.5) <= outside < binom.cdf(rank, n, 0.5)


def test_wrong_input_is_refused() -> None:
    run = run_of({"L0H0": [1e-6] * 4})
    with pytest.raises(HCError, match="one checkpoint"):
        hc.first_matters(replace(run, steps=(0,), results=run.results[:1]))
    with pytest.raises(HCError, match="no run"):
        hc.first_matters([])
    without = replace(run, results=tuple(replace(r, table=r.table.assign(p=np.nan)) for r in run.results))
    with pytest.raises(HCError, match="no p values"):
        hc.first_matters(without)


def test_a_kind_of_ones_own_has_a_quantity_when_it_is_registered() -> None:
    from hc_interp.dynamics.quantities import QUANTITIES, quantity
    from hc_interp.records.result import Result

    @dataclass(frozen=True, eq=False)
    class Dose(Result):
        value: float

        def to_frame(self) -> pd.DataFrame:
            return pd.DataFrame({"value": [self.value]})

    @quantity(of=Dose, form="lines", title="dose", heading="Dose", about="A dose.")
    def of_dose(found: Dose, last: Dose) -> list[dict]:
        return [{"item": "dose", "value": found.value}]

    try:
        found = hc.OverTraining("series", (0, 1), (Dose(1.0), Dose(2.0)))
        assert found.trajectory()["value"].tolist() == [1.0, 2.0]
        with pytest.raises(HCError, match="Choose another name"):
            quantity(of=Dose, form="lines", title="", heading="", about="")(lambda found, last: [])
        mixed = hc.OverTraining("series", (0, 1), (run_of({"L0H0": [1] * 4}).results[0], Dose(2.0)))
        with pytest.raises(HCError, match="several kinds"):
            mixed.trajectory()
    finally:
        del QUANTITIES["Dose"]
