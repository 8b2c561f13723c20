"""The decision rules of the reads-from test: pure functions from numbers to a reading, and from reading to answer.

The *reading* is about paths: how the generalizing heads depend on the core, and whether other heads do as well. The
*answer* is about the claim: it also needs the premises, that the model generalizes, that the core follows the heuristic
and that the other heads carry generalization. `hc.reads_from` defines T, D, S and the rest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from hc_interp.reading.premise_rules import PREMISES
from hc_interp.statistics.tests import RUN_TIE, holm

Reading = Literal["reads_specifically", "shared_trunk", "specificity_open", "does_not_read_from", "inconclusive"]
Answer = Literal["reads_from", "shared_trunk", "does_not_read_from", "premise_fails", "inconclusive"]
AS_IS, REVERSED = "as_is", "reversed"

# Each reason that a reading or an answer can have, in words.
REASONS = {
    "specific": "T is shown, and other heads of the same layers lack most of the response",
    "shown": "the premises hold, and the reading is specific to the generalizing heads",
    "trunk": "other heads of the same layers follow the core as the generalizing heads do",
    "equivalent": "the whole interval of T is inside the margin",
    "no generalizing heads": "there is no generalizing head to test",
    "no core upstream": "no core head is upstream of a generalizing head, so nothing could be read",
    "too few pairs": "the pairs come from too few sources for an interval",
    "uninformative": "the pairs hardly change the core heads, or the generalizing heads hardly change the metric",
    "resolution": "too few labellings of the core exist (or were drawn) for the test to reach significance",
    "undefined": "the generalizing heads' node effect is not distinguishable from 0, so no share of it is defined",
    "size": "T is not above the 95th percentile of sets of other heads of the core's size",
    "no size controls": (
        "some layer has fewer other heads than core heads, so no set of like-sized heads could be compared; a smaller "
        "core (higher share or sparsity, more seeds) leaves more"
    ),
    "significance": (
        "T is not significantly larger than that of relabelled cores (the larger p of both directions counts, "
        "corrected for the number of kinds of pairs)"
    ),
    "margin": "the interval of T is neither above the margin nor inside it",
    "direction": "the two directions of the pairs say different things",
    "one direction": "the pairs cannot be reversed, so only one direction could be tested",
    "kinds": "the kinds of pairs say different things",
    "no comparison": "too few other heads change in the layers of the generalizing heads to compare with",
    "few heads": "too few heads share a layer with the generalizing heads for p of D to reach significance",
    "ceiling": "the other heads follow the core almost wholly, so the generalizing heads can hardly follow it more",
    "specificity": "whether the generalizing heads follow the core more than other heads do is not settled",
    "premises not checked": "the premises were not checked; pass task= (or premises=), of a task that says where a "
    "heuristic is right",
    "premise open": "not every premise is shown to hold",
    "premise fails": "a premise of the claim does not hold",
}


@dataclass(frozen=True)
class DirectionEvidence:
    """The numbers of one direction of one kind of pairs that decide.

    `T`, `low`, `high` and `p` are those on route "all"; `n_labellings` counts the labellings of the core that p was
    taken over, the observed one included. `size_limit` is the value that T must exceed, NaN where no set of like-sized
    heads exists. `S`, `R_G` and `R_O` are (low, value, high). `compared` says whether enough other heads change to
    compare with. `why` says why the direction is uninformative; it is "" for an informative one.
    """

    why: str
    T: float
    low: float
    high: float
    p: float
    n_labellings: int
    size_limit: float
    S: tuple[float, float, float]
    R_G: tuple[float, float, float]
    R_O: tuple[float, float, float]
    p_D: float
    n_labellings_D: int
    compared: bool


@dataclass(frozen=True)
class Rule:
    """What the decision compares with: see `hc.reads_from`."""

    margin: float
    delta: float
    alpha: float


@dataclass(frozen=True)
class Found:
    """A reading and its reason, a key of `REASONS`."""

    reading: Reading
    reason: str


@dataclass(frozen=True)
class Decision:
    """The reading and its reason, the kinds of pairs that support it, Holm-adjusted p, and each kind's reading."""

    reading: Reading
    reason: str
    kinds: tuple[str, ...] = ()
    p_holm: dict[str, float] = field(default_factory=dict)
    by_kind: dict[str, Found] = field(default_factory=dict)


Directions = Mapping[str, DirectionEvidence]  # by `AS_IS` and `REVERSED`


def decide(evidence: Mapping[str, Directions], rule: Rule) -> Decision:
    """The reading from the evidence of all kinds of pairs.

    p of a kind is the larger of its directions, adjusted by Holm over the informative kinds. Each kind has a reading of
    its own (`kind_reading`). Over the informative kinds:

    - a specific reading (or else a shared trunk) of any kind, where no other kind says trunk (specific) or "does not
      read from", is the reading;
    - "does not read from" needs all of them;
    - kinds that contradict each other are inconclusive, "kinds".
    """
    informative = {kind: parts for kind, parts in evidence.items() if not why(parts)}
    if not informative:
        few = bool(evidence) and all(why(parts) == "too few pairs" for parts in evidence.values())
        return Decision("inconclusive", "too few pairs" if few else "uninformative")
    p = np.array([max_of([part.p for part in parts.values()]) for parts in informative.values()])
    p_holm = {kind: float(value) for kind, value in zip(informative, holm(p), strict=True)}
    found = {kind: kind_reading(parts, p_holm[kind], rule) for kind, parts in informative.items()}
    reading, reason = _over_kinds(list(found.values()))
    support = tuple(kind for kind, item in found.items() if item.reading == reading)
    return Decision(reading, reason, support if reading != "inconclusive" else (), p_holm, found)


