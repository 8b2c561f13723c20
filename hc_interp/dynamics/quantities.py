"""Quantities: what a result of each kind says of one checkpoint, as rows that a figure over training draws.

`@quantity(of=ProbeMap, ...)` above a function registers it: `over_training` and its figure then know such results.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from hc_interp.attention.result import AttentionProfile
from hc_interp.errors import HCError
from hc_interp.evaluation.result import VALIDATION, Evaluation
from hc_interp.heads.core import HeuristicCore, jaccard
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.patching.effects import PathEffects
from hc_interp.probing.differences import MAIN_METRIC
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.reading.decision import AS_IS
from hc_interp.reading.premise_result import CORE, CORE_AND_HEADS, FULL, WITHOUT_HEADS, Premises
from hc_interp.reading.verdict import Verdict
from hc_interp.records.result import Result
from hc_interp.registry import check_name
from hc_interp.search.result import MaskSearch

SYSTEMS = {
    FULL: "full model", CORE: "core alone", CORE_AND_HEADS: "core and generalizing heads",
    WITHOUT_HEADS: "all but the generalizing heads",
}  # fmt: skip
COLUMNS = ("item", "value", "low", "high", "p", "marked")
Rows = list[dict[str, Any]]
Measure = TypeVar("Measure", bound=Callable[[Any, Any], Rows])


@dataclass(frozen=True)
class Quantity:
    """A quantity of the results of the class `of`.

    `rows(result, last)` gives dicts with `item` and `value`, and some of `low high p marked`; `last` is the result of
    the last checkpoint. `form` says how the figure draws it: "lines" for a few items, "cells" for many. `title` names
    the value, `mark` what a marked row is, and `about` is what the figure's caption says.
    """

    of: type
    form: Literal["lines", "cells"]
    title: str
    heading: str
    about: str
    mark: str
    limits: tuple[float | None, float | None]
    rows: Callable[[Any, Any], Rows]

    def table(self, result: Result, last: Result) -> pd.DataFrame:
        """The rows with all `COLUMNS`. Raises `HCError` for a result of another kind."""
        if not isinstance(result, self.of) or not isinstance(last, self.of):
            raise HCError(
                f"The results over training are of several kinds, {type(result).__name__} and {type(last).__name__}. "
                "Expected an analysis that returns one kind at every checkpoint."
            )
        frame = pd.DataFrame(self.rows(result, last), columns=list(COLUMNS))
        numbers = dict.fromkeys(("value", "low", "high", "p"), float)
        return frame.assign(marked=[item is True or item is np.True_ for item in frame["marked"]]).astype(numbers)


QUANTITIES: dict[str, Quantity] = {}


def quantity(
    *,
    of: type,
    form: Literal["lines", "cells"],
    title: str,
    heading: str,
    about: str,
    mark: str = "",
    limits: tuple[float | None, float | None] = (None, None),
) -> Callable[[Measure], Measure]:
    """Register a function as the quantity of results of the class `of`; see `Quantity`."""

    def register(rows: Measure) -> Measure:
        before = QUANTITIES.get(of.__name__)
        check_name("quantity of", of.__name__, rows, before and before.rows)
        QUANTITIES[of.__name__] = Quantity(of, form, title, heading, about, mark, limits, rows)
        return rows

    return register


def quantity_of(result: Result) -> Quantity:
    """The quantity of a result's kind. Raises `HCError`, which lists the kinds that have one."""
    for name in (base.__name__ for base in type(result).__mro__):
        if name in QUANTITIES:
            return QUANTITIES[name]
    raise HCError(
        f"A {type(result).__name__} has no quantity over training. Expected one of {', '.join(QUANTITIES)}, or a kind "
        "that @quantity registers. found.to_frame() has its table at each step."
    )


def _row(item: str, value: Any, low: Any = np.nan, high: Any = np.nan, **more: Any) -> dict[str, Any]:
    return {"item": item, "value": value, "low": low, "high": high, **more}


@quantity(
    of=Evaluation,
    form="lines",
    title="share or probability",
    heading="Accuracy and the pull of the heuristic",
    about=(
        "In domain: accuracy on validation. Separation of a heuristic is the chance that the model is surer of its "
        "answer where it is right than where it is wrong (.5: the model knows nothing beyond it). Pull is the share of "
        "overlap pairs in which the model becomes less sure of that answer when the overlap is broken. Early pull with "
        "low separation, and later separation, is a heuristic that comes first."
    ),
    limits=(0.0, 1.0),
)
def of_evaluation(found: Evaluation, last: Evaluation) -> Rows:
    """Accuracy in domain, and separation and pull of each heuristic, of the whole model."""
    rows = []
    for r in found.to_frame(long=True).to_dict("records"):
        if (r["subnetwork"], r["case"], r["metric"]) == (found.names[0], VALIDATION, "accuracy"):
            rows.append(_row("in domain", r["value"], r["low"], r["high"]))
    if found.heuristic_scores is not None:
        scores = [r for r in found.scores().to_dict("records") if r["subnetwork"] == found.names[0]]
        for name in ("separation", "pull"):
            for r in scores:
                item = f"{name}, {r['heuristic'].replace('_', ' ')}"
                rows.append(_row(item, r[name], r[f"{name}_low"], r[f"{name}_high"]))
    return rows


@quantity(
    of=HeuristicCore,
    form="cells",
    title="share of masks that keep it",
    heading="Which components searched masks keep",
    about="The share of searched masks that keep each component. Masks of another checkpoint are other masks.",
    mark="in the core",
    limits=(0.0, 1.0),
)
def of_core(found: HeuristicCore, last: HeuristicCore) -> Rows:
    inside = set(found.components)
    return [_row(str(item), found.frequency[item], marked=item in inside) for item in found.universe]


