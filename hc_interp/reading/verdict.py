"""`Verdict`: the result of the reads-from test, with the premises and the numbers of each kind of pairs."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hc_interp.components import Head
from hc_interp.patching.effects import PathEffects
from hc_interp.reading.decision import AS_IS, Answer, Reading
from hc_interp.reading.defaults import ABLATION_SOURCES
from hc_interp.reading.premises import Premises
from hc_interp.reading.records import KindRecord
from hc_interp.reading.sentences import (
    DIRECTION_WORDS,
    PREMISE_WORDS,
    few_levels,
    p_text,
    parts_text,
    reading_text,
    share_text,
)
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval

ENDS = ("", "_low", "_high")  # of the columns of a value and its interval
VERDICT_COLUMNS = (
    "kind", "direction", "route", "T", "low", "high", "p", "p_holm", "n_labellings",
    *(f"{name}{end}" for name in ("S", "D", "R_G", "R_O") for end in ENDS), "p_D", "n_labellings_D", "covered",
    "size_limit", "size_ratio", "important_T",
    *(f"{share}_{source}{end}"
      for share in ("necessity", "sufficiency") for source in ABLATION_SOURCES for end in ENDS),
    "node_effect", "sender_change", "informative", "why", "reading", "reason", "n_pairs", "n_sources", "dropped",
    "dtype",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Verdict(Result):
    """The answer to "do the generalizing heads read from the core?", with all numbers that support it.

    `answer` is about the claim: "reads_from", "shared_trunk", "does_not_read_from", "premise_fails" or "inconclusive".
    `reading` is about the paths alone: "reads_specifically", "shared_trunk", "specificity_open", "does_not_read_from"
    or "inconclusive". `reason` and `reading_reason` are keys of `decision.REASONS`. `premises` says whether the model
    generalizes, the core follows the heuristic and the heads carry generalization; it is None where no task was given.

    `kinds` are the kinds of pairs that support the reading. `records[kind].directions["as_is"]` (and `["reversed"]`)
    holds the numbers: `T D S p p_D` and more. `p_holm` is a kind's p, the larger of its directions, after Holm's
    correction over informative kinds. `edges` are the single paths from each core head to each generalizing head by
    input, on route "direct" and the pairs of `edges_kind` as they are.

    `core` are the core heads before the last generalizing head, `unread` the core heads after it. `generalizing` are
    the generalizing heads with a core head upstream, `relay` those without one. `dtype` is the floating type that the
    model computed in.

    An answer holds for these heads, pairs, corruption and metric. It says nothing about training or about other inputs.
    """

    answer: Answer
    reason: str
    reading: Reading
    reading_reason: str
    kinds: tuple[str, ...]
    records: dict[str, KindRecord]
    p_holm: dict[str, float]
    premises: Premises | None
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

    @property
    def premise_words(self) -> dict[str, str] | None:
        """ "holds", "fails", "open" or "not checked" for each premise; None where the premises were not checked."""
        return None if self.premises is None else dict(self.premises.answers)

    @property
    def direct_T(self) -> Interval | None:
        """T on route "direct", of the pairs whose single paths `edges` holds; None where it was not measured."""
        record = self.records.get(self.edges_kind)
        return record.directions[AS_IS].routes.get("direct") if record is not None else None

    def to_frame(self) -> pd.DataFrame:
        """A row per kind, direction and route. All `VERDICT_COLUMNS` are there, with NaN where nothing was measured."""
        if not self.records:
            return pd.DataFrame(columns=list(VERDICT_COLUMNS))
        frame = pd.concat([record.to_frame() for record in self.records.values()], ignore_index=True)
        holm = [self.p_holm.get(k, np.nan) if r == "all" else np.nan for k, r in zip(frame.kind, frame.route)]  # noqa: B905
        return frame.assign(p_holm=holm, dtype=self.dtype).reindex(columns=list(VERDICT_COLUMNS))

    def sentence(self) -> str:
        """The answer in one sentence, with the premise or the reason that decides it."""
        return _sentence(self)

    def numbers(self) -> pd.DataFrame:
        """The deciding numbers as text, a row per kind and direction: T and its parts, S, both p, and the reading."""
        return _table(self)

    def __repr__(self) -> str:
        return (
            f"Verdict({self.answer}, {self.reason}; reading: {self.reading} on "
            f"{', '.join(self.kinds or self.records) or 'no pairs'})"
        )

    def _repr_html_(self) -> str:
        text = self.sentence().replace("&", "&amp;").replace("<", "&lt;")
        premises = "" if self.premises is None else self.premises._repr_html_()
        return f"<p>{text}</p>{self.numbers().to_html(index=False)}{premises}"


def _sentence(verdict: Verdict) -> str:
    heads, core = f"the generalizing heads ({len(verdict.generalizing)})", f"the core heads ({len(verdict.core)})"
    margin = f"±{100 * verdict.settings['margin']:g} %"
    scope = _scope(verdict)
    if verdict.answer == "reads_from":
        premises = ", ".join(words["holds"] for words in PREMISE_WORDS.values())
        return f"Yes: {premises}, and {heads} read from {core} more than other heads of the same layers do{scope}."
    if verdict.answer == "shared_trunk":
        return (
            f"No: {heads} depend on {core}, but no more than other heads of the same layers do, so this core is a "
            f"trunk that everything above it depends on{scope}."
        )
    if verdict.answer == "does_not_read_from":
        return f"No: {heads} do not depend on {core}, to a margin of {margin} of their effect{scope}."
    paths = reading_text(verdict.reading, verdict.reading_reason, heads, core, margin) + scope
    if verdict.answer == "premise_fails":
        return (
            f"The claim does not apply to this model, since {_premises(verdict, 'fails')}; of the paths alone: {paths}."
        )
    if verdict.reason == "premises not checked":
        return (
            "Open, since the premises were not checked (they need a task that says where a heuristic is right); of the "
            f"paths alone: {paths}."
        )
    if verdict.reason == "premise open":
        return f"Open, since {_premises(verdict, 'open')}; of the paths alone: {paths}."
    return f"Open: {paths}."


def _scope(verdict: Verdict) -> str:
    """The units of which the pairs have too few levels: the verdict is about these alone ("" if there are none)."""
    records = [record.directions[AS_IS] for kind, record in verdict.records.items() if kind in verdict.kinds]
    words = dict.fromkeys(few_levels(record) for record in records)
    return "".join(f", {item}" for item in words if item)


def _premises(verdict: Verdict, state: str) -> str:
    states = verdict.premise_words or {}
    words = []
    for name, found in states.items():
        if found == state or (state == "open" and found == "not checked"):
            words.append(PREMISE_WORDS[name][state])
    return ", and ".join(words)


def _table(verdict: Verdict) -> pd.DataFrame:
    """The deciding numbers as texts, a row per kind and direction."""
    rows: list[dict[str, Any]] = []
    for kind, record in verdict.records.items():
        for direction, numbers in record.directions.items():
            found = numbers.evidence
            rows.append(
                {
                    "pairs": f"{len(numbers.ids)} {kind}, {DIRECTION_WORDS[direction]}",
                    "T": share_text(numbers.T),
                    "of it": parts_text(numbers),
                    "p": p_text(numbers.p),
                    "S": share_text(numbers.S),
                    "p of D": p_text(found.p_D),
                    "reading": numbers.why or f"{record.reading.replace('_', ' ')} ({record.reason})",
                }
            )
    return pd.DataFrame(rows, columns=["pairs", "T", "of it", "p", "S", "p of D", "reading"])
