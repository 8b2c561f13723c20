"""What a verdict says in words: never more than its numbers."""

import math
from typing import TYPE_CHECKING, Any

from hc_interp.analysis.decision import REASONS

if TYPE_CHECKING:
    from hc_interp.analysis.statistics import Interval
    from hc_interp.analysis.verdict import KindRecord, Verdict

SMALL_CONTROLS = 0.8  # size controls with less than this share of the core's |dz| are called small


def verdict_sentence(verdict: "Verdict") -> str:
    """The answer and its reason; the numbers of every informative kind; the kinds that could not tell."""
    said = [_answer(verdict)]
    told = [_numbers(verdict, record) for record in verdict.records.values() if record.informative]
    if told:
        said.append(
            f"Change of the {verdict.settings['metric']} when the generalizing heads see corrupt outputs of the core "
            "heads, as a share of that when they are corrupted outright "
            f"[{100 * verdict.settings['level']:g} % interval]: {'; '.join(told)}."
        )
    silent = [f"{kind} ({record.why})" for kind, record in verdict.records.items() if not record.informative]
    if silent:
        said.append(f"Pairs that cannot tell: {'; '.join(silent)}.")
    return " ".join(said)


def _answer(verdict: "Verdict") -> str:
    reason, kinds = REASONS[verdict.reason], " and ".join(verdict.kinds)
    heads, core = f"the generalizing heads ({len(verdict.generalizing)})", f"the core heads ({len(verdict.core)})"
    if verdict.answer == "reads_from":
        via = f" {'directly' if verdict.via == 'direct' else verdict.via}" if verdict.via else ""
        return f"On {kinds} pairs {heads} read from {core}{via}: {reason}."
    if verdict.answer == "does_not_read_from":
        margin = f"±{100 * verdict.settings['margin']:g} %"
        return f"On {kinds} pairs {heads} do not read from {core}, to a margin of {margin}: {reason}."
    return f"Whether {heads} read from {core} stays open ({verdict.reason}): {reason}."


def _numbers(verdict: "Verdict", record: "KindRecord") -> str:
    labellings = f"p = {record.p:.2g}, Holm p = {verdict.p_holm[record.kind]:.2g}, {record.n_labellings} labellings"
    said = [f"{len(record.ids)} {record.kind} pairs {_share(record.routes['all'])} ({labellings})", _limit(record)]
    if record.specificity_heads:
        said.append(f"for heads that are neither core nor generalizing: {_share(record.specificity)}")
    return ", ".join(said)


def _limit(record: "KindRecord") -> str:
    if math.isnan(record.size_limit):
        return "no sets of like-sized heads"
    ratio = f"{100 * record.size_ratio:.0f} %"
    small = f", scaled up from {ratio} of the core's |dz|" if record.size_ratio < SMALL_CONTROLS else ""
    sets = f"{len(record.size_controls)} sets of like-sized heads"
    return f"95th percentile of {sets}: {_percent(record.size_limit)} %{small}"


def _share(found: "Interval") -> str:
    if math.isnan(float(found.value)):
        return "undefined"
    return f"{_percent(found.value)} % [{_percent(found.low)}, {_percent(found.high)}]"


def _percent(share: Any) -> str:
    text = f"{100 * float(share):.1f}"
    return "0.0" if text == "-0.0" else text
