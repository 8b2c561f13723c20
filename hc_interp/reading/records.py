"""`DirectionRecord` and `KindRecord`: all numbers of the reads-from test on one kind of pairs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.components import Head
from hc_interp.reading.decision import DirectionEvidence
from hc_interp.reading.specificity import Specificity
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval


@dataclass(frozen=True, eq=False)
class DirectionRecord(Result):
    """All numbers of one kind of pairs in one direction, "as_is" (clean to corrupt) or "reversed".

    `why` says why the direction is uninformative; it is "" for an informative one. An uninformative direction has no
    null, controls, specificity, necessity and sufficiency.

    `routes[route]` is T with its interval: the joint effect of the core on the generalizing heads as a share of their
    node effect (`hc.reads_from` defines both). `null` holds T of relabelled cores on route "all", the observed core
    among them if `exhaustive`. `size_controls` holds T of sets of other heads that match the core in layer and |dz|,
    the distance between a head's corrupt and its clean `z`. `size_ratio` is the mean over these sets of their |dz| over
    the core's. `size_limit` is the 95th percentile of their T, where the T of a set with less |dz| than the core is
    scaled up. A ratio well under 1 means that the core has the largest heads, so that the limit depends on the scaling.
    Ratio and limit are NaN, and there are no controls, where a layer has fewer other heads than core heads; a note
    names the layer. `important` are as many heads as the core has, of largest |node effect| on these pairs, and
    `important_T` is their T: any set of important heads has a high T, so this control does not decide.

    `specificity[route]` has D and S; route "all" decides. `node_effect` is the mean over pairs, in units of the metric.
    `sender_change` is the core's sum |dz| / sum |z|. `necessity` and `sufficiency` are by ablation source
    (`necessity.shares_under`).

    Values per pair, in units of the metric: `effects[route]` (T's numerator), `node` (the node effect) and `total`, the
    metric's change from the clean to the corrupt run. `units` gives the number of levels of each unit that intervals
    count as dependent, `few` that of units with too few levels to count: the result is about these levels alone.
    """

    why: str
    routes: dict[str, Interval]
    p: float
    n_labellings: int
    exhaustive: bool
    null: Float[np.ndarray, " labelling"]
    size_controls: Float[np.ndarray, " control"]
    size_limit: float
    size_ratio: float
    important: tuple[Head, ...]
    important_T: float
    specificity: dict[str, Specificity]
    node_effect: Interval
    sender_change: float
    necessity: dict[str, Interval]
    sufficiency: dict[str, Interval]
    effects: dict[str, Float[np.ndarray, " pair"]]
    node: Float[np.ndarray, " pair"]
    total: Float[np.ndarray, " pair"]
    sources: tuple[str, ...]
    ids: tuple[str, ...]
    dropped: int
    units: dict[str, int]
    few: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def informative(self) -> bool:
        return not self.why

    @property
    def T(self) -> Interval:
        """T on route "all"."""
        return self.routes["all"]

    @property
    def D(self) -> Interval:
        """D on route "all"; NaN if it was not measured."""
        return self._specific.D

    @property
    def S(self) -> Interval:
        """S on route "all"; NaN if it was not measured."""
        return self._specific.S

    @property
    def p_D(self) -> float:
        """p of D on route "all"; NaN if it was not measured."""
        return self._specific.p_D

    @property
    def _specific(self) -> Specificity:
        return self.specificity.get("all", NOT_SPECIFIC)

    @property
    def evidence(self) -> DirectionEvidence:
        """The numbers that `decision.decide` reads."""
        found = self._specific
        t = self.T
        return DirectionEvidence(
            why=self.why,
            T=float(t),
            low=float(t.low),
            high=float(t.high),
            p=self.p,
            n_labellings=self.n_labellings,
            size_limit=self.size_limit,
            S=_three(found.S if found.S_over_kinds is None else found.S_over_kinds),
            R_G=_three(found.R_G),
            R_O=_three(found.R_O),
            p_D=found.p_D,
            n_labellings_D=found.labellings,
            compared=found.compared,
        )

    @property
    def parts(self) -> dict[str, float]:
        """T in parts that add up to it: "directly", "through MLPs" and "through other heads", in that order.

        A part is the difference between T on two routes; routes that were not measured leave their part to the next.
        """
        found, before = {}, 0.0
        for route, words in (("direct", "directly"), ("mlps", "through MLPs"), ("all", "through other heads")):
            if route in self.routes:
                found[words] = float(self.routes[route]) - before
                before = float(self.routes[route])
        return found

    def to_frame(self) -> pd.DataFrame:
        """A row per route. Only the row of route "all" has null, controls, necessity and sufficiency."""
        rows = []
        for route, share in self.routes.items():
            row: dict[str, Any] = {"route": route, "T": share.value, "low": share.low, "high": share.high}
            if route in self.specificity:
                row |= _specific_columns(self.specificity[route])
            row |= self._only_on_all() if route == "all" else {}
            row |= {
                "node_effect": self.node_effect.value,
                "sender_change": self.sender_change,
                "informative": self.informative,
                "why": self.why,
                "n_pairs": len(self.ids),
                "n_sources": len(set(self.sources)),
                "dropped": self.dropped,
            }
            rows.append(row)
        return pd.DataFrame(rows)

    def _only_on_all(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "p": self.p,
            "n_labellings": self.n_labellings,
            "size_limit": self.size_limit,
            "size_ratio": self.size_ratio,
            "important_T": self.important_T,
        }
        for name, by_source in (("necessity", self.necessity), ("sufficiency", self.sufficiency)):
            for source, interval in by_source.items():
                row[f"{name}_{source}"] = interval.value
                row[f"{name}_{source}_low"], row[f"{name}_{source}_high"] = interval.low, interval.high
        return row

    def __repr__(self) -> str:
        state = self.why or f"T = {float(self.T):.3f}, p = {self.p:.3g}, S = {float(self.S):.3f}, p_D = {self.p_D:.3g}"
        return f"DirectionRecord({len(self.ids)} pairs: {state})"


@dataclass(frozen=True, eq=False)
class KindRecord(Result):
    """One kind of pairs: its numbers by direction ("as_is", and "reversed" where the pairs can be), and its reading.

    `reading` and `reason` are those of this kind alone (`decision.kind_reading`). An uninformative kind has the reading
    "inconclusive" and `why`.
    """

    kind: str
    directions: dict[str, DirectionRecord]
    reading: str
    reason: str

    @property
    def why(self) -> str:
        """Why the kind is uninformative ("" if both directions are informative)."""
        return next((record.why for record in self.directions.values() if record.why), "")

    @property
    def informative(self) -> bool:
        return not self.why

    @property
    def n_pairs(self) -> int:
        return len(next(iter(self.directions.values())).ids)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of both directions; a note of both stands once."""
        by_note: dict[str, list[str]] = {}
        for name, record in self.directions.items():
            for note in record.notes:
                by_note.setdefault(note, []).append(name.replace("_", " "))
        every = len(self.directions)
        return tuple(note if len(names) == every else f"{names[0]}: {note}" for note, names in by_note.items())

    def to_frame(self) -> pd.DataFrame:
        """A row per direction and route."""
        parts = [record.to_frame().assign(direction=name) for name, record in self.directions.items()]
        frame = pd.concat(parts, ignore_index=True).assign(kind=self.kind, reading=self.reading, reason=self.reason)
        first = ["kind", "direction", "route"]
        return frame.reindex(columns=[*first, *(column for column in frame.columns if column not in first)])

    def __repr__(self) -> str:
        return f"KindRecord({self.kind}, {self.n_pairs} pairs: {self.reading}, {self.why or self.reason})"


def _three(interval: Interval) -> tuple[float, float, float]:
    return float(interval.low), float(interval.value), float(interval.high)


def _specific_columns(found: Specificity) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in ("D", "S", "R_G", "R_O"):
        interval = getattr(found, name)
        row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row | {"p_D": found.p_D, "n_labellings_D": found.labellings, "covered": found.covered}


NOT_SPECIFIC = Specificity.undefined()
