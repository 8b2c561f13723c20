"""`Extremes`: the good subnetworks of the lowest and of the highest separation, and what tells whether they count."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.components import Component
from hc_interp.evaluation.result import VALIDATION, Evaluation
from hc_interp.evaluation.scores import Scores
from hc_interp.extremes.rows import HELD_OUT, SELECT, TEST
from hc_interp.records.result import Result
from hc_interp.statistics.estimate import Estimate
from hc_interp.statistics.tests import TIE, Interval, clopper_pearson
from hc_interp.statistics.units import SOURCE, Units
from hc_interp.subnetwork import Subnetwork

FULL, BEST, LOW, HIGH = "full", "best", "low", "high"
SYSTEMS = (FULL, BEST, LOW, HIGH)
PAIRS = ((LOW, HIGH), (LOW, BEST), (HIGH, BEST))
CHANCE = 0.5
ALPHA = 0.05  # an end counts if at most this share of all searches went as far, and if it is equal in domain
POINT = 0.01  # accuracies in domain are equal if the interval of their difference is within this


@dataclass(frozen=True, eq=False)
class Extremes(Result):
    """Of the masks whose loss is at most `bound`: `low` and `high`, the ends in separation on the select rows.

    `best` is the mask of the lowest loss, which was found without a look at separation. `masks`, `losses` and
    `separations` (on the select rows) are of all masks that were scored; some of them lie above the bound.
    `control_low`, `control_high` and `control_best` are separations by the searches' own labels on the select rows: of
    the ends of each search, and of `best`. Entry 0 is the true search, the others have permuted labels.

    `scores[part]` has the scores of the full model, of `best` and of the ends, on the rows of "select", "test" (other
    words, and other templates where a case has several) and "held_out" (cases that no search saw). `in_domain` is their
    evaluation on fresh examples. `beside` has a row for each other subnetwork that was given: group, components, loss,
    and its separation on each part.

    That two masks within the bound separate differently shows that good subnetworks generalize differently. It does
    not show which of them the full model uses.
    """

    universe: tuple[Component, ...]
    sparsity: float
    heuristic: str
    epsilon: float
    best_loss: float
    best: Subnetwork
    low: Subnetwork
    high: Subnetwork
    full_loss: float
    masks: Bool[Tensor, "mask component"]
    losses: Float[Tensor, " mask"]
    separations: Float[Tensor, " mask"]
    control_low: Float[np.ndarray, " labeling"]
    control_high: Float[np.ndarray, " labeling"]
    control_best: Float[np.ndarray, " labeling"]
    scores: dict[str, Scores]
    in_domain: Evaluation
    beside: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"group": [], "components": []}))
    settings: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def bound(self) -> float:
        """The largest loss that an end may have."""
        return self.best_loss + self.epsilon

    @property
    def subnetworks(self) -> dict[str, Subnetwork]:
        """`best`, `low` and `high` by name, as `hc.evaluate` takes them."""
        return {BEST: self.best, LOW: self.low, HIGH: self.high}

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts with rows: "select", "test", and "held_out" where cases were held out."""
        return tuple(part for part in (SELECT, TEST, HELD_OUT) if part in self.scores)

    def separation(self, part: str = TEST) -> Interval:
        """The separation of "full", "best", "low" and "high", in this order, on the rows of a part."""
        scores = self.scores[part]
        return scores.interval(self._estimates[part])

    def difference(self, part: str = TEST) -> Interval:
        """Separation of the high end minus that of the low end, on the same rows."""
        estimate = self._estimates[part]
        low, high = (self.scores[part].names.index(name) for name in (LOW, HIGH))
        return self.scores[part].interval(estimate[high] - estimate[low])

    @cached_property
    def _estimates(self) -> dict[str, Estimate]:
        return {part: scores.separation(self.heuristic) for part, scores in self.scores.items()}

    @property
    def control(self) -> pd.DataFrame:
        """A row per search: permutation (0: the true labels), low, best, high, and the distances of both ends from the
        best mask. Separations are on the select rows, by the search's own labels."""
        low, best, high = self.control_low, self.control_best, self.control_high
        return pd.DataFrame(
            {
                "permutation": np.arange(len(low)), "low": low, "best": best, "high": high,
                "below_best": best - low, "above_best": high - best,
            }
        )  # fmt: skip

    @property
    def p(self) -> dict[str, float]:
        """For each end the share of all searches, the true one included, whose end is at least as far from `best`."""
        best = self.control_best
        return {LOW: _share(best - self.control_low), HIGH: _share(self.control_high - best)}

    @property
    def p_beyond_half(self) -> dict[str, float]:
        """For each end the share of all searches whose end is at least as low, or as high."""
        return {LOW: _share(-self.control_low), HIGH: _share(self.control_high)}

    def counts(self, end: str) -> bool:
        """Whether an end ("low" or "high") lies further from the best mask than the ends of permuted searches do, and
        answers in domain as often as the best mask, within one point.

        An end that is worse in domain does not show that equally good subnetworks generalize differently. One that is
        not shown to be equal does not count: give the task more validation examples.
        """
        return self.p[end] <= ALPHA and self.equal(end) == "yes"

    def equal(self, end: str) -> str:
        """Whether an end's in-domain accuracy is that of the best mask within one point: "yes", "no" or "open"."""
        frame = self.equality
        return str(frame.loc[(frame["first"] == end) & (frame["second"] == BEST), "equal"].iloc[0])

    def reversed(self, end: str, part: str = TEST) -> bool:
        """Whether the separation of an end is below one half: non-entailing examples get more log odds."""
        found = self.separation(part)
        return bool(np.asarray(found.value)[self.scores[part].names.index(end)] < CHANCE)

    @cached_property
    def equality(self) -> pd.DataFrame:
        """In-domain accuracy of the ends and the best mask, compared pair by pair on the same fresh examples.

        A row per pair: first, second, difference (first minus second) with its interval (low, high), n, and equal:
        "yes" if the whole interval is within one point, "no" if the whole interval is outside of it, else "open".
        """
        names = list(self.in_domain.names)
        right = self.in_domain.correct[VALIDATION].double().numpy()
        units = Units.of({SOURCE: [(source,) for source in self.in_domain.sources[VALIDATION]]})
        rows = []
        for first, second in PAIRS:
            difference = right[names.index(first)] - right[names.index(second)]
            found = units.mean(difference, self.in_domain.level)
            low, high = float(found.low), float(found.high)
            if not difference.any():  # no spread; the exact bound of the share of sources on which the two may differ
                high = float(clopper_pearson(0, units.levels[SOURCE], self.in_domain.level).high)
                low = -high
            inside = low >= -POINT and high <= POINT
            equal = "yes" if inside else "no" if low > POINT or high < -POINT else "open"
            rows.append((first, second, float(found.value), low, high, found.n, equal))
        return pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "n", "equal"])

    def to_frame(self) -> pd.DataFrame:
        """A row for each of full, best, low and high.

        The columns are system, components, loss, accuracy (in domain, on fresh examples), for each part its separation
        with its interval (`test`, `test_low`, `test_high`), optimism (select - test), p, equal (to the best mask in
        domain) and counts of the ends, and reversed (the test separation is below one half).
        """
        frame = pd.DataFrame(
            {
                "system": SYSTEMS,
                "components": [len(self.universe), *(len(net) for net in self.subnetworks.values())],
                "loss": [self.full_loss, self.best_loss, self._loss(self.low), self._loss(self.high)],
                "accuracy": self.in_domain.accuracy(VALIDATION),
            }
        )
        for part in self.parts:
            found = self.separation(part)
            frame[part], frame[f"{part}_low"], frame[f"{part}_high"] = found.value, found.low, found.high
        frame["optimism"] = frame[SELECT] - frame[TEST]
        frame["p"] = [np.nan, np.nan, *self.p.values()]
        frame["equal"] = ["", "", self.equal(LOW), self.equal(HIGH)]
        frame["counts"] = pd.array([pd.NA, pd.NA, self.counts(LOW), self.counts(HIGH)], dtype="boolean")
        frame["reversed"] = frame[TEST] < CHANCE
        return frame

    def _loss(self, subnetwork: Subnetwork) -> float:
        kept = np.array([item in subnetwork.kept for item in self.universe])
        return float(self.losses[(self.masks.numpy() == kept).all(1)][0])

    @property
    def summary(self) -> str:
        """What was found, in sentences."""
        settings = self.settings
        difference = self.difference()
        lines = [
            f"Of {len(self.universe)} components {len(self.best)} are kept. {int((self.losses <= self.bound).sum())} "
            f"masks with a loss of at most {self.bound:.3g} were found ({self.best_loss:.3g} is the lowest; "
            f"{settings.get('masks_measured', len(self.masks))} masks were measured).",
            *(self._end_in_words(end) for end in (LOW, HIGH)),
            f"On test rows the high end separates {_signed(difference)} better than the low end.",
        ]
        equality = self.equality.iloc[0]
        verdict = {
            "yes": "their accuracies are equal within one point",
            "no": "their accuracies are NOT equal within one point",
            "open": "whether their accuracies are equal within one point is open",
        }[equality["equal"]]
        lines.append(
            f"In domain, on {equality['n']} fresh examples, {verdict} (low minus high: "
            + "{:+.1f} [{:+.1f}, {:+.1f}] points).".format(*(100 * equality[["difference", "low", "high"]]))
        )
        if HELD_OUT not in self.scores:
            lines.append("No cases were held out, so nothing tells whether the ends hold for other cases.")
        return " ".join(lines)

    def _end_in_words(self, end: str) -> str:
        at = SYSTEMS.index(end)
        found = {part: self.separation(part) for part in self.parts}
        value, low, high = (np.asarray(part)[at] for part in (found[TEST].value, found[TEST].low, found[TEST].high))
        select = np.asarray(found[SELECT].value)[at]
        text = f"The {end} end separates {value:.2f} [{low:.2f}, {high:.2f}] on test rows"
        if self.reversed(end):
            text += " (reversed)" if high < CHANCE else " (reversed, but the interval reaches one half)"
        text += f", {select:.2f} on the rows it was selected on (optimism {select - value:+.2f})"
        if HELD_OUT in found:
            text += f", {np.asarray(found[HELD_OUT].value)[at]:.2f} on held-out cases"
        n = len(self.control_low) - 1
        beyond = "It counts" if self.counts(end) else "It does NOT count"
        in_domain = {
            "yes": "in domain it answers as the best mask does, within one point",
            "no": "in domain it does NOT answer as the best mask does, within one point",
            "open": "whether it answers in domain as the best mask does, within one point, is open",
        }[self.equal(end)]
        return (
            f"{text}. {beyond}: {round(self.p[end] * (n + 1)) - 1} of {n} searches with permuted labels went as far "
            f"from the best mask (p = {self.p[end]:.3f}), and {in_domain}."
        )

    def __repr__(self) -> str:
        low, high = (np.asarray(self.separation().value)[SYSTEMS.index(end)] for end in (LOW, HIGH))
        words = []
        for end, value in ((LOW, low), (HIGH, high)):
            state = " (reversed)" if value < CHANCE else ""
            words.append(f"{end} {value:.2f}{state}{'' if self.counts(end) else ' (does NOT count)'}")
        return (
            f"Extremes(separation on {self.heuristic!r}, test rows: {', '.join(words)}; {len(self.best)} of "
            f"{len(self.universe)} components, loss at most {self.bound:.3g}; in-domain accuracy equal: "
            f"{self.equality['equal'].iloc[0]})"
        )


def _share(distances: Float[np.ndarray, " labeling"]) -> float:
    """The share of the searches that are at least as far as the true one, which is the first."""
    return float((distances >= distances[0] - TIE).mean())


def _signed(found: Interval) -> str:
    return f"{float(found.value):.2f} [{float(found.low):.2f}, {float(found.high):.2f}]"
