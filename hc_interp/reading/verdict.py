"""`Verdict`: the result of the reads-from test with the numbers of each kind of pairs, and its sentence in words."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.components import Head
from hc_interp.patching.effects import PathEffects
from hc_interp.reading.decision import REASONS, Answer, Evidence
from hc_interp.reading.defaults import ABLATION_SOURCES
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval

SUFFIXES = ("", "_low", "_high")  # of the columns of a value and its interval
VERDICT_COLUMNS = (
    "kind", "route", "T", "low", "high", "p", "p_holm", "n_labellings", "size_limit", "size_ratio",
    *(f"specificity{end}" for end in SUFFIXES),
    *(f"{share}_{source}{end}"
      for share in ("necessity", "sufficiency") for source in ABLATION_SOURCES for end in SUFFIXES),
    "node_effect", "sender_change", "informative", "why", "n_pairs", "n_sources", "dropped", "dtype",
)  # fmt: skip
SMALL_CONTROLS = 0.8  # the sentence says so where the size controls have less than this share of the core's |dz|


@dataclass(frozen=True, eq=False)
class KindRecord(Result):
    """All numbers of one kind of pairs.

    `why` says why the kind is uninformative; it is "" for an informative kind. An uninformative kind has no null,
    controls, necessity and sufficiency.

    `routes[route]` is T with its interval: the joint effect of the core on the generalizing heads as a share of their
    node effect (`hc.reads_from` defines both). `null` holds T of relabelled cores on route "all", the observed core
    among them if `exhaustive`. `size_controls` holds T of sets of other heads that match the core in layer and |dz|,
    the distance between a head's corrupt and its clean `z`. `size_ratio` is the mean over these sets of their |dz| over
    the core's. `size_limit` is the 95th percentile of their T, where the T of a set with less |dz| than the core is
    scaled up. A ratio well under 1 means that the core has the largest heads, so that the limit depends on the scaling.
    Ratio and limit are NaN, and there are no controls, where a layer has fewer other heads than core heads; a note
    names the layer.

    `specificity` is T into `specificity_heads`, which are neither core nor generalizing. `node_effect` is the mean over
    pairs, in units of the metric. `sender_change` is the core's sum |dz| / sum |z|. `necessity` and `sufficiency` are
    by ablation source (`necessity.shares_under`).

    Values per pair, in units of the metric: `effects[route]` (T's numerator), `node` (the node effect) and `total`, the
    metric's change from the clean to the corrupt run.
    """

    kind: str
    why: str
    routes: dict[str, Interval]
    p: float
    n_labellings: int
    exhaustive: bool
    null: Float[np.ndarray, " labelling"]
    size_controls: Float[np.ndarray, " control"]
    size_limit: float
    size_ratio: float
    specificity: Interval
    specificity_heads: tuple[Head, ...]
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
    notes: tuple[str, ...] = ()

    @property
    def informative(self) -> bool:
        return not self.why

    @property
    def evidence(self) -> Evidence:
        """The numbers that `decision.decide` reads."""
        on_all = self.routes["all"]
        necessity = tuple((float(item.low), float(item.high)) for item in self.necessity.values())
        value, low, high = float(on_all.value), float(on_all.low), float(on_all.high)
        return Evidence(self.kind, self.why, value, low, high, self.p, self.n_labellings, self.size_limit, necessity)

    def to_frame(self) -> pd.DataFrame:
        """A row per route. Only the row of route "all" has null, controls, specificity, necessity and sufficiency."""
        rows = []
        for route, share in self.routes.items():
            row: dict[str, Any] = {"kind": self.kind, "route": route, "T": share.value}
            row |= {"low": share.low, "high": share.high, **(self._only_on_all() if route == "all" else {})}
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
            "specificity": self.specificity.value,
            "specificity_low": self.specificity.low,
            "specificity_high": self.specificity.high,
        }
        for name, by_source in (("necessity", self.necessity), ("sufficiency", self.sufficiency)):
            for source, interval in by_source.items():
                row[f"{name}_{source}"] = interval.value
                row[f"{name}_{source}_low"], row[f"{name}_{source}_high"] = interval.low, interval.high
        return row

    def __repr__(self) -> str:
        on_all = self.routes["all"]
        state = self.why or f"T = {on_all.value:.3f} [{on_all.low:.3f}, {on_all.high:.3f}], p = {self.p:.3g}"
        return f"KindRecord({self.kind}, {len(self.ids)} pairs: {state})"


@dataclass(frozen=True, eq=False)
class Verdict(Result):
    """The answer to "do the generalizing heads read from the core?", with all numbers that support it.

    `answer` is "reads_from", "does_not_read_from" or "inconclusive". `reason` is a key of `decision.REASONS`. `kinds`
    are the kinds of pairs that support the answer. `via` is the shortest route whose interval is above the margin:
    "direct", "through MLPs" or "through other heads". It is "" unless the answer is "reads_from", and where a shorter
    route was not measured. `records[kind]` holds the numbers of a kind, `p_holm` its p after Holm's correction over
    informative kinds. `edges` are the single paths from each core head to each generalizing head by input, on route
    "direct" and the pairs of `edges_kind`.

    `core` are the core heads before the last generalizing head, `unread` the core heads after it. `generalizing` are
    the generalizing heads with a core head upstream, `relay` those without one. `dtype` is the floating type that the
    model computed in.

    An answer holds for these heads, pairs, corruption and metric. It says nothing about training or about other inputs.
    """

    answer: Answer
    reason: str
    kinds: tuple[str, ...]
    via: str
    records: dict[str, KindRecord]
    p_holm: dict[str, float]
    edges: PathEffects | None
    edges_kind: str
    core: tuple[Head, ...]
    generalizing: tuple[Head, ...]
    relay: tuple[Head, ...]
    unread: tuple[Head, ...]
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    dtype: str = ""

    def to_frame(self) -> pd.DataFrame:
        """A row per kind and route. All `VERDICT_COLUMNS` are there, with NaN where nothing was measured."""
        if not self.records:
            return pd.DataFrame(columns=list(VERDICT_COLUMNS))
        frame = pd.concat([record.to_frame() for record in self.records.values()], ignore_index=True)
        holm = [self.p_holm.get(k, np.nan) if r == "all" else np.nan for k, r in zip(frame.kind, frame.route)]  # noqa: B905
        return frame.assign(p_holm=holm, dtype=self.dtype).reindex(columns=list(VERDICT_COLUMNS))

    def sentence(self) -> str:
        """The verdict in words: the answer with its reason, the numbers of each informative kind, the other kinds."""
        return verdict_sentence(self)

    def __repr__(self) -> str:
        return f"Verdict({self.answer}, {self.reason}; {', '.join(self.kinds or self.records) or 'no kinds tested'})"

    def _repr_html_(self) -> str:
        text = self.sentence().replace("&", "&amp;").replace("<", "&lt;")
        return f"<p>{text}</p>{super()._repr_html_()}"


def verdict_sentence(verdict: Verdict) -> str:
    """`Verdict.sentence`: of an informative kind it gives T, p, p after Holm, the size limit and the specificity."""
    sentences = [_answer(verdict)]
    numbers = [_numbers(verdict, record) for record in verdict.records.values() if record.informative]
    if numbers:
        sentences.append(
            f"Change of the {verdict.settings['metric']} when the generalizing heads see corrupt outputs of the core "
            "heads, as a share of that when they are corrupted outright "
            f"[{100 * verdict.settings['level']:g} % interval]: {'; '.join(numbers)}."
        )
    uninformative = [f"{kind} ({record.why})" for kind, record in verdict.records.items() if not record.informative]
    if uninformative:
        sentences.append(f"Pairs that cannot tell: {'; '.join(uninformative)}.")
    return " ".join(sentences)


def _answer(verdict: Verdict) -> str:
    reason, kinds = REASONS[verdict.reason], " and ".join(verdict.kinds)
    heads, core = f"the generalizing heads ({len(verdict.generalizing)})", f"the core heads ({len(verdict.core)})"
    if verdict.answer == "reads_from":
        via = f" {'directly' if verdict.via == 'direct' else verdict.via}" if verdict.via else ""
        return f"On {kinds} pairs {heads} read from {core}{via}: {reason}."
    if verdict.answer == "does_not_read_from":
        margin = f"±{100 * verdict.settings['margin']:g} %"
        return f"On {kinds} pairs {heads} do not read from {core}, to a margin of {margin}: {reason}."
    return f"Whether {heads} read from {core} stays open ({verdict.reason}): {reason}."


def _numbers(verdict: Verdict, record: KindRecord) -> str:
    labellings = f"p = {record.p:.2g}, Holm p = {verdict.p_holm[record.kind]:.2g}, {record.n_labellings} labellings"
    phrases = [f"{len(record.ids)} {record.kind} pairs {_share(record.routes['all'])} ({labellings})", _limit(record)]
    if record.specificity_heads:
        phrases.append(f"for heads that are neither core nor generalizing: {_share(record.specificity)}")
    return ", ".join(phrases)


def _limit(record: KindRecord) -> str:
    if math.isnan(record.size_limit):
        return "no sets of like-sized heads"
    ratio = f"{100 * record.size_ratio:.0f} %"
    small = f", scaled up from {ratio} of the core's |dz|" if record.size_ratio < SMALL_CONTROLS else ""
    sets = f"{len(record.size_controls)} sets of like-sized heads"
    return f"95th percentile of {sets}: {_percent(record.size_limit)} %{small}"


def _share(share: Interval) -> str:
    if math.isnan(float(share.value)):
        return "undefined"
    return f"{_percent(share.value)} % [{_percent(share.low)}, {_percent(share.high)}]"


def _percent(share: Any) -> str:
    text = f"{100 * float(share):.1f}"
    return "0.0" if text == "-0.0" else text
