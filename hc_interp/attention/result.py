"""`AttentionProfile`: attention by kind of key, per example and head, and tables of it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.attention.targets import TARGETS
from hc_interp.components import Head, components, heads_of
from hc_interp.errors import ComponentError
from hc_interp.records.result import Result
from hc_interp.statistics.resampling import bootstrap_counts, ratio_bounds
from hc_interp.statistics.samples import as_units, generator, unit_sums
from hc_interp.statistics.tests import Interval

MEASURES = (*TARGETS, "order")
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class AttentionProfile(Result):
    """Attention by measure, summed over the query tokens of each example.

    `mass` is the sum of a head's attention to the keys that the measure means, `base` the same sum for uniform
    attention, `asked` the number of query tokens. The last axis of all three is `MEASURES`, which
    `hc.attention_profile` defines.
    """

    mass: Float[np.ndarray, "example layer head measure"]
    base: Float[np.ndarray, "example measure"]
    asked: Float[np.ndarray, "example measure"]
    ids: tuple[str, ...]
    sources: tuple[str, ...]
    level: float
    seed: int
    provenance: dict[str, Any] = field(repr=False)

    @property
    def heads(self) -> tuple[Head, ...]:
        """All heads of the model, in execution order: the rows of the table."""
        return tuple(Head(layer, head) for layer, head in np.ndindex(*self.mass.shape[1:3]))

    def score(self, head: Head | str, measure: str, *, lift: bool = False) -> Interval:
        """Mean of a measure over query tokens with its interval over sources; `lift=True` subtracts the base rate.

        Raises `ComponentError` for a head or a measure that the profile does not have.
        """
        (item,) = components(head)
        if item not in self.heads or measure not in MEASURES:
            raise ComponentError(
                f"{head} and {measure!r} were asked for; the profile has {self.heads[0]} to {self.heads[-1]} and "
                f"{', '.join(MEASURES)}."
            )
        m = MEASURES.index(measure)
        value, low, high = self._scores[int(lift), :, self.heads.index(item), m]
        return Interval(float(value), float(low), float(high), int(self.asked[:, m].sum()))

    def base_rate(self, measure: str) -> float:
        """The mean of the measure under uniform attention; NaN without query tokens."""
        m = MEASURES.index(measure)
        asked = self.asked[:, m].sum()
        return float(self.base[:, m].sum() / asked) if asked else float("nan")

    @cached_property
    def _scores(self) -> Float[np.ndarray, "lift value_low_high head measure"]:
        codes, n_units = as_units(self.sources, len(self.sources))
        counts = bootstrap_counts(n_units, RESAMPLES, generator(self.seed))
        mass = self.mass.reshape(len(self.mass), len(self.heads), len(MEASURES))
        scores = []
        for top in (mass, mass - self.base[:, None]):
            columns = []
            for m in range(len(MEASURES)):
                asked = unit_sums(self.asked[:, m, None], codes, n_units)
                sums = unit_sums(top[..., m], codes, n_units)
                columns.append(ratio_bounds(sums, asked, counts, self.level, "percentile"))
            scores.append(np.stack(columns, axis=-1))
        return np.stack(scores)

    def to_frame(self) -> pd.DataFrame:
        """A row per head and measure: mean, its interval, the base rate, and the lift over it with its interval."""
        rows = []
        for h, head in enumerate(self.heads):
            for m, measure in enumerate(MEASURES):
                (mean, low, high), (lift, lift_low, lift_high) = self._scores[:, :, h, m]
                row = {"head": str(head), "layer": head.layer, "measure": measure, "mean": mean, "low": low}
                row |= {"high": high, "base": self.base_rate(measure), "lift": lift, "lift_low": lift_low}
                rows.append(row | {"lift_high": lift_high})
        return pd.DataFrame(rows)

    def table(self, core: Any = None) -> pd.DataFrame:
        """Which heads attend to repeated words: a row per head, the highest attention to the same word first.

        `repeats` says whether the whole interval of the lift on the same word is above 0. With a 95 % interval this
        happens by chance for one head in 40. `times_base` is the attention to the same word over its base rate. `core`
        (heads, or a result that has them) adds a column that marks these heads.
        """
        wide = pd.DataFrame({"head": [str(head) for head in self.heads]})
        for m, measure in enumerate(MEASURES):
            wide[measure] = self._scores[0, 0, :, m]
        wide["same_word_low"], wide["same_word_high"] = self._scores[0, 1, :, 0], self._scores[0, 2, :, 0]
        wide["times_base"] = wide["same_word"] / self.base_rate("same_word")
        wide["repeats"] = self._scores[1, 1, :, 0] > 0
        if core is not None:
            marked = set(components(heads_of(core)))
            wide["core"] = [head in marked for head in self.heads]
        return wide.sort_values("same_word", ascending=False, ignore_index=True)

    def strongest(self, measure: str = "same_word", n: int = 5) -> tuple[Head, ...]:
        """The `n` heads with the highest mean of a measure."""
        order = np.argsort(-self._scores[0, 0, :, MEASURES.index(measure)], kind="stable")
        return tuple(self.heads[h] for h in order[:n])

    def __repr__(self) -> str:
        best = self.strongest(n=1)[0]
        return (
            f"AttentionProfile({len(self.heads)} heads, {len(self.ids)} examples; most on the same word: {best} "
            f"{self.score(best, 'same_word').value:.3f}, uniform {self.base_rate('same_word'):.3f})"
        )
