"""`Ranking`: the scores of all components by one screen, and subnetworks of the highest ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import Component, Head
from hc_interp.errors import SearchError
from hc_interp.records.result import Result
from hc_interp.search.hard_concrete import top_indices
from hc_interp.shares import kept_count
from hc_interp.statistics.tests import bootstrap
from hc_interp.subnetwork import Subnetwork


@dataclass(frozen=True, eq=False)
class Ranking(Result):
    """Scores of each component on each example by one screen (`method`), in the order of `universe`.

    A component's score is the mean over examples. `sources` are the premise or template of each example, and intervals
    resample sources. A screen scores each component while all others are kept. So two components of which each can
    replace the other may both score low, and the best k components need not be those of the k highest scores.
    """

    method: str
    universe: tuple[Component, ...]
    per_example: Float[Tensor, "component example"]
    sources: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> Float[Tensor, " component"]:
        """The mean score of each component over examples."""
        return self.per_example.double().mean(1)

    def top(self, sparsity: float) -> Subnetwork:
        """The subnetwork of exactly this sparsity with the highest scores; ties by layer, then head.

        Raises `SearchError` for a sparsity outside 0 to 1.
        """
        return binary(self.scores, sparsity, self.universe)

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """A row per component, the highest score first: rank, component, kind, layer, head, score, low, high.

        Intervals, at `level`, are from a bootstrap over sources.
        """
        interval = bootstrap(self.per_example.double().T.numpy(), clusters=self.sources, level=level, seed=0)
        frame = pd.DataFrame(
            {
                "component": [str(item) for item in self.universe],
                "kind": ["head" if isinstance(item, Head) else "mlp" for item in self.universe],
                "layer": [item.layer for item in self.universe],
                "head": pd.array([getattr(item, "head", pd.NA) for item in self.universe], dtype="Int64"),
                "score": interval.value,
                "low": interval.low,
                "high": interval.high,
            }
        )
        frame = frame.sort_values("score", ascending=False, kind="stable", ignore_index=True)
        frame.insert(0, "rank", range(1, len(frame) + 1))
        return frame

    def __repr__(self) -> str:
        best = top_indices(self.scores, min(3, len(self.universe)))
        order = sorted(best.tolist(), key=lambda i: -self.scores[i])
        first = ", ".join(str(self.universe[i]) for i in order)
        return f"Ranking({len(self.universe)} components by {self.method}, {len(self.sources)} examples; first {first})"


def binary(scores: Float[Tensor, " component"], sparsity: float, items: Sequence[Component]) -> Subnetwork:
    """The subnetwork of exactly this sparsity with the highest scores. `items` are in execution order."""
    return best(scores, kept_count(len(items), sparsity), items)


def best(scores: Float[Tensor, " component"], n_kept: int, items: Sequence[Component]) -> Subnetwork:
    """The subnetwork of the `n_kept` highest scores. Among equal scores the earlier components are kept."""
    if not bool(scores.isfinite().all()):
        raise SearchError(
            f"{int((~scores.isfinite()).sum())} of {len(scores)} scores are not finite, so there is no best. Check the "
            "model's weights and dtype, the means and the interventions."
        )
    indices = top_indices(scores, n_kept).tolist()
    return Subnetwork(frozenset(items[i] for i in indices), tuple(items))
