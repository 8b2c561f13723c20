"""`Faithfulness` and `FaithfulnessCurve`: metrics of subnetworks by example, and the numbers computed from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.evaluation.result import FULL
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval, bootstrap, ratio_interval
from hc_interp.subnetwork import Subnetwork

EMPTY = "nothing kept"  # the name of the model in which every component is replaced
PerExample = dict[str, Float[np.ndarray, " example"]]


@dataclass(frozen=True, eq=False)
class Faithfulness(Result):
    """Metric (`values`), KL in nats and right answers (`correct`) per example, by name of the subnetwork.

    `values` also has the full model ("full") and the model in which every component is replaced ("nothing kept").
    *Full minus nothing* is the difference of the metric between these two. `hc.faithfulness` defines the numbers.

    `to_frame()` has a row per subnetwork: `subnetwork sparsity faithfulness low high`, then `kl`, `accuracy_kept` and,
    where they were requested, `incompleteness` and `least_drop`, each with `_low` and `_high`. `least_drop` is the fall
    of faithfulness without `least_component`, the component with the smallest fall. Intervals are 95 % bootstraps over
    sources. The interval of `least_drop` is that of this one component and ignores that it is the smallest of several.
    Numbers in units of full minus nothing are NaN where the interval of that difference contains 0.
    """

    names: tuple[str, ...]
    subnetworks: tuple[Subnetwork, ...]
    values: PerExample
    kl: PerExample
    correct: PerExample
    n_subsets: int
    sources: tuple[str, ...]
    seed: int
    provenance: dict[str, Any] = field(default_factory=dict)

    def drop(self, name: str) -> pd.Series:
        """Minimality: the fall of faithfulness without each component. It is empty without `minimality=True`."""
        items = [str(item) for item in self.subnetworks[self.names.index(name)].sorted()]
        falls = {item: self._fall(name, item) for item in items if f"{name} without {item}" in self.values}
        if not falls:
            return pd.Series(dtype=float)
        return pd.Series(self._share(np.stack(list(falls.values()), axis=1)).value, index=list(falls))

    def incompleteness(self, name: str) -> Interval:
        """Mean over random halves K of |m(C without K) - m(M without K)|, in units of full minus nothing."""
        gaps = [self.values[f"{name} less {i}"] - self.values[f"{name} all less {i}"] for i in range(self.n_subsets)]
        rows = np.stack([self._whole, *gaps], axis=1)
        if not gaps or not apart(self._whole, self.sources, self.seed):
            return Interval(np.nan, np.nan, np.nan, len(rows))

        def gap(rows: Float[np.ndarray, "example column"]) -> float:
            whole, *differences = np.abs(rows.mean(0))
            return float(np.mean(differences) / whole)

        return bootstrap(rows, gap, clusters=self.sources, seed=self.seed)

    def to_frame(self) -> pd.DataFrame:
        """A row per subnetwork: each number with its interval, as the class defines them."""
        kept_metric = self._share(np.stack([self.values[name] - self.values[EMPTY] for name in self.names], axis=1))
        kl = bootstrap(np.stack([self.kl[name] for name in self.names], axis=1), clusters=self.sources, seed=self.seed)
        kept_accuracy = ratio_interval(
            np.stack([self.correct[name] for name in self.names], axis=1), self.correct[FULL], clusters=self.sources,
            seed=self.seed,
        )  # fmt: skip
        columns: dict[str, Any] = {
            "subnetwork": self.names,
            "sparsity": [item.sparsity for item in self.subnetworks],
            "faithfulness": kept_metric.value,
            "low": kept_metric.low,
            "high": kept_metric.high,
            **_columns("kl", kl),
            **_columns("accuracy_kept", kept_accuracy),
        }
        if self.n_subsets:
            gaps = [self.incompleteness(name) for name in self.names]
            columns |= _columns("incompleteness", _side_by_side(gaps))
        drops = [self.drop(name) for name in self.names]
        if any(len(drop) for drop in drops):
            least = [str(drop.idxmin()) if drop.notna().any() else "" for drop in drops]
            none = Interval(np.nan, np.nan, np.nan, len(self.sources))
            smallest = [
                self._share(self._fall(name, item)) if item else none
                for name, item in zip(self.names, least, strict=True)
            ]
            columns["least_component"] = least
            columns |= _columns("least_drop", _side_by_side(smallest))
        return pd.DataFrame(columns)

    @property
    def _whole(self) -> Float[np.ndarray, " example"]:
        return self.values[FULL] - self.values[EMPTY]

    def _fall(self, name: str, item: str) -> Float[np.ndarray, " example"]:
        return self.values[name] - self.values[f"{name} without {item}"]

    def _share(self, rows: Float[np.ndarray, "example *column"]) -> Interval:
        """The sum of `rows` over examples in units of full minus nothing."""
        return ratio_interval(rows, self._whole, clusters=self.sources, seed=self.seed)

    def __repr__(self) -> str:
        frame = self.to_frame()
        return (
            f"Faithfulness({len(self.names)} subnetworks, {len(self.sources)} examples; "
            f"{frame['faithfulness'].min():.3f} to {frame['faithfulness'].max():.3f})"
        )


@dataclass(frozen=True, eq=False)
class FaithfulnessCurve(Result):
    """Faithfulness by share of components kept. `dropped` are the requested fractions that would keep no component.

    `values` is the metric per example, also of "full" and "nothing kept". `cpr` and `cmd` are areas with bootstrap
    intervals over sources. `to_frame()` has `fraction kept faithfulness low high`. All are NaN where the interval of
    full minus nothing contains 0.
    """

    fractions: tuple[float, ...]
    subnetworks: tuple[Subnetwork, ...]
    dropped: tuple[float, ...]
    values: PerExample
    sources: tuple[str, ...]
    seed: int
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def cpr(self) -> Interval:
        """Area under the faithfulness curve; higher is better."""
        return self._area(lambda curve: curve)

    @property
    def cmd(self) -> Interval:
        """Area between the faithfulness curve and 1; 0 is best."""
        return self._area(lambda curve: np.abs(1 - curve))

    def to_frame(self) -> pd.DataFrame:
        """A row per size: fraction, kept (how many components), faithfulness with its interval (low, high)."""
        full, subnetworks = self._rows[:, 0], self._rows[:, 1:]
        faithfulness = ratio_interval(subnetworks, full, clusters=self.sources, seed=self.seed)
        return pd.DataFrame(
            {
                "fraction": self.fractions,
                "kept": [len(item) for item in self.subnetworks],
                "faithfulness": faithfulness.value,
                "low": faithfulness.low,
                "high": faithfulness.high,
            }
        )

    @property
    def _rows(self) -> Float[np.ndarray, "example column"]:
        """Full minus nothing, then each fraction's subnetwork minus nothing."""
        names = [FULL, *(f"{fraction:g}" for fraction in self.fractions)]
        return np.stack([self.values[name] - self.values[EMPTY] for name in names], axis=1)

    def _area(self, of: Callable[[np.ndarray], np.ndarray]) -> Interval:
        def area(rows: Float[np.ndarray, "example column"]) -> float:
            full, *subnetworks = rows.mean(0)
            return float(np.trapezoid(of(np.array(subnetworks) / full), self.fractions))

        if not apart(self._rows[:, 0], self.sources, self.seed):
            return Interval(np.nan, np.nan, np.nan, len(self._rows))
        return bootstrap(self._rows, area, clusters=self.sources, seed=self.seed)

    def __repr__(self) -> str:
        dropped = f"; dropped {', '.join(f'{f:g}' for f in self.dropped)}" if self.dropped else ""
        return (
            f"FaithfulnessCurve({len(self.fractions)} sizes, {len(self.sources)} examples; CPR {self.cpr.value:.3f}, "
            f"CMD {self.cmd.value:.3f}{dropped})"
        )


def apart(whole: Float[np.ndarray, " example"], sources: tuple[str, ...], seed: int) -> bool:
    """Whether the interval of full minus nothing (`whole`) excludes 0. Otherwise no share of it is defined."""
    return bool(bootstrap(whole, clusters=sources, seed=seed).excludes(0))


def _columns(name: str, interval: Interval) -> dict[str, Any]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _side_by_side(intervals: Sequence[Interval]) -> Interval:
    value, low, high = (np.array([getattr(item, name) for item in intervals]) for name in ("value", "low", "high"))
    return Interval(value, low, high, intervals[0].n)
