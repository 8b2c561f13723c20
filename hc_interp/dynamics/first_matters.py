"""`first_matters`: the checkpoint from which each head, or path, matters, with an interval over runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binom

from hc_interp.dynamics.result import OverTraining
from hc_interp.errors import HCError
from hc_interp.records.result import Result
from hc_interp.statistics.samples import check_level
from hc_interp.statistics.tests import fdr

IN_A_ROW = 2  # checkpoints; a single one may pass by chance


@dataclass(frozen=True, eq=False)
class FirstMatters(Result):
    """When each item first matters. `by_run` has a row per run and item: `run item first`, infinite for never.

    An item that matters later than another need not depend on it. Heads of models that were trained from other random
    weights have nothing in common but their numbers: runs over such models say nothing of single heads.
    """

    by_run: pd.DataFrame
    alpha: float
    margin: float
    level: float

    def to_frame(self) -> pd.DataFrame:
        """A row per item, earliest first: item, first (median over runs), low, high, runs, never (runs without it).

        The interval is that of order statistics for the median, which needs no distribution and lets runs have no
        step; it is NaN below 6 runs at 95 %.
        """
        rows = []
        for item, part in self.by_run.groupby("item", sort=False):
            first = np.sort(part["first"].to_numpy(dtype=float))
            low, high = median_interval(first, self.level)
            never = int(np.isinf(first).sum())
            rows.append(
                {"item": item, "first": _median(first), "low": low, "high": high, "runs": len(first)} | {"never": never}
            )
        frame = pd.DataFrame(rows, columns=["item", "first", "low", "high", "runs", "never"])
        return frame.sort_values("first", kind="stable", ignore_index=True)

    def __repr__(self) -> str:
        rows = self.to_frame().to_dict("records")
        known = [row for row in rows if np.isfinite(row["first"])]
        shown = ", ".join(f"{row['item']} {row['first']:g}" for row in known[:8])
        return f"FirstMatters({len(known)} of {len(rows)} items ever matter; first: {shown or 'none'})"


def first_matters(
    found: OverTraining | Sequence[OverTraining], *, alpha: float = 0.05, margin: float = 0.01, level: float = 0.95
) -> FirstMatters:
    """The first checkpoint from which each item matters at two checkpoints in a row.

    `found` is an analysis over training whose results have a p for each item, such as `hc.analyses.generalizing`
    (heads) or `hc.analyses.paths` (paths); or one for each of several runs, which gives an interval over runs. An item
    matters at a checkpoint if its q is at most `alpha` and its value at least `margin` in size. q is Benjamini and
    Hochberg's over all items and checkpoints of a run, so that many checkpoints do not make many discoveries. The last
    checkpoint alone is not two in a row.

    Raises `HCError` for results without p, and for a run with fewer than two checkpoints.
    """
    check_level(level)
    runs = [found] if isinstance(found, OverTraining) else list(found)
    tables = [_first_of(run, alpha, margin).assign(run=i) for i, run in enumerate(runs)]
    if not tables:
        raise HCError("first_matters was given no run. Expected what hc.over_training returned, or a list of these.")
    by_run = pd.concat(tables, ignore_index=True).reindex(columns=["run", "item", "first"])
    return FirstMatters(by_run, alpha, margin, level)


def _first_of(found: OverTraining, alpha: float, margin: float) -> pd.DataFrame:
    """A row per item: item, first."""
    if len(found) < IN_A_ROW:
        raise HCError(f"{found!r} has one checkpoint. Expected at least {IN_A_ROW}, since two in a row must pass.")
    table = found.trajectory()
    if not np.isfinite(table["p"].to_numpy()).any():
        raise HCError(
            f"{found!r} has no p values, so nothing can be said to matter. Expected an analysis that tests each item, "
            "such as hc.analyses.generalizing(task, core) or hc.analyses.paths(task, senders, receivers)."
        )
    passes = (fdr(table["p"].to_numpy()) <= alpha) & (table["value"].abs() >= margin)
    grid = table.assign(passes=passes).pivot_table(
        index="item", columns="step", values="passes", aggfunc="all", fill_value=False, sort=False
    )
    grid = grid[sorted(grid.columns)].astype(bool)
    row = grid.to_numpy()
    both = row[:, :-1] & row[:, 1:]
    steps = np.array(grid.columns, dtype=float)
    first = np.where(both.any(axis=1), steps[both.argmax(axis=1)], math.inf)
    return pd.DataFrame({"item": grid.index, "first": first})


def _median(ordered: np.ndarray) -> float:
    """The median; infinite where half of the values are."""
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(high) if math.isinf(high) else float((low + high) / 2)


def median_interval(ordered: np.ndarray, level: float) -> tuple[float, float]:
    """The interval of order statistics for the median of ascending values; NaN where there are too few of them."""
    n = len(ordered)
    rank = int(binom.ppf((1 - level) / 2, n, 0.5))  # the least rank whose tail holds more than half of what is left
    if binom.cdf(rank - 1, n, 0.5) > (1 - level) / 2 or rank < 1:
        return math.nan, math.nan
    return float(ordered[rank - 1]), float(ordered[n - rank])
