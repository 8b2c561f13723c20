"""The question and the answer of a run in two sentences, which say no more than the verdict does."""

import numpy as np

from hc_interp.figures.numbers import percent, share
from hc_interp.reading.decision import REASONS
from hc_interp.reading.verdict import KindRecord, Verdict


def question(verdict: Verdict) -> str:
    """What was asked of which heads."""
    if not (verdict.generalizing and verdict.core):
        return "Do the generalizing heads read from the heuristic core?"
    heads, core = _counted(len(verdict.generalizing), "generalizing head"), _counted(len(verdict.core), "head")
    return f"Do the {heads} read from the {core} of the heuristic core below them?"


def answer(verdict: Verdict) -> str:
    """Yes, no or open; with the number that decided, and whether it is special to these heads."""
    if verdict.answer == "inconclusive":
        return f"This stays open: {REASONS[verdict.reason]}."
    told = [f"{_read(record)} on {kind} pairs" for kind in verdict.kinds for record in [verdict.records[kind]]]
    silent = [kind for kind in verdict.records if kind not in verdict.kinds]
    also = f"; {' and '.join(silent)} pairs do not show it" if silent else ""
    if verdict.answer == "does_not_read_from":
        margin = percent(verdict.settings["margin"], 0)
        return f"No, to a margin of {margin}: of what they do, {' and '.join(told)} arrives from the core{also}."
    via = {"direct": " directly", "": ""}.get(verdict.via, f" {verdict.via}")
    come = f"of what they do, {' and '.join(told)} arrives from the core"
    return f"Yes,{via or ' they do'}: {come}{also}{_special(verdict)}."


def _read(record: KindRecord) -> str:
    return share(record.routes["all"])


def _special(verdict: Verdict) -> str:
    """What other heads read, where that is not clearly less."""
    said = []
    for kind in verdict.kinds:
        record = verdict.records[kind]
        other, own = record.specificity, record.routes["all"]
        if np.isfinite(float(other.value)) and float(other.high) >= float(own.low):
            said.append(f"{share(other)} on {kind} pairs")
    return f"; yet this is not special to them: of what other heads do, {' and '.join(said)} does, too" if said else ""


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
