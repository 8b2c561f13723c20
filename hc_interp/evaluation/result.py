"""`Evaluation`: which answers of a model and its subnetworks are right, by example, with tables of accuracies."""

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.data.grammar import case_of
from hc_interp.errors import DataError
from hc_interp.evaluation.scores import BOUNDS, Scores
from hc_interp.records.result import Result
from hc_interp.statistics.tests import bootstrap, clopper_pearson
from hc_interp.subnetwork import Subnetwork

FULL, INTERVENED, VALIDATION = "full", "intervened", "validation"
SCORES = ("separation", "pull", "in_domain_auc", "recentred_right", "recentred_wrong")  # columns of `scores()`
WHOLE = {FULL: "full model", INTERVENED: "intervened model"}  # names of the first row, and in words


@dataclass(frozen=True, eq=False)
class Evaluation(Result):
    """Answers of the full model and of its subnetworks.

    The first row is the whole model. It is named "full", or "intervened" where interventions apply to it.

    `correct[split]` says whether each answer is right, with rows in the order of `names`. `kl` is KL(first row ||
    subnetwork) on validation in nats (None without that split). `ids` and `sources` name the examples. `majority` is
    the share of the most frequent label on validation, which is the accuracy of always answering with that label (None
    without that split, and where interventions change the model). `heuristic_scores` holds the score s of the
    heuristic's answer for each subnetwork and example, and `scores()` its statistics (None where the task names no
    heuristic with cases of both kinds). `by_words[split]` holds logit_diff and prob_diff of each answer where rows were
    scored by answers and foils (empty elsewhere).

    Intervals are bootstraps over sources. They show how far a number may vary with other premises, not with another
    seed of the search. Where all answers are right, or none, the bootstrap has no spread, and the interval is the exact
    binomial one over sources (Clopper-Pearson).
    """

    names: tuple[str, ...]
    subnetworks: tuple[Subnetwork | None, ...]
    correct: dict[str, Bool[Tensor, "subnetwork example"]]
    kl: Float[Tensor, "subnetwork example"] | None
    ids: dict[str, tuple[str, ...]]
    sources: dict[str, tuple[str, ...]]
    level: float
    seed: int
    provenance: dict[str, Any] = field(default_factory=dict)
    majority: float | None = None
    heuristic_scores: Scores | None = None
    by_words: dict[str, dict[str, Float[Tensor, "subnetwork example"]]] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        """The data that was evaluated: "validation", then the cases."""
        return tuple(self.correct)

    def accuracy(self, split: str) -> Float[np.ndarray, " subnetwork"]:
        """Accuracies on one split, in the order of `names`. Raises `DataError` for a split that was not evaluated."""
        if split not in self.correct:
            raise DataError(f"{split!r} was not evaluated; there are {', '.join(self.splits)}. Choose one of them.")
        return self.correct[split].double().mean(1).numpy()

    @property
    def by_sparsity(self) -> dict[float, list[str]]:
        """The names of the subnetworks by sparsity, in the order of `names`."""
        found: dict[float, list[str]] = {}
        for name, subnetwork in zip(self.names, self.subnetworks, strict=True):
            if subnetwork is not None:
                found.setdefault(subnetwork.sparsity, []).append(name)
        return found

    @property
    def suspicion(self) -> str:
        """A warning that the labels may be in another order than the model's ("" if there is no sign of it).

        The sign is that the full model's accuracy on validation is below `majority` with its whole interval. The
        interval is exact binomial (Clopper-Pearson) with a trial for each source, so that few examples give no warning.
        """
        if self.majority is None:
            return ""
        value, n = float(self.accuracy(VALIDATION)[0]), len(set(self.sources[VALIDATION]))
        high = float(clopper_pearson(ceil(value * n), n, self.level).high)
        if high >= self.majority:
            return ""
        return (
            f"The full model answers {value:.1%} of {VALIDATION} correctly (at most {high:.1%} by its "
            f"{self.level:.0%} interval), but always giving the most frequent label would reach {self.majority:.1%}. "
            "This suggests a wrong label order: compare model.labels and the labels of the data with what each "
            "stands for."
        )

    @cached_property
    def _long(self) -> pd.DataFrame:
        rows = []
        for split, right in self.correct.items():
            rows += self._rows(split, "accuracy", right.double().numpy().T)
            for name, values in self.by_words.get(split, {}).items():
                rows += self._rows(split, name, values.double().numpy().T)
            if split == VALIDATION and self.kl is not None:
                rows += self._rows(split, "kl", self.kl.double().numpy().T)
        frame = pd.DataFrame(rows)
        order = {name: row for row, name in enumerate(self.names)}
        return frame.sort_values("subnetwork", key=lambda names: names.map(order), kind="stable", ignore_index=True)

    def _rows(self, split: str, metric: str, values: Float[np.ndarray, "example subnetwork"]) -> list[dict[str, Any]]:
        sources = self.sources[split]
        means = bootstrap(values, clusters=sources, level=self.level, seed=self.seed)
        rows = []
        for name, *numbers in zip(self.names, *map(np.atleast_1d, (means.value, means.low, means.high)), strict=True):
            value, low, high = map(float, numbers)
            if metric == "accuracy" and value in (0.0, 1.0):
                n_sources = len(set(sources))
                exact = clopper_pearson(int(value) * n_sources, n_sources, self.level)
                low, high = float(exact.low), float(exact.high)
            row = {"subnetwork": name, "case": split, "metric": metric, "value": value, "low": low, "high": high}
            rows.append({**row, "n": means.n})
        return rows

    def to_frame(self, long: bool = False) -> pd.DataFrame:
        """A row per subnetwork: its sparsity, KL in nats, and its accuracy on validation and each case.

        `long=True` gives a row per subnetwork, case and metric instead: value, low, high, n. The metrics are accuracy,
        kl (on validation), and, where rows were scored by their answers, logit_diff and prob_diff. A number that was
        not measured is NaN.
        """
        if long:
            return self._long.copy()
        not_measured = np.full(len(self.names), np.nan)
        columns: dict[str, Any] = {
            "subnetwork": self.names,
            "sparsity": [0.0 if item is None else item.sparsity for item in self.subnetworks],
            VALIDATION: self.accuracy(VALIDATION) if VALIDATION in self.correct else not_measured,
            "kl": not_measured if self.kl is None else self.kl.double().mean(1).numpy(),
        }
        return pd.DataFrame(columns | {case: self.accuracy(case) for case in self.splits if case != VALIDATION})

    def scores(self) -> pd.DataFrame:
        """A row per subnetwork and heuristic: statistics that need no threshold, with their intervals.

        The columns `x x_low x_high` are of separation, pull, in_domain_auc, and recentred_right and recentred_wrong:
        the accuracies of the cases where the heuristic is right, and wrong, at a threshold refitted for each subnetwork
        (`Scores` defines them). Intervals are about new sources, verbs and nouns. Raises `DataError` where the task
        named no heuristic.
        """
        if self.heuristic_scores is None:
            raise DataError(
                "This evaluation has no scores of a heuristic. Expected a task with validation examples, cases of both "
                "kinds and what the heuristic does: Task(..., heuristic={'case': True, ...}, heuristic_label=0)."
            )
        frame = self.heuristic_scores.to_frame().rename(columns={"system": "subnetwork"})
        return frame.loc[:, ["subnetwork", "heuristic", *(f"{name}{end}" for name in SCORES for end in BOUNDS)]]

    def by_heuristic(self) -> pd.DataFrame:
        """Mean accuracy over the cases of each HANS heuristic and label: subnetwork, heuristic, label, accuracy, cases.

        Each case has the same weight. Raises `DataError` if no case has an id of HANS' form, like
        "lexical_overlap_ln_preposition".
        """
        rows = [
            {"subnetwork": name, "heuristic": parts.heuristic, "label": parts.label, "accuracy": value}
            for case in self.splits
            if (parts := case_of(case))
            for name, value in zip(self.names, self.accuracy(case), strict=True)
        ]
        if not rows:
            raise DataError(
                f"None of {', '.join(self.splits)} is a HANS case. Expected ids like 'lexical_overlap_ln_preposition'; "
                "use to_frame() for other tasks."
            )
        grouped = pd.DataFrame(rows).groupby(["subnetwork", "heuristic", "label"], sort=False)["accuracy"]
        return grouped.agg(accuracy="mean", cases="size").reset_index()

    def __repr__(self) -> str:
        sizes = sum(right.shape[1] for right in self.correct.values())
        shown = f"full model {self.accuracy(self.splits[0])[0]:.3f} on {self.splits[0]}"
        n_cases = len([split for split in self.splits if split != VALIDATION])
        return f"Evaluation({len(self.names) - 1} subnetworks, {n_cases} cases, {sizes} examples; {shown})"
