"""What a verdict says in words: never more than its numbers."""

from typing import TYPE_CHECKING, Any

from hc_interp.analysis.decision import REASONS

if TYPE_CHECKING:
    from hc_interp.analysis.verdict import KindRecord, Verdict

SMALL_CONTROLS = 0.8  # size controls with less than this share of the core's |dz| are called small


def verdict_sentence(verdict: "Verdict") -> str:
    """One or two sentences."""
    if verdict.answer == "inconclusive":
        return _inconclusive(verdict)
    record = verdict.records[verdict.kinds[0]]
    seen = (
        f"On {_kinds(verdict)} pairs, letting the generalizing heads ({len(verdict.generalizing)}) see corrupt outputs "
        f"of the core heads ({len(verdict.core)}) changes the {verdict.settings['metric']} by "
        f"{_share(verdict, record)} of what corrupting the generalizing heads outright does"
    )
    if verdict.answer == "does_not_read_from":
        margin = verdict.settings["margin"]
        return (
            f"{seen}, inside the margin of ±{margin:.0%}. To that margin, the generalizing heads do not read from the "
            "core on these pairs."
        )
    via = f" ({verdict.via})" if verdict.via else ""
    return f"{seen}, {_against(verdict, record)}. On these pairs the generalizing heads read from the core{via}."


def _inconclusive(verdict: "Verdict") -> str:
    told = [f"{kind} {_share(verdict, record)}" for kind, record in verdict.records.items() if not record.why]
    why = [f"{kind}: {record.why}" for kind, record in verdict.records.items() if record.why]
    said = f"Whether the generalizing heads read from the core stays open ({verdict.reason}): {REASONS[verdict.reason]}"
    said += f" ({'; '.join(why)})." if why and not told else "."
    if not told:
        return said
    return f"{said} Share of the generalizing heads' own effect that arrives from the core: {'; '.join(told)}."


def _against(verdict: "Verdict", record: "KindRecord") -> str:
    p = verdict.p_holm[record.kind]
    small = f", scaled up from {record.size_ratio:.0%} of the core's |dz|" if record.size_ratio < SMALL_CONTROLS else ""
    specific = float(record.specificity.value)
    other = "" if specific != specific else f"; for other heads of these layers it is {_percent(specific)}"
    return (
        f"more than relabelled cores do (p = {p:.2g}, {record.n_labellings} labellings) and than 95 % of "
        f"{len(record.size_controls)} sets of like-sized heads do ({_percent(record.size_limit)}{small}){other}"
    )


def _share(verdict: "Verdict", record: "KindRecord") -> str:
    found = record.routes["all"]
    if found.value != found.value:
        return "an undefined share"
    level = f"{100 * verdict.settings['level']:g} % interval"
    return f"{_percent(found.value)} ({level} {_percent(found.low)} to {_percent(found.high)})"


def _percent(share: Any) -> str:
    text = f"{float(share):.1%}"
    return "0.0%" if text == "-0.0%" else text


def _kinds(verdict: "Verdict") -> str:
    first, *others = verdict.kinds
    counted = f"{len(verdict.records[first].ids)} {first}"
    return f"{counted} (and likewise on {', '.join(others)})" if others else counted
