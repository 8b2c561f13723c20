"""`Faithfulness` and `FaithfulnessCurve`: per-example metrics of subnetworks, and the numbers that follow from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.components import Subnetwork
from hc_interp.evaluation.result import FULL
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval, bootstrap, ratio_interval

EMPTY = "nothing kept"
Values = dict[str, Float[np.ndarray, " example"]]


@dataclass(frozen=True, eq=False)
class Faithfulness(Result):
    """Metric per example (`values`, also of "full" and "nothing kept"), KL and right answers of each subnetwork.

    `to_frame()` has a row per subnetwork: `subnetwork sparsity`, then `faithfulness`, `kl`, `accuracy_kept` and, where
    they were asked for, `incompleteness` and `least_drop` (how much faithfulness falls without `least_component`, the
    one that matters least), each with `_low` and `_high` (`low` and `high` for faithfulness): 95 % intervals, bootstrap
    over sources. That of `least_drop` is of this component, not of the least of all. What is in units of full minus
    nothing is NaN where the two cannot be told apart.
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
            whole, *own = np.abs(rows.mean(0))
            return float(np.mean(own) / whole)

        return bootstrap(rows, gap, clusters=self.sources, seed=self.seed)

    def to_frame(self) -> pd.DataFrame:
        found = self._share(np.stack([self.values[name] - self.values[EMPTY] for name in self.names], axis=1))
        kl = bootstrap(np.stack([self.kl[name] for name in self.names], axis=1), clusters=self.sources, seed=self.seed)
        kept = ratio_interval(
            np.stack([self.correct[name] for name in self.names], axis=1), self.correct[FULL], clusters=self.sources,
            seed=self.seed,
        )  # fmt: skip
        columns: dict[str, Any] = {
            "subnetwork": self.names,
            "sparsity": [item.sparsity for item in self.subnetworks],
            "faithfulness": found.value,
            "low": found.low,
            "high": found.high,
            **_columns("kl", kl),
            **_columns("accuracy_kept", kept),
        }
        if self.n_subsets:
            every = [self.incompleteness(name) for name in self.names]
            columns |= _columns("incompleteness", _side_by_side(every))
        drops = [self.drop(name) for name in self.names]
        if any(len(drop) for drop in drops):
            least = [str(drop.idxmin()) if drop.notna().any() else "" for drop in drops]
            none = Interval(np.nan, np.nan, np.nan, len(self.sources))
            ends = [
                self._share(self._fall(name, item)) if item else none
                for name, item in zip(self.names, least, strict=True)
            ]
            columns["least_component"] = least
            columns |= _columns("least_drop", _side_by_side(ends))
        return pd.DataFrame(columns)

    @property
    def _whole(self) -> Float[np.ndarray, " example"]:
        return self.values[FULL] - self.values[EMPTY]

    def _fall(self, name: str, item: str) -> Float[np.ndarray, " example"]:
        return self.values[name] - self.values[f"{name} without {item}"]

    def _share(self, rows: Float[np.ndarray, "example *column"]) -> Interval:
        """In units of full minus nothing."""
        return ratio_interval(rows, self._whole, clusters=self.sources, seed=self.seed)

    def __repr__(self) -> str:
        frame = self.to_frame()
        return (
            f"Faithfulness({len(self.names)} subnetworks, {len(self.sources)} examples; "
            f"{frame['faithfulness'].min():.3f} to {frame['faithfulness'].max():.3f})"
        )


@dataclass(frozen=True, eq=False)
class FaithfulnessCurve(Result):
    """Faithfulness over the share of components kept; `dropped` are the fractions that would keep none.

    `cpr` and `cmd` are intervals, bootstrap over sources; `to_frame()` has `fraction kept faithfulness low high`. NaN
    where full model and nothing kept cannot be told apart.
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

        if not apart(self._rows[:, 0], self.sources, self.seed):
            return Interval(np.nan, np.nan, np.nan, len(self._rows))
        return bootstrap(self._rows, area, clusters=self.sources, seed=self.seed)

    def __repr__(self) -> str:
        left_out = f"; dropped {', '.join(f'{f:g}' for f in self.dropped)}" if self.dropped else ""
        return (
            f"FaithfulnessCurve({len(self.fractions)} sizes, {len(self.sources)} examples; CPR {self.cpr.value:.3f}, "
            f"CMD {self.cmd.value:.3f}{left_out})"
        )


def apart(whole: Float[np.ndarray, " example"], sources: tuple[str, ...], seed: int) -> bool:
    """Whether the interval of full minus nothing leaves out 0; a share of it means nothing otherwise."""
    return bool(bootstrap(whole, clusters=sources, seed=seed).excludes(0))


def _columns(name: str, found: Interval) -> dict[str, Any]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _side_by_side(every: Sequence[Interval]) -> Interval:
    value, low, high = (np.array([getattr(own, end) for own in every]) for end in ("value", "low", "high"))
    return Interval(value, low, high, every[0].n)
