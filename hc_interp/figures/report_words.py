"""The sentences of a report, computed from its results and saying no more than they do."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hc_interp.analysis.core import HeuristicCore
from hc_interp.analysis.decision import REASONS
from hc_interp.analysis.evaluation import FULL, VALIDATION, Evaluation
from hc_interp.analysis.generalizing import GeneralizingHeads
from hc_interp.analysis.run_results import RunResults
from hc_interp.analysis.verdict import Verdict
from hc_interp.figures.probe_figure import feature_name
from hc_interp.patching.effects import PathEffects
from hc_interp.probing.probe import Probe

LISTED = 40  # heads that a sentence names before it counts the rest


def lead(run: RunResults) -> list[tuple[str, str]]:
    """The few numbers that stand on top."""
    found = []
    if run.evaluation is not None:
        found += [("full model, in domain", f"{run.evaluation.accuracy(VALIDATION)[0]:.1%}")] * _validated(
            run.evaluation
        )
        found += [("subnetworks", str(len(run.evaluation.names) - 1))]
    if run.core is not None:
        found.append(("core heads", str(len(run.core.heads))))
    if run.generalizing is not None:
        found.append(("generalizing heads", str(len(run.generalizing.heads))))
    for kind, record in run.verdict.records.items() if run.verdict else ():
        interval = record.routes["all"]
        found.append((f"T, {kind} pairs", _share(interval)))
    return found


def _validated(evaluation: Evaluation) -> bool:
    return VALIDATION in evaluation.splits


def _share(interval: Any) -> str:
    if not np.isfinite(float(interval.value)):
        return "not defined"
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _names(heads: Any) -> str:
    names = [str(head) for head in heads]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) + more) or "none"


def _range(values: np.ndarray) -> str:
    return f"{values.min():.1%}" if len(values) == 1 else f"{values.min():.1%} to {values.max():.1%}"


def evaluation_words(evaluation: Evaluation) -> list[str]:
    words = []
    splits = [split for split in evaluation.splits if split != VALIDATION]
    if _validated(evaluation):
        full, *parts = evaluation.accuracy(VALIDATION)
        also = f"; its {len(parts)} subnetworks from {_range(np.array(parts))}" if parts else ""
        words.append(f"In domain the full model answers {full:.1%} correctly{also}.")
    if splits:
        table = np.stack([evaluation.accuracy(split) for split in splits])
        means = table.mean(axis=0)
        also = f"; over subnetworks this mean runs from {_range(means[1:])}" if len(means) > 1 else ""
        words.append(
            f"Out of domain, as the mean over {len(splits)} cases, the full model reaches {means[0]:.1%}{also}."
        )
    if len(evaluation.names) > 2 and splits:
        spread = np.ptp(table[:, 1:], axis=1)
        widest = splits[int(spread.argmax())]
        words.append(
            f"Subnetworks differ most on {widest} ({_range(evaluation.accuracy(widest)[1:])}; full model "
            f"{evaluation.accuracy(widest)[evaluation.names.index(FULL)]:.1%})."
        )
    return words


def _most(core: HeuristicCore) -> str:
    return "all" if core.share == 1 else f"at least {core.share:.0%} of"


def core_words(core: HeuristicCore) -> list[str]:
    return [
        f"{len(core.heads)} heads and {len(core.mlps)} MLPs are kept by {_most(core)} {core.subnetworks} "
        f"subnetworks; random subnetworks of these sizes would share {core.size_by_chance:.2g} components.",
        f"The core's heads: {_names(core.heads)}.",
        *(f"Note: {note}." for note in core.notes),
    ]


def generalizing_words(found: GeneralizingHeads) -> list[str]:
    words = [
        f"Of {len(found.table)} heads outside the core, {len(found.heads)} pass as generalizing by the method "
        f"“{found.method}”, on data that the test below does not use: {_names(found.heads)}.",
        "That a head passes says that it carries the difference on this data, not that it alone does, nor where it "
        "gets it from.",
    ]
    if found.relay:
        words.append(f"Left out, because no core head stands upstream of them: {_names(found.relay)}.")
    return [*words, *(f"Note: {note}." for note in found.notes)]


def edge_words(edges: PathEffects) -> list[str]:
    frame: Any = edges.to_frame()
    tested = frame["q"].notna()
    dropped = f"; {edges.dropped} pairs were not aligned and dropped" if edges.dropped else ""
    return [
        f"{len(edges)} paths were patched one at a time on {len(edges.ids)} pairs (route {edges.route}{dropped}): the "
        "sender takes its corrupt value, only the named input of the receiver sees it, and the metric "
        f"({edges.metric}) is read at the output.",
        f"{int((frame['q'] < 0.05).sum())} of {int(tested.sum())} paths that can carry anything have q < 0.05. Single "
        "paths are small where heads are many: the joint test below adds them up.",
    ]


def reading_words(verdict: Verdict) -> list[str]:
    words = [verdict.sentence(), f"Reason: {verdict.reason} ({REASONS[verdict.reason]})."]
    for kind, record in verdict.records.items():
        if not record.informative:
            words.append(f"{kind.capitalize()} pairs are not informative: {record.why}.")
            continue
        words.append(
            f"{kind.capitalize()} pairs ({len(record.ids)}): necessity {_sources(record.necessity)}; sufficiency "
            f"{_sources(record.sufficiency)}."
        )
    if any(record.informative for record in verdict.records.values()):
        words.append(
            "Necessity is the part of what the generalizing heads contribute that is lost when the core is cut from "
            "them; sufficiency the part that the core alone gives them. Neither is clipped to 0-1."
        )
    if verdict.unread:
        words.append(f"Core heads that no generalizing head can read, being later: {_names(verdict.unread)}.")
    return [*words, *(f"Note: {note}." for note in verdict.notes)]


def _sources(intervals: Mapping[str, Any]) -> str:
    return ", ".join(f"{_share(interval)} ({source})" for source, interval in intervals.items()) or "not measured"


def probe_words(probes: Mapping[str, Probe]) -> list[str]:
    words = []
    for name, probe in probes.items():
        metric = "auc" if "auc" in probe.scores else "r2"
        if metric in probe.scores:
            score = probe.scores[metric]
            label = {"auc": "AUC", "r2": "R²"}[metric]
            words.append(
                f"{name}: {label} {score.value:.3f} [{score.low:.3f}, {score.high:.3f}] for {feature_name(probe)}."
            )
    return words
