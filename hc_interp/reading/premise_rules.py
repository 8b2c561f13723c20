"""The rules by which a premise holds, fails or stays open: pure functions of intervals, without a model.

A criterion is a number with its interval. It holds where the whole interval is above the bound, fails where the whole
interval is below, and is open otherwise. Every rule returns the answer and the reasons for it, in words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hc_interp.statistics.tests import Interval

Answer = Literal["holds", "fails", "open", "not checked"]
Judgement = tuple[Answer, tuple[str, ...]]
PREMISES = ("model_generalizes", "core_is_heuristic", "heads_generalize")

SEPARATION = 0.65  # the least separation of a model that generalizes
SENSITIVITY = 0.1  # its least sensitivity: ranks alone would take a tiny but steady difference for knowledge
DOMAIN_SHARE = 0.5  # the least share of the full model's in-domain AUC - 0.5 that the core keeps
PULL = 0.8  # the least pull of a core that follows the heuristic
SIGNAL_SHARE = 1 / 3  # the largest share of the full model's signal that the core may have
EXCESS = 0.05  # the least excess of loss and gain over the mean of the comparison sets
RANK = 0.95  # the least share of comparison sets that loss and gain are above
TIE = 0.02  # sets that differ from the heads by less than this share of the full model's signal tie: half above
LOSS = 0.1  # the least loss of heads that the model needs to generalize
MIN_SETS = 20  # fewer comparison sets cannot give rank 0.95


@dataclass(frozen=True)
class Comparison:
    """Loss or gain of the generalizing heads against sets of one kind.

    `excess` is theirs minus the mean of the sets. `rank` is the share of sets that they are above, `n` the number of
    sets. A set reaches the heads only if both its loss and its gain do: where heads work in series, removing a whole
    stage of them loses as much as removing all, but does not give as much back. Ties count half.
    """

    excess: Interval
    rank: float
    n: int

    @property
    def shown(self) -> bool:
        """Whether the heads exceed the sets: by `EXCESS`, with the interval above 0, and above `RANK` of the sets."""
        return bool(self.excess.value >= EXCESS and self.excess.low > 0 and self.rank >= RANK)

    @property
    def bounded(self) -> bool:
        """Whether the heads exceed the sets by less than `EXCESS` at most."""
        return bool(self.excess.high < EXCESS)


def criterion(interval: Interval, bound: float) -> Answer:
    """Whether the whole interval is at least `bound` (holds), below it (fails), or neither."""
    low, high = float(interval.low), float(interval.high)
    return "holds" if low >= bound else "fails" if high < bound else "open"


def model_generalizes(separation: Interval, sensitivity: Interval, of: str) -> Judgement:
    """The full model tells cases where the heuristic is right from cases where it is wrong, and by more than a trifle.

    `sensitivity` is its order sensitivity, or case sensitivity without order pairs; `of` is the name of it.
    """
    measured = {
        "the separation of the full model": (separation, SEPARATION),
        f"its {of}": (sensitivity, SENSITIVITY),
    }
    answers: list[Answer] = [criterion(interval, bound) for interval, bound in measured.values()]
    words = {"holds": "at least", "fails": "below", "open": "not clearly on one side of"}
    reasons = tuple(
        f"{about}, {said(interval)}, is {words[answer]} {bound}"
        for (about, (interval, bound)), answer in zip(measured.items(), answers, strict=True)
    )
    return _together(answers), reasons


def core_is_heuristic(auc: Interval, pull: Interval | None, signal: Interval) -> Judgement:
    """The core alone answers in domain, follows the overlap, and lacks what generalization needs.

    `auc` is (in-domain AUC - 0.5) of the core minus `DOMAIN_SHARE` of the full model's; `signal` is `SIGNAL_SHARE` of
    the full model's signal minus the core's. Both should be at least 0.
    """
    parts: dict[str, Answer] = {
        "in-domain knowledge": criterion(auc, 0.0),
        "pull": "not checked" if pull is None else criterion(pull, PULL),
        "little order": criterion(signal, 0.0),
    }
    about = {
        "in-domain knowledge": f"(in-domain AUC - 0.5) of the core alone less half of the full model's: {said(auc)}",
        "pull": "no overlap pairs show whether the core alone follows the overlap" if pull is None else
        f"the pull of the core alone, {said(pull)}, against {PULL}",
        "little order": f"a third of the full model's signal less the core's: {said(signal)}",
    }  # fmt: skip
    reasons = tuple(f"{about[name]} ({answer})" for name, answer in parts.items())
    return _together(list(parts.values())), reasons


def _together(answers: Sequence[Answer]) -> Answer:
    """A premise of several criteria fails if one does, and holds if all do."""
    return "fails" if "fails" in answers else "holds" if set(answers) == {"holds"} else "open"


def heads_generalize(
    loss: Interval,
    gain: Interval,
    losses: Mapping[str, Comparison],
    gains: Mapping[str, Comparison],
    decisive: str,
) -> Judgement:
    """What generalization loses without the heads, and gains when the core gets them, is more than with other heads.

    `losses` and `gains` compare with sets by kind, `decisive` of which decides. The loss must also be at least `LOSS`,
    and the gain above 0: heads that change nothing exceed sets that do harm.
    """
    reasons = [f"without the heads the signal loses {said(loss)} of the full model's, {_against(losses)}"]
    reasons += [f"with the core they give back {said(gain)} of it, {_against(gains)}"]
    if losses[decisive].n < MIN_SETS:
        few = f"resolution: {losses[decisive].n} comparison sets, fewer than {MIN_SETS}"
        return "open", (*reasons, few)
    if not np.isfinite([float(loss.value), float(gain.value)]).all():
        return "open", (*reasons, "a system has no in-domain gap to compare its signal with")
    large, positive = criterion(loss, LOSS) == "holds", float(gain.low) > 0
    shown = {
        kind: (losses[kind].shown and large, gains[kind].shown and positive)
        for kind in losses
        if losses[kind].n >= MIN_SETS
    }
    if len(set(shown.values())) > 1:
        return "open", (*reasons, "comparison sets disagree")
    lost, gained = shown[decisive]
    if lost and gained:
        return "holds", tuple(reasons)
    if gained:
        return "open", (*reasons, "sufficient, redundant: a gain without a loss")
    if lost:
        return "open", (*reasons, "necessary, not sufficient: a loss without a gain")
    small_loss = float(loss.high) < LOSS or losses[decisive].bounded
    if small_loss and (float(gain.high) < EXCESS or gains[decisive].bounded):
        return "fails", tuple(reasons)
    return "open", (*reasons, "neither loss nor gain is shown, and not both are shown to be small")


def _against(comparisons: Mapping[str, Comparison]) -> str:
    return " and ".join(
        f"{said(item.excess)} more than the mean of {item.n} sets ({kind}), {item.rank:.0%} of which do not reach both "
        "loss and gain"
        for kind, item in comparisons.items()
    )


def said(interval: Interval) -> str:
    """A number with its interval: 0.64 [0.58, 0.70]."""
    value, low, high = (float(part) for part in (interval.value, interval.low, interval.high))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(value) else "not defined"
