"""`Faithfulness` and `FaithfulnessCurve`: per-example metrics of subnetworks, and the numbers that follow from them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.analysis.evaluation import FULL
from hc_interp.analysis.statistics import Interval, bootstrap, ratio_interval
from hc_interp.components import Subnetwork
from hc_interp.results import Result

EMPTY = "nothing kept"
Values = dict[str, Float[np.ndarray, " example"]]


@dataclass(frozen=True, eq=False)
class Faithfulness(Result):
    """Metric per example (`values`, also of "full" and "nothing kept"), KL and right answers of each subnetwork.

    `to_frame()` has a row per subnetwork: `subnetwork sparsity faithfulness low high kl accuracy_kept`, and, where they
    were asked for, `incompleteness` and `least_component least_drop` (its component that matters least, and by how much
    faithfulness falls without it). Intervals are bootstrap over sources. NaN where full model and nothing kept cannot
    be told apart.
    """

    names: tuple[str, ...]
    subnetworks: tuple[Subnetwork, ...]
    values: Values
    kl: Values
    correct: Values
    n_subsets: int
    sources: tuple[str, ...]
    seed: int
    provenance: dict[str, Any] = field(default_factory=dict)

    def drop(self, name: str) -> pd.Series:
        """Minimality: by how much faithfulness falls without each component. Empty unless it was asked for."""
        subnetwork = self.subnetworks[self.names.index(name)]
        scale = _mean(self.values, FULL) - _mean(self.values, EMPTY)
        found = {
            str(item): (_mean(self.values, name) - self.values[f"{name} without {item}"].mean()) / scale
            for item in subnetwork.sorted()
            if f"{name} without {item}" in self.values
        }
        return pd.Series(found, dtype=float)

    def incompleteness(self, name: str) -> float:
        """Mean over random halves K of |m(C without K) - m(M without K)|, in units of full minus nothing."""
        scale = abs(_mean(self.values, FULL) - _mean(self.values, EMPTY))
        pairs = [(f"{name} less {i}", f"{name} all less {i}") for i in range(self.n_subsets)]
        gaps = [abs(_mean(self.values, own) - _mean(self.values, whole)) for own, whole in pairs]
        return float(np.mean(gaps) / scale) if gaps else float("nan")

    def to_frame(self) -> pd.DataFrame:
        own = np.stack([self.values[name] for name in self.names], axis=1) - self.values[EMPTY][:, None]
        whole = self.values[FULL] - self.values[EMPTY]
        found = ratio_interval(own, whole, clusters=self.sources, seed=self.seed)
        columns: dict[str, Any] = {
            "subnetwork": self.names,
            "sparsity": [item.sparsity for item in self.subnetworks],
            "faithfulness": found.value,
            "low": found.low,
            "high": found.high,
            "kl": [self.kl[name].mean() for name in self.names],
            "accuracy_kept": [self.correct[name].mean() / self.correct[FULL].mean() for name in self.names],
        }
        if self.n_subsets:
            columns["incompleteness"] = [self.incompleteness(name) for name in self.names]
        drops = [self.drop(name) for name in self.names]
        if any(len(drop) for drop in drops):
            columns["least_component"] = [drop.idxmin() if len(drop) else "" for drop in drops]
            columns["least_drop"] = [drop.min() for drop in drops]
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        frame = self.to_frame()
        return (
            f"Faithfulness({len(self.names)} subnetworks, {len(self.sources)} examples; "
            f"{frame['faithfulness'].min():.3f} to {frame['faithfulness'].max():.3f})"
        )


@dataclass(frozen=True, eq=False)
class FaithfulnessCurve(Result):
    """Faithfulness over the share of components kept; `dropped` are the fractions that would keep none.

    `cpr` and `cmd` are intervals, bootstrap over sources; `to_frame()` has `fraction kept faithfulness low high`.
    """

    fractions: tuple[float, ...]
    subnetworks: tuple[Subnetwork, ...]
    dropped: tuple[float, ...]
    values: Values
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
        own, whole = self._rows[:, 1:], self._rows[:, 0]
        found = ratio_interval(own, whole, clusters=self.sources, seed=self.seed)
        return pd.DataFrame(
            {
                "fraction": self.fractions,
                "kept": [len(item) for item in self.subnetworks],
                "faithfulness": found.value,
                "low": found.low,
                "high": found.high,
            }
        )

    @property
    def _rows(self) -> Float[np.ndarray, "example column"]:
        """Full minus nothing, then each fraction's subnetwork minus nothing."""
        names = [FULL, *(f"{fraction:g}" for fraction in self.fractions)]
        return np.stack([self.values[name] - self.values[EMPTY] for name in names], axis=1)

    def _area(self, of: Callable[[np.ndarray], np.ndarray]) -> Interval:
        def area(rows: Float[np.ndarray, "example column"]) -> float:
            whole, *own = rows.mean(0)
            return float(np.trapezoid(of(np.array(own) / whole), self.fractions))

        return bootstrap(self._rows, area, clusters=self.sources, seed=self.seed)

    def __repr__(self) -> str:
        left_out = f"; dropped {', '.join(f'{f:g}' for f in self.dropped)}" if self.dropped else ""
        return (
            f"FaithfulnessCurve({len(self.fractions)} sizes, {len(self.sources)} examples; CPR {self.cpr.value:.3f}, "
            f"CMD {self.cmd.value:.3f}{left_out})"
        )


def _mean(values: Values, name: str) -> float:
    return float(values[name].mean())
