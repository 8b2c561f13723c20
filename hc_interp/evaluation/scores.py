"""`Scores`: how far systems answer what a shallow heuristic answers, without a threshold, and statistics of it.

A system is a model under a list of interventions. Its score `s` of a text is the log odds of the heuristic's answer: of
the label group `Task.heuristic_label`. The cases of a heuristic are those where its answer is right and those where it
is wrong. Cases are fixed strata: an interval is about other examples of these cases, not about other cases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hc_interp.errors import DataError
from hc_interp.evaluation import recentred
from hc_interp.records.result import Result
from hc_interp.statistics.estimate import Estimate, auc, average, stratified_mean
from hc_interp.statistics.tests import Interval, clopper_pearson
from hc_interp.statistics.units import SOURCE, Units

IN_DOMAIN = "in domain"
HeuristicCases = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]  # right cases and wrong cases by heuristic
BOUNDS = ("", "_low", "_high")


@dataclass(frozen=True, eq=False)
class ScoreRows(Result):
    """Scores of one block of rows: examples, or pairs of texts.

    `s` is [system, row]. Of a pair, `s` is the score of its first side and `other` that of its second side: for order
    pairs, first is the side whose gold label the heuristic gives; for overlap pairs, first is the side with the words.
    `gold` says in which rows the gold label (of the first side) is the heuristic's answer. `levels[unit]` numbers the
    levels of each row, -1 for none; one number means one level in all blocks of a `Scores`.
    """

    s: Float[np.ndarray, "system row"]
    gold: Bool[np.ndarray, " row"]
    levels: dict[str, Int[np.ndarray, "row _"]]
    ids: tuple[str, ...]
    other: Float[np.ndarray, "system row"] | None = None

    def to_frame(self) -> pd.DataFrame:
        """A row per row of data: id, gold, and s of each system."""
        scores = {f"s_{i}": row for i, row in enumerate(self.s)}
        return pd.DataFrame({"id": self.ids, "gold": self.gold, **scores})

    @property
    def change(self) -> Float[np.ndarray, "system row"]:
        """s of the first side minus s of the second side."""
        if self.other is None:
            raise DataError("These rows are single examples and have no second side. Expected rows of pairs.")
        return self.s - self.other

    def restricted(self, systems: list[int]) -> "ScoreRows":
        """The rows of these systems alone."""
        other = None if self.other is None else self.other[systems]
        return ScoreRows(self.s[systems], self.gold, self.levels, self.ids, other)


@dataclass(frozen=True, eq=False)
class Scores(Result):
    """Scores of `names` (systems) on in-domain examples, on cases, and on pairs of the cases.

    `heuristics[name]` are the cases where a heuristic is right and those where it is wrong. Blocks of `rows` are
    "in domain", "case X", "order X" and "overlap X" for cases X. Overlap pairs are those that count for the pull.
    All statistics are `Estimate`s over systems; `interval` gives their bounds.
    """

    names: tuple[str, ...]
    heuristics: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    rows: dict[str, ScoreRows]
    level: float
    seed: int

    def separation(self, heuristic: str) -> Estimate:
        """The mean over (right case, wrong case) of AUC(s; right against wrong).

        0.5: nothing beyond the heuristic. An AUC only knows the order of scores: near 1 it hides how far apart they
        are.
        """
        right, wrong = (
            [(f"case {case}", self.rows[f"case {case}"].s) for case in cases] for cases in self.heuristics[heuristic]
        )
        return average([auc(a, b) for a in right for b in wrong])

    @cached_property
    def in_domain_auc(self) -> Estimate:
        """AUC(s; in-domain rows with the heuristic's label against the others)."""
        part = self.rows[IN_DOMAIN]
        halves = auc((IN_DOMAIN, part.s[:, part.gold]), ("others", part.s[:, ~part.gold]))
        return Estimate(halves.value, {IN_DOMAIN: _joined(part.gold, halves.influence[IN_DOMAIN], halves)})

    @cached_property
    def in_domain_gap(self) -> Estimate:
        """Mean s of in-domain rows with the heuristic's label minus that of the others."""
        part = self.rows[IN_DOMAIN]
        shares = np.where(part.gold, 1 / part.gold.sum(), -1 / (~part.gold).sum())
        means = np.where(part.gold, *(part.s[:, rows].mean(axis=1)[:, None] for rows in (part.gold, ~part.gold)))
        return Estimate(part.s @ shares, {IN_DOMAIN: ((part.s - means) * shares).T})

    def order_effect(self, heuristic: str) -> Estimate | None:
        """The mean over order pairs of s(side with the heuristic's label) - s(other side); None without such pairs."""
        pairs = self._pairs("order", heuristic)
        return stratified_mean({name: part.change for name, part in pairs.items()}) if pairs else None

    def order_sensitivity(self, heuristic: str) -> Estimate | None:
        """The order effect over the system's own in-domain gap; NaN where the gap's interval contains 0.

        It has neither a threshold nor a scale. What lowers all of a system's answers alike leaves it unchanged.
        """
        effect = self.order_effect(heuristic)
        return None if effect is None else self._over_gap(effect)

    def case_effect(self, heuristic: str) -> Estimate:
        """The mean over (right case, wrong case) of mean s on the right one - mean s on the wrong one.

        What separation ranks, with its size. The texts of two cases differ in more than the heuristic's being right, so
        that order pairs say more where there are any.
        """
        right, wrong = (
            average([stratified_mean({f"case {case}": self.rows[f"case {case}"].s}) for case in cases])
            for cases in self.heuristics[heuristic]
        )
        return right - wrong

    def case_sensitivity(self, heuristic: str) -> Estimate:
        """The case effect over the system's own in-domain gap; NaN where the gap's interval contains 0."""
        return self._over_gap(self.case_effect(heuristic))

    def _over_gap(self, effect: Estimate) -> Estimate:
        return effect.over(self.in_domain_gap).where(np.asarray(self.interval(self.in_domain_gap).excludes(0.0)))

    def pull(self, heuristic: str) -> Estimate | None:
        """The share of overlap pairs in which s falls when the overlap is broken, ties half; None without pairs."""
        pairs = self._pairs("overlap", heuristic)
        if not pairs:
            return None
        return stratified_mean({name: (1 + np.sign(part.change)) / 2 for name, part in pairs.items()})

    def _pairs(self, kind: str, heuristic: str) -> dict[str, ScoreRows]:
        right, wrong = self.heuristics[heuristic]
        blocks = [f"{kind} {case}" for case in (*right, *wrong)]
        return {block: self.rows[block] for block in blocks if block in self.rows}

    def recentred(self, heuristic: str) -> dict[str, Interval]:
        """Accuracies at the re-centred threshold: "right" and "wrong" cases (means over cases), and "in domain".

        "in domain" is of the half of the rows that did not set the threshold. The interval counts the rows by their
        units, and the threshold by fitting it again in resamples of its own rows.
        """
        part = self.rows[IN_DOMAIN]
        sources = part.levels[SOURCE][:, 0].tolist()
        fitted = recentred.reference_half(sources, self.seed)
        at = np.array([recentred.threshold(row[fitted], part.gold[fitted]) for row in part.s])
        drawn = recentred.resampled_thresholds(
            part.s[:, fitted], part.gold[fitted], [sources[i] for i in np.flatnonzero(fitted)], self.seed
        )
        right, wrong = ([f"case {case}" for case in cases] for cases in self.heuristics[heuristic])
        parts = {"right": (right, True), "wrong": (wrong, False)}
        found = {}
        for name, (blocks, answer) in parts.items():
            s = {block: self.rows[block].s for block in blocks}
            hits = {block: ((values > at[:, None]) == answer).astype(float) for block, values in s.items()}
            share = average([stratified_mean({block: hit}) for block, hit in hits.items()])
            above = [recentred.counts_above(values, drawn) / values.shape[1] for values in s.values()]
            found[name] = self.interval(share, more=np.mean(above, axis=0).var(axis=1))  # if not above: the same
        return {**found, "in_domain": self._recentred_in_domain(part, ~fitted, at, drawn)}

    def _recentred_in_domain(self, part: ScoreRows, rest: np.ndarray, at: np.ndarray, drawn: np.ndarray) -> Interval:
        """The accuracy of the rows that are in `rest`, at thresholds `at`; the variance over `drawn` ones is added."""
        n = rest.sum()
        hit = ((part.s > at[:, None]) == part.gold) & rest
        mean = hit.sum(axis=1) / n
        right, wrong = (recentred.counts_above(part.s[:, rest & rows], drawn) for rows in (part.gold, ~part.gold))
        share = Estimate(mean, {IN_DOMAIN: ((hit - mean[:, None]) * rest).T / n})
        return self.interval(share, more=((right - wrong) / n).var(axis=1))

    def interval(self, estimate: Estimate, more: Any = 0.0) -> Interval:
        """The estimate's bounds by the units of the rows that it depends on. `more` is variance from elsewhere."""
        units = self._units(tuple(estimate.influence))
        return units.interval(estimate.value, np.concatenate(list(estimate.influence.values())), self.level, more)

    def pull_interval(self, heuristic: str) -> Interval | None:
        """The pull's bounds. A pull of 0 or 1 has no spread; its interval is the exact binomial one over sources."""
        pull = self.pull(heuristic)
        if pull is None:
            return None
        bounds = self.interval(pull)
        parts = self._pairs("overlap", heuristic).values()
        sources = {level for part in parts for level in part.levels[SOURCE][:, 0].tolist()}
        ends = np.array([[bounds.low, bounds.high]]).reshape(2, -1)
        for k in (0, 1):
            exact = clopper_pearson(k * len(sources), len(sources), self.level)
            ends[:, pull.value == k] = np.array([[exact.low], [exact.high]])
        return Interval(pull.value, ends[0], ends[1], bounds.n)

    @cached_property
    def _units(self) -> Any:
        return cache(self._units_of)

    def _units_of(self, blocks: tuple[str, ...]) -> Units:
        names = dict.fromkeys(name for block in blocks for name in self.rows[block].levels)
        levels: dict[str, list[tuple[str, ...]]] = {name: [] for name in names}
        for block in blocks:
            part = self.rows[block]
            for name in names:
                rows = part.levels.get(name, np.full((len(part.ids), 1), -1))
                levels[name] += [tuple(str(level) for level in row if level >= 0) for row in rows.tolist()]
        return Units.of(levels, [len(self.rows[block].ids) for block in blocks])

    def restricted(self, systems: list[int]) -> "Scores":
        """The scores of these systems alone."""
        names = tuple(self.names[i] for i in systems)
        rows = {block: part.restricted(systems) for block, part in self.rows.items()}
        return Scores(names, self.heuristics, rows, self.level, self.seed)

    def to_frame(self) -> pd.DataFrame:
        """A row per system and heuristic: each statistic with its interval (`x`, `x_low`, `x_high`).

        The statistics are separation, pull, in_domain_auc, order_effect, in_domain_gap, order_sensitivity, and the
        re-centred accuracies recentred_right and recentred_wrong (of the cases where the heuristic is right or wrong)
        and recentred_in_domain. NaN: not measured, or not defined.
        """
        frames = [self._frame(heuristic) for heuristic in self.heuristics]
        frame = pd.concat(frames, ignore_index=True)
        order = {name: row for row, name in enumerate(self.names)}
        return frame.sort_values("system", key=lambda names: names.map(order), kind="stable", ignore_index=True)

    def _frame(self, heuristic: str) -> pd.DataFrame:
        estimates = {
            "separation": self.separation(heuristic), "pull": None, "in_domain_auc": self.in_domain_auc,
            "order_effect": self.order_effect(heuristic), "in_domain_gap": self.in_domain_gap,
            "order_sensitivity": self.order_sensitivity(heuristic),
            "case_sensitivity": self.case_sensitivity(heuristic),
        }  # fmt: skip
        intervals = {name: item and self.interval(item) for name, item in estimates.items()}
        intervals["pull"] = self.pull_interval(heuristic)
        intervals |= {f"recentred_{name}": item for name, item in self.recentred(heuristic).items()}
        columns: dict[str, Any] = {"system": self.names, "heuristic": heuristic}
        for name, item in intervals.items():
            for end, values in zip(BOUNDS, (item.value, item.low, item.high) if item else (np.nan,) * 3, strict=True):
                columns[name + end] = values
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        n = sum(len(part.ids) for part in self.rows.values())
        return f"Scores({len(self.names)} systems, {', '.join(self.heuristics)}; {n} examples and pairs)"


def _joined(gold: np.ndarray, above: np.ndarray, halves: Estimate) -> np.ndarray:
    """The influences of both groups of an AUC in the order of the rows."""
    rows = np.empty((len(gold), *above.shape[1:]))
    rows[gold], rows[~gold] = above, halves.influence["others"]
    return rows
