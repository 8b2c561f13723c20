"""What a verdict says in words: never more than its numbers."""

from typing import TYPE_CHECKING

from hc_interp.analysis.decision import REASONS

if TYPE_CHECKING:
    from hc_interp.analysis.verdict import KindRecord, Verdict

SMALL_CONTROLS = 0.8  # size controls with less than this share of the core's |dz| are called small


def verdict_sentence(verdict: "Verdict") -> str:
    """One or two sentences."""
    if verdict.answer == "inconclusive":
        return _inconclusive(verdict)
    record = verdict.records[verdict.kinds[0]]
    moved = (
        f"On {_kinds(verdict)} pairs, giving the {_heads(len(verdict.core), 'core')} their corrupt values moves what "
        f"the {_heads(len(verdict.generalizing), 'generalizing')} do to the {verdict.settings['metric']} by "
        f"{_share(record)} of their own effect"
    )
    if verdict.answer == "does_not_read_from":
        margin = verdict.settings["margin"]
        return (
            f"{moved}, inside the margin of ±{margin:.0%}. To that margin, the generalizing heads do not read from the "
            "core on these pairs."
        )
    via = f", {verdict.via}" if verdict.via else ""
    return f"{moved}, {_against(verdict, record)}. On these pairs the generalizing heads read from the core{via}."


def _inconclusive(verdict: "Verdict") -> str:
    numbers = "; ".join(f"{kind}: {_share(record)}" for kind, record in verdict.records.items() if not record.why)
    tail = f" Shares of the generalizing heads' own effect that the core moves: {numbers}." if numbers else ""
    return (
        f"Whether the generalizing heads read from the core stays open ({verdict.reason}): {REASONS[verdict.reason]}."
        f"{tail}"
    )


def _against(verdict: "Verdict", record: "KindRecord") -> str:
    p = verdict.p_holm[record.kind]
    smaller = record.size_ratio < SMALL_CONTROLS
    small = f", which have only {record.size_ratio:.0%} of the core's |dz|" if smaller else ""
    specific = float(record.specificity.value)
    other = "" if specific != specific else f"; the same core moves other heads by {specific:.1%}"
    return (
        f"more than relabelled cores do (p = {p:.2g}, {record.n_labellings} labellings) and than 95 % of "
        f"{len(record.size_controls)} sets of like-sized heads do ({record.size_limit:.1%}{small}){other}"
    )


def _share(record: "KindRecord") -> str:
    found = record.routes["all"]
    if found.value != found.value:
        return "an undefined share"
    return f"{found.value:.1%} (interval {found.low:.1%} to {found.high:.1%})"


def _kinds(verdict: "Verdict") -> str:
    first, *others = verdict.kinds
    counted = f"{len(verdict.records[first].ids)} {first}"
    return f"{counted} (and likewise on {', '.join(others)})" if others else counted


def _heads(n: int, role: str) -> str:
    return f"{n} {role} head{'s' if n != 1 else ''}"
