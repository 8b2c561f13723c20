"""The question and the answer at the top of a report, in two sentences that claim no more than the verdict does."""

import numpy as np

from hc_interp.figures.numbers import percent, share
from hc_interp.reading.decision import REASONS
from hc_interp.reading.verdict import Verdict


def question(verdict: Verdict) -> str:
    """The question, with the numbers of heads that it is about."""
    if not (verdict.generalizing and verdict.core):
        return "Do the generalizing heads read from the heuristic core?"
    heads, core = _counted(len(verdict.generalizing), "generalizing head"), _counted(len(verdict.core), "head")
    return f"Do the {heads} read from the {core} of the heuristic core below them?"


def answer(verdict: Verdict) -> str:
    """Yes, no or open, with the share that decided it and a remark if other heads read as much from the core."""
    if verdict.answer == "inconclusive":
        return f"The question stays open: {REASONS[verdict.reason]}."
    shares = [f"{share(verdict.records[kind].routes['all'])} on {kind} pairs" for kind in verdict.kinds]
    come = f"of their effect, {' and '.join(shares)} comes from the core"
    others = [kind for kind in verdict.records if kind not in verdict.kinds]
    also = f"; {' and '.join(others)} pairs do not show it" if others else ""
    if verdict.answer == "does_not_read_from":
        return f"No, within a margin of {percent(verdict.settings['margin'], 0)}: {come}{also}."
    via = {"direct": " directly", "": ""}.get(verdict.via, f" {verdict.via}")
    return f"Yes,{via or ' they do'}: {come}{also}{_not_special(verdict)}."


def _not_special(verdict: Verdict) -> str:
    """The share of other heads' effect that comes from the core, if it is not clearly smaller; else ""."""
    shares = []
    for kind in verdict.kinds:
        record = verdict.records[kind]
        other, generalizing = record.specificity, record.routes["all"]
        if np.isfinite(float(other.value)) and float(other.high) >= float(generalizing.low):
            shares.append(f"{share(other)} on {kind} pairs")
    if not shares:
        return ""
    return f"; yet this is not special to them: of the effect of other heads, {' and '.join(shares)} does, too"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
