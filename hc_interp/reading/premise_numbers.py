"""The decisive numbers of the premises, from the scores of the systems, and the answers that the rules give to them."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hc_interp.evaluation.scores import Scores
from hc_interp.heads.sets import Heads
from hc_interp.reading import premise_rules as rules
from hc_interp.reading.premise_result import CORE, CORE_AND_HEADS, FULL, MODELS, WITHOUT_HEADS, set_name
from hc_interp.reading.premise_rules import PREMISES, Answer, Comparison, Judgement
from hc_interp.reading.premise_sets import DISJOINT, WITHIN
from hc_interp.statistics.estimate import Estimate
from hc_interp.statistics.tests import Interval

NO_HEADS: Judgement = ("not checked", ("there are no generalizing heads",))


@dataclass(frozen=True, eq=False)
class Signals:
    """The signal of generalization of each system: order sensitivity, or case sensitivity without order pairs.

    Both have a size. A separation has none: a core that moves s by a trifle, in steady order, would have all of it.
    """

    scores: Scores
    heuristic: str

    @property
    def by(self) -> str:
        return "case_sensitivity" if self.scores.order_effect(self.heuristic) is None else "order_sensitivity"

    @cached_property
    def every(self) -> Estimate:
        """The signals of all systems."""
        sensitivity = self.scores.order_sensitivity(self.heuristic)
        return self.scores.case_sensitivity(self.heuristic) if sensitivity is None else sensitivity

    def of(self, *names: str) -> Estimate:
        """The signals of these systems."""
        return self.every[[self.scores.names.index(name) for name in names]]

    def interval(self, estimate: Estimate) -> Interval:
        """The bounds of one number."""
        found = self.scores.interval(estimate)
        return Interval(float(found.value), float(found.low), float(found.high), found.n)

    def share_of_full(self, estimate: Estimate) -> Estimate:
        """An estimate as a share of the full model's signal; NaN where that one's interval contains 0."""
        full = self.of(FULL)[0]
        return estimate.over(full).where(np.asarray(self.interval(full).excludes(0.0)))


@dataclass(frozen=True, eq=False)
class Judged:
    """The answer and reasons by premise, and the numbers behind them."""

    by: str
    answers: dict[str, Answer]
    reasons: dict[str, tuple[str, ...]]
    numbers: dict[str, Interval]
    notes: list[str] = field(default_factory=list)


def judged(
    scores: Scores,
    set_scores: Scores,
    donor_scores: Scores | None,
    heuristic: str,
    sets: dict[str, tuple[Heads, ...]],
    any_heads: bool,
) -> Judged:
    """Judge the three premises. The comparison with sets uses `set_scores`, all else `scores`."""
    signals = Signals(scores, heuristic)
    separation = signals.interval(scores.separation(heuristic)[0])
    sensitivity = signals.interval(signals.of(FULL)[0])
    core, numbers = core_judged(scores, scores, CORE, heuristic)
    judgements: dict[str, Judgement] = {
        "model_generalizes": rules.model_generalizes(separation, sensitivity, signals.by.replace("_", " ")),
        "core_is_heuristic": core,
        "heads_generalize": NO_HEADS,
    }
    numbers |= {"separation": separation}
    notes = []
    if any_heads:
        judgement, more, notes = heads_judged(signals, Signals(set_scores, heuristic), sets)
        judgements["heads_generalize"] = judgement
        numbers |= more
    if donor_scores is not None:
        by_means, _ = core_judged(set_scores, set_scores, CORE, heuristic)
        by_donors, _ = core_judged(set_scores, donor_scores, CORE, heuristic)
        if by_means[0] != by_donors[0]:
            notes.append(
                f"on the rows of the comparison sets, that the core alone is heuristic is {by_means[0]!r} under the "
                f"chosen source and {by_donors[0]!r} under donors ({'; '.join(by_donors[1])})"
            )
    answers: dict[str, Answer] = {name: judgements[name][0] for name in PREMISES}
    reasons = {name: judgements[name][1] for name in PREMISES}
    return Judged(signals.by, answers, reasons, numbers, notes)


def core_judged(
    full_scores: Scores, core_scores: Scores, core: str, heuristic: str
) -> tuple[Judgement, dict[str, Interval]]:
    """Judge the core alone against the full model; both are scored on the same rows, perhaps in two results."""
    full, alone = Signals(full_scores, heuristic), Signals(core_scores, heuristic)
    place = core_scores.names.index(core)
    auc_full, auc_core = full_scores.in_domain_auc[0], core_scores.in_domain_auc[place]
    signal_full, signal_core = full.of(FULL)[0], alone.of(core)[0]
    pulls = core_scores.pull_interval(heuristic)
    pull = None
    if pulls is not None:
        value, low, high = (float(np.asarray(part)[place]) for part in (pulls.value, pulls.low, pulls.high))
        pull = Interval(value, low, high, pulls.n)
    known = auc_core.plus(-0.5) - auc_full.plus(-0.5).times(rules.DOMAIN_SHARE)
    # In a model without a signal nothing is a third of it; a core is then compared with what generalizing asks for.
    if float(signal_full.value) < rules.SENSITIVITY:
        little = signal_core.times(-1).plus(rules.SENSITIVITY * rules.SIGNAL_SHARE)
    else:
        little = signal_full.times(rules.SIGNAL_SHARE) - signal_core
    estimates = {
        "auc": known, "signal": little, "auc_full": auc_full, "auc_core": auc_core, "signal_full": signal_full,
        "signal_core": signal_core,
    }  # fmt: skip
    numbers = {name: full.interval(item) for name, item in estimates.items()} | ({"pull": pull} if pull else {})
    return rules.core_is_heuristic(numbers["auc"], pull, numbers["signal"]), numbers


def heads_judged(
    signals: Signals, on_sets: Signals, sets: dict[str, tuple[Heads, ...]]
) -> tuple[Judgement, dict[str, Interval], list[str]]:
    """Judge the generalizing heads: their loss and gain, and how far these exceed those of the comparison sets."""
    core, both, without = (signals.of(name)[0] for name in MODELS[1:])
    loss = signals.interval(signals.share_of_full(without).times(-1).plus(1))
    gain = signals.interval(signals.share_of_full(both - core))
    numbers, notes, compared = {"loss": loss, "gain": gain}, [], {}
    for change, own, sign in (("loss", WITHOUT_HEADS, -1), ("gain", CORE_AND_HEADS, 1)):
        compared[change] = {}
        for kind, listed in sets.items():
            if kind != WITHIN and not listed:
                notes.append(f"there are no {kind} sets")
                continue
            found, n_undefined = comparison(on_sets, own, change, kind, len(listed), sign)
            compared[change][kind] = found
            numbers[f"{change}_excess {kind}"] = found.excess
            if n_undefined:
                notes.append(
                    f"{n_undefined} {kind} sets have no in-domain gap, so no {change}; a set with neither loss nor "
                    "gain counts as reaching the heads"
                )
    for kind in compared["loss"]:
        rank = joint_rank(on_sets, kind, compared["loss"][kind].n)
        for change in compared:
            compared[change][kind] = replace(compared[change][kind], rank=rank)
    decisive = WITHIN
    if compared["loss"][WITHIN].n < rules.MIN_SETS <= compared["loss"].get(DISJOINT, compared["loss"][WITHIN]).n:
        decisive = DISJOINT
        notes.append(f"only {compared['loss'][WITHIN].n} sets within layers exist, so disjoint sets decide")
    answer = rules.heads_generalize(loss, gain, compared["loss"], compared["gain"], decisive)
    return answer, numbers, list(dict.fromkeys(notes))


def comparison(signals: Signals, own: str, change: str, kind: str, n: int, sign: int) -> tuple[Comparison, int]:
    """The heads' loss (`sign` -1) or gain (+1) against `n` sets of a kind, and the number of undefined sets."""
    nowhere = Interval(np.nan, np.nan, np.nan, 0)
    if not n:
        return Comparison(nowhere, np.nan, 0), 0
    heads, listed = signals.of(own)[0], signals.of(*(set_name(change, kind, i) for i in range(n)))
    defined = np.flatnonzero(np.isfinite(listed.value))
    if not len(defined):
        return Comparison(nowhere, np.nan, n), n
    excess = signals.share_of_full((heads - listed[defined].mean()).times(sign))
    return Comparison(signals.interval(excess), np.nan, n), n - len(defined)


def joint_rank(signals: Signals, kind: str, n: int) -> float:
    """The share of `n` sets of a kind whose loss or gain the heads exceed; ties (within `rules.TIE`) count half.

    A set of which both are undefined is not exceeded.
    """
    if not n:
        return np.nan
    further = []
    for change, own, sign in (("loss", WITHOUT_HEADS, -1), ("gain", CORE_AND_HEADS, 1)):
        listed = signals.of(*(set_name(change, kind, i) for i in range(n)))
        further.append(sign * (signals.of(own)[0].value - listed.value) / signals.of(FULL)[0].value)
    most = np.fmax(*further)  # NaN only where both are undefined
    return float(np.mean((most > rules.TIE) + 0.5 * (np.abs(most) <= rules.TIE)))
