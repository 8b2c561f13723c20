"""`Premises`: whether a verdict's premises hold, with every number behind it, and a sentence in words."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hc_interp.components import Component, Head
from hc_interp.evaluation.scores import Scores
from hc_interp.heads.sets import Heads
from hc_interp.reading.premise_rules import PREMISES, Answer, said
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval

FULL, CORE, CORE_AND_HEADS, WITHOUT_HEADS = MODELS = ("full", "core", "core_and_heads", "without_heads")


@dataclass(frozen=True, eq=False)
class Premises(Result):
    """Three premises of the claim that generalizing heads read from a heuristic core.

    Each of `model_generalizes`, `core_is_heuristic` and `heads_generalize` is "holds", "fails", "open" or "not
    checked". `reasons` says why, by premise. `by` is the signal of generalization that decides about core and heads:
    "order_sensitivity", or "case_sensitivity" where the cases have no order pairs. `numbers` are the decisive numbers
    with their intervals: separation, auc, pull, signal (of the full model and of the core alone), loss and gain (shares
    of the full model's signal), and `loss_excess`, `gain_excess` over the comparison sets by kind.

    `scores` are the scores s of the four systems: the full model, the core alone, the core and the heads, and all but
    the heads. `set_scores` are, on fewer rows, those of the same systems and of the comparison sets (`sets`, by kind).
    `donor_scores` are those of the last three systems where donors replace what is removed (None: not measured).

    The premises hold for these cases and pairs, this source of replaced values, and this heuristic. They do not show
    what the heads compute, or what they read.
    """

    heuristic: str
    by: str
    model_generalizes: Answer
    core_is_heuristic: Answer
    heads_generalize: Answer
    reasons: dict[str, tuple[str, ...]]
    numbers: dict[str, Interval]
    core: tuple[Component, ...]
    generalizing: tuple[Head, ...]
    sets: dict[str, tuple[Heads, ...]]
    scores: Scores
    set_scores: Scores
    donor_scores: Scores | None = None
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> dict[str, Answer]:
        """The three answers by premise."""
        return {name: getattr(self, name) for name in PREMISES}

    def to_frame(self) -> pd.DataFrame:
        """A row per system: `system kind change heads n_heads`, and every statistic with its interval.

        `kind` is "model" (the four systems), "donors" (the same under donors), "within layers" or "disjoint" (the
        comparison sets). Of a set, `change` is "loss" (the heads are removed from the full model) or "gain" (they are
        added to the core). The statistics are those of `Scores.to_frame`.
        """
        parts = [self.scores.to_frame().assign(kind="model")]
        if self.donor_scores is not None:
            parts.append(self.donor_scores.to_frame().assign(kind="donors"))
        parts.append(self.set_frame)
        frame = pd.concat(parts, ignore_index=True)
        heads = {CORE_AND_HEADS: self.generalizing, WITHOUT_HEADS: self.generalizing} | self._heads_of_sets()
        named = [heads.get(name.split("/")[0], ()) for name in frame["system"]]
        frame.insert(1, "kind", frame.pop("kind"))
        frame.insert(2, "change", [_change(name) for name in frame["system"]])
        frame.insert(3, "heads", [" ".join(map(str, item)) for item in named])
        frame.insert(4, "n_heads", [len(item) for item in named])
        return frame

    @property
    def set_frame(self) -> pd.DataFrame:
        """The rows of the comparison sets, with `kind`."""
        frame = self.set_scores.to_frame()
        kinds = [set_kind(name) for name in frame["system"]]
        return frame.assign(kind=kinds).loc[[kind != "" for kind in kinds]]

    def _heads_of_sets(self) -> dict[str, Heads]:
        return {
            set_name(change, kind, i): heads
            for kind, sets in self.sets.items()
            for i, heads in enumerate(sets)
            for change in ("loss", "gain")
        }

    def sentence(self) -> str:
        """What holds and what does not, with the numbers."""
        signal = self.by.replace("_", " ")
        name = self.heuristic.replace("_", " ")
        core, full = (float(self.numbers[f"signal_{name}"].value) for name in ("core", "full"))
        share = core / full if full else np.nan
        pull = f", pull {self.numbers['pull'].value:.2f}" if "pull" in self.numbers else ""
        n = len(self.generalizing)
        carry, carry_not, heads = (
            ("carries", "does not carry", "the one generalizing head")
            if n == 1
            else ("carry", "do not carry", f"the {n} generalizing heads")
        )
        first = _clause(
            self.model_generalizes, "the model generalizes", "the model does not generalize",
            f"separation {said(self.numbers['separation'])}",
        )  # fmt: skip
        second = _clause(
            self.core_is_heuristic, "the core alone follows the heuristic", "the core alone is not a heuristic core",
            f"in-domain AUC {self.numbers['auc_core'].value:.2f}, {self.numbers['auc_full'].value:.2f} in the full "
            f"model{pull}, "
            f"{_percent(share)} of the full model's {signal}",
        )  # fmt: skip
        words = f"On {name}, {first}; {second}"
        if self.heads_generalize == "not checked":
            return f"{words}; there are no generalizing heads to check."
        third = _clause(
            self.heads_generalize, f"{heads} {carry} generalization", f"{heads} {carry_not} generalization",
            f"{_percent(self.numbers['loss'].value)} of it is lost without them, "
            f"{_percent(self.numbers['gain'].value)} comes back when the core gets them",
        )  # fmt: skip
        why = f" ({self.reasons['heads_generalize'][-1]})" if self.heads_generalize == "open" else ""
        return f"{words}; {third}{why}."

    def __repr__(self) -> str:
        answers = ", ".join(f"{name.replace('_', ' ')}: {answer}" for name, answer in self.answers.items())
        return f"Premises({self.heuristic}; {answers}; by {self.by.replace('_', ' ')})"

    def _repr_html_(self) -> str:
        rows = self.to_frame().query("kind in ('model', 'donors')")
        table = rows.to_html(float_format="%.3g", index=False)
        return f"<p><b>{self!r}</b></p><p>{self.sentence()}</p>{table}"


def set_name(change: str, kind: str, number: int) -> str:
    """The name of a system made of a comparison set, like "without within layers 3"."""
    return f"{'without' if change == 'loss' else 'core_and'} {kind} {number}"


def set_kind(system: str) -> str:
    """The kind of comparison set in a system's name; "" for the four systems of the model."""
    return system.split(" ", 1)[1].rsplit(" ", 1)[0] if " " in system else ""


def _change(system: str) -> str:
    if not set_kind(system):
        return ""
    return "loss" if system.startswith("without ") else "gain"


def _clause(answer: Answer, holds: str, fails: str, numbers: str) -> str:
    words = {"holds": holds, "fails": fails}.get(answer, f"it stays open whether {holds}")
    return f"{words} ({numbers})"


def _percent(value: Any) -> str:
    return f"{round(100 * float(value))} %" if np.isfinite(float(value)) else "an undefined share"