def why(parts: Directions) -> str:
    """Why a kind is uninformative: the reason of the first direction that is ("" if all are informative)."""
    return next((part.why for part in parts.values() if part.why), "")


def kind_reading(parts: Directions, p: float, rule: Rule) -> Found:
    """The reading of one kind: that of both directions, or the weaker claim that both support.

    Where both directions show T and disagree on what other heads do, specificity is open. Where one shows T (or denies
    it) and the other does not, the kind is inconclusive, "direction". Pairs in one direction alone are inconclusive.
    """
    larger = {name: max_of([getattr(part, name) for part in parts.values()]) for name in ("p", "p_D")}
    found = [direction_reading(replace(part, **larger), p, rule) for part in parts.values()]
    if len(found) == 1:
        return found[0] if found[0].reading == "inconclusive" else Found("inconclusive", "one direction")
    readings = {item.reading for item in found}
    if len(readings) == 1:
        return found[0]
    if readings <= {"reads_specifically", "shared_trunk", "specificity_open"}:
        if "specificity_open" not in readings:
            return Found("inconclusive", "direction")
        return next(item for item in found if item.reading == "specificity_open")
    return Found("inconclusive", "direction")


def direction_reading(item: DirectionEvidence, p_holm: float, rule: Rule) -> Found:
    """The reading of one direction. Both p are the larger ones of the two directions; `p_holm` is p after Holm.

    The first rule that applies decides:

    1. T's whole interval inside the margin: does_not_read_from.
    2. T not shown (p, size controls, interval above the margin, enough labellings): inconclusive, with the condition
       that was missed.
    3. Nothing to compare with: specificity_open, "no comparison".
    4. R(O) above the margin and S below delta, by their whole intervals: shared_trunk.
    5. p_D at most alpha, S above delta and R(G) above the margin, by their whole intervals: reads_specifically.
    6. Else specificity_open: "ceiling" where R(O) is above 1 - delta, "few heads" where p_D could not be small enough.

    NaN meets no condition.
    """
    if -rule.margin < item.low and item.high < rule.margin:
        return Found("does_not_read_from", "equivalent")
    if missed := _missed(item, p_holm, rule):
        return Found("inconclusive", missed)
    if not item.compared:
        return Found("specificity_open", "no comparison")
    if item.R_O[0] > rule.margin and item.S[2] < rule.delta:
        return Found("shared_trunk", "trunk")
    enough = item.n_labellings_D * rule.alpha >= 1 - 1e-9
    specific = enough and is_significant(item.p_D, rule.alpha) and item.S[0] > rule.delta and item.R_G[0] > rule.margin
    if specific:
        return Found("reads_specifically", "specific")
    if item.R_O[1] > 1 - rule.delta:
        return Found("specificity_open", "ceiling")
    return Found("specificity_open", "specificity" if enough else "few heads")


def answer(reading: Reading, reason: str, premises: Mapping[str, str] | None) -> tuple[Answer, str]:
    """The answer about the claim, and its reason. `premises` gives "holds", "fails", "open" or "not checked" for each.

    The first rule that applies decides: no premises: inconclusive; a premise fails: premise_fails; the reading is
    shared_trunk or does_not_read_from: the same; a specific reading: reads_from where all premises hold; else
    inconclusive.
    """
    if premises is None:
        return "inconclusive", "premises not checked"
    if "fails" in premises.values():
        return "premise_fails", "premise fails"
    if reading == "shared_trunk" or reading == "does_not_read_from":
        return reading, reason
    if reading == "reads_specifically":
        hold = all(premises.get(name) == "holds" for name in PREMISES)
        return ("reads_from", "shown") if hold else ("inconclusive", "premise open")
    return "inconclusive", reason


def is_significant(p: float, alpha: float) -> bool:
    return p <= alpha + 1e-12


def max_of(values: Sequence[float]) -> float:
    """The largest value; NaN where any is."""
    return math.nan if any(math.isnan(value) for value in values) else max(values)


def _over_kinds(found: Sequence[Found]) -> tuple[Reading, str]:
    readings = {item.reading for item in found}

    def of(reading: Reading) -> tuple[Reading, str]:
        return reading, next(item.reason for item in found if item.reading == reading)

    if readings == {"does_not_read_from"}:
        return of("does_not_read_from")
    clear = readings & {"reads_specifically", "shared_trunk", "does_not_read_from"}
    if len(clear) > 1:
        return "inconclusive", "kinds"
    if clear and clear != {"does_not_read_from"}:
        return of(clear.pop())  # pyright: ignore[reportArgumentType]
    if clear and "specificity_open" in readings:
        return "inconclusive", "kinds"
    return of("specificity_open") if "specificity_open" in readings else of("inconclusive")


def _missed(item: DirectionEvidence, p_holm: float, rule: Rule) -> str:
    """The first condition of "T is shown" that is missed; "" if T is shown."""
    if item.n_labellings * rule.alpha < 1 - 1e-9:
        return "resolution"
    if math.isnan(item.T):
        return "undefined"
    if not item.low > rule.margin:
        return "margin"
    if not is_significant(p_holm, rule.alpha):
        # With several kinds Holm's correction can turn even the smallest p of these labellings into one above alpha.
        return "resolution" if item.p * item.n_labellings <= 1 + 1e-9 else "significance"
    if math.isnan(item.size_limit):
        return "no size controls"
    slack = RUN_TIE * max(abs(item.T), abs(item.size_limit))
    return "" if item.size_limit + slack < item.T else "size"
