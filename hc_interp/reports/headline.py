"""The question and the answer at the top of a report, in two sentences that claim no more than the verdict does."""

from hc_interp.reading.verdict import Verdict


def question(verdict: Verdict) -> str:
    """The question, with the numbers of heads that it is about."""
    if not (verdict.generalizing and verdict.core):
        return "Do the generalizing heads read from the heuristic core?"
    heads, core = _counted(len(verdict.generalizing), "generalizing head"), _counted(len(verdict.core), "head")
    return f"Do the {heads} read from the {core} of the heuristic core below them?"


def answer(verdict: Verdict) -> str:
    """The verdict's sentence."""
    return verdict.sentence()


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