@quantity(
    of=MaskSearch,
    form="lines",
    title="Jaccard index with the last masks",
    heading="How far the masks are those of the last checkpoint",
    about=(
        "The mean Jaccard index, over pairs of a mask of this checkpoint and a mask of the last one, of the heads that "
        "they keep. At the last checkpoint a mask is compared with the others."
    ),
    limits=(0.0, 1.0),
)
def of_search(found: MaskSearch, last: MaskSearch) -> Rows:
    rows = []
    for share in dict.fromkeys(found.sparsities):
        pairs = [(a, b) for a in found.at(share) for b in last.at(share) if found is not last or a is not b]
        values = [jaccard(a.heads, b.heads) for a, b in pairs]
        rows.append(_row(f"{share:.0%} removed", np.mean(values) if values else np.nan))
    return rows


@quantity(
    of=Premises,
    form="lines",
    title="separation",
    heading="The premises over training",
    about=(
        "Separation of the full model, of the core alone, of the core with the generalizing heads, and of all but the "
        "generalizing heads, for one heuristic. A filled point of the full model: it generalizes by the rule of "
        "hc.premises; of the core: it is heuristic by that rule. The heads are the same at every checkpoint, so that "
        "an early checkpoint shows what they did before they did what they were chosen for."
    ),
    mark="the premise holds",
    limits=(0.0, 1.0),
)
def of_premises(found: Premises, last: Premises) -> Rows:
    frame = found.scores.to_frame()
    holds = {FULL: found.model_generalizes == "holds", CORE: found.core_is_heuristic == "holds"}
    rows = []
    for r in frame.to_dict("records"):
        ends = r["separation_low"], r["separation_high"]
        rows.append(_row(SYSTEMS[r["system"]], r["separation"], *ends, marked=holds.get(r["system"])))
    return rows


@quantity(
    of=Verdict,
    form="lines",
    title="share",
    heading="What the heads take from the core, over training",
    about=(
        "T is the joint effect of the core on the generalizing heads as a share of these heads' own effect; S is the "
        "share of their response to the core that other heads of their layers do not have. Both are of the pairs as "
        "they are. Where the heads hardly matter yet, neither is measured."
    ),
    mark="the reading is specific",
)
def of_verdict(found: Verdict, last: Verdict) -> Rows:
    rows = []
    for kind, record in found.records.items():
        here = record.directions[AS_IS]
        for name, value in (("T", here.T), ("S", here.S)):
            specific = record.reading == "reads_specifically"
            p = here.p if name == "T" else here.p_D
            rows.append(_row(f"{name}, {kind} pairs", value.value, value.low, value.high, p=p, marked=specific))
    return rows


@quantity(
    of=PathEffects,
    form="cells",
    title="share of the total effect",
    heading="Paths over training",
    about=(
        "The effect of each path as a share of the total effect of the pairs. Marked paths have q at most .05 at their "
        "checkpoint. Shares of a checkpoint that hardly tells the two sides apart are shares of little."
    ),
    mark="q at most .05",
)
def of_paths(found: PathEffects, last: PathEffects) -> Rows:
    rows = []
    for r in found.to_frame().to_dict("records"):
        through = "" if r["through"] in ("in", "qkv") else f" ({r['through']})"
        name = f"{r['sender']} → {r['receiver']}{through}"
        more = {"p": r["p"] if r["downstream"] else np.nan, "marked": bool(r["q"] <= 0.05)}
        rows.append(_row(name, r["share"], r["share_low"], r["share_high"], **more))
    return rows


@quantity(
    of=GeneralizingHeads,
    form="cells",
    title="effect of the head",
    heading="Heads that carry generalization, over training",
    about=(
        "The effect of each head outside the core by the method's own measure (for contrast, its node effect on order "
        "pairs as a share of the total effect). Marked heads pass the method's whole rule at their checkpoint."
    ),
    mark="passes the rule",
)
def of_generalizing(found: GeneralizingHeads, last: GeneralizingHeads) -> Rows:
    column = next(name for name in ("share", "excess", "difference", "effect") if name in found.table)
    rows = []
    for r in found.table.to_dict("records"):
        ends = r.get(f"{column}_low", np.nan), r.get(f"{column}_high", np.nan)
        rows.append(_row(r["head"], r[column], *ends, p=r["p"], marked=bool(r["passes"])))
    return rows


@quantity(
    of=ProbeMap,
    form="cells",
    title="score of the probe",
    heading="Where a feature can be read, over training",
    about=(
        "The score of a linear probe at each site on sources that it was not trained on. Marked sites have their whole "
        "interval above the score of the word alone. A readable feature need not be used."
    ),
    mark="above the word alone",
)
def of_probes(found: ProbeMap, last: ProbeMap) -> Rows:
    metric = MAIN_METRIC[found.places.feature.kind]
    rows = []
    for probe in found.probes:
        score, word = probe.scores[metric], probe.scores[f"word_{metric}"]
        marked = bool(score.low > word.value)
        rows.append(_row(str(probe.site), score.value, score.low, score.high, marked=marked))
    return rows


@quantity(
    of=AttentionProfile,
    form="cells",
    title="attention above uniform",
    heading="Attention to repeated words, over training",
    about=(
        "Mean attention from the words of the second text to the same word in the first, less that of uniform "
        "attention. Marked heads have their whole interval above 0. Attention does not show what a head moves."
    ),
    mark="above uniform",
)
def of_attention(found: AttentionProfile, last: AttentionProfile) -> Rows:
    frame = found.to_frame().query("measure == 'same_word'")
    return [
        _row(r["head"], r["lift"], r["lift_low"], r["lift_high"], marked=bool(r["lift_low"] > 0))
        for r in frame.to_dict("records")
    ]
