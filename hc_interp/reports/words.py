"""The sentences of a report, computed from its results and saying no more than they do."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hc_interp.evaluation.result import VALIDATION, WHOLE, Evaluation
from hc_interp.figures.numbers import percent, share, span
from hc_interp.heads.core import HeuristicCore
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.patching.effects import PathEffects
from hc_interp.probing.probe import Probe
from hc_interp.reading.verdict import Verdict
from hc_interp.reports.probe_words import probe_words
from hc_interp.runs.results import RunResults

LISTED = 40  # heads that a sentence names before it counts the rest


def about(run: RunResults) -> str:
    """Which model, task, case and pairs a page is about, and when it was run, as far as the run says so."""
    manifest = run.manifest
    parts = (run.verdict, run.paths, run.evaluation, run.search, run.generalizing, *run.probes.values())
    named = [part.provenance.get("model_name") for part in parts if part is not None]
    model = _entry(manifest, "model", "name") or next(filter(None, named), "")
    task = _entry(manifest, "data", "task") or _entry(manifest, "arguments", "task")
    said = [" on ".join(filter(None, (f"Model {model}" if model else "", f"task {task}" if task else "")))]
    kinds: Any = manifest.get("pairs")
    kinds = kinds if isinstance(kinds, Mapping) else {}
    for case in dict.fromkeys(item["case"] for item in kinds.values()):
        counts = [f"{item['n']} {kind}" for kind, item in kinds.items() if item["case"] == case]
        said.append(f"tested on {' and '.join(counts)} pairs of {case}")
    date = next((str(manifest[name]) for name in ("date", "started", "finished") if manifest.get(name)), "")
    said.append(f"run on {date}" if date else "")
    return "; ".join(filter(None, said))


def _entry(manifest: Mapping[str, Any], group: str, name: str) -> str:
    found = manifest.get(group)
    return str(found.get(name) or "") if isinstance(found, Mapping) else ""


def lead(run: RunResults) -> list[tuple[str, str]]:
    """The few numbers that stand on top."""
    found = []
    if run.evaluation is not None:
        found += [("full model, in domain", percent(run.evaluation.accuracy(VALIDATION)[0]))] * _validated(
            run.evaluation
        )
        found += [("subnetworks", str(len(run.evaluation.names) - 1))]
    if run.core is not None:
        found.append(("core heads", str(len(run.core.heads))))
    if run.generalizing is not None:
        found.append(("generalizing heads", str(len(run.generalizing.heads))))
    for kind, record in run.verdict.records.items() if run.verdict else ():
        interval = record.routes["all"]
        found.append((f"T, {kind} pairs", share(interval)))
    return found


def _validated(evaluation: Evaluation) -> bool:
    return VALIDATION in evaluation.splits


def _names(heads: Any) -> str:
    names = [str(head) for head in heads]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) + more) or "none"


def evaluation_words(evaluation: Evaluation) -> list[str]:
    words, whole = [], WHOLE[evaluation.names[0]]
    splits = [split for split in evaluation.splits if split != VALIDATION]
    if _validated(evaluation):
        full, *parts = evaluation.accuracy(VALIDATION)
        also = f"; its {len(parts)} subnetworks from {span(np.array(parts))}" if parts else ""
        words.append(f"In domain the {whole} answers {percent(full)} correctly{also}.")
        words += [f"Warning: {evaluation.suspicion}"] * bool(evaluation.suspicion)
    if splits:
        table = np.stack([evaluation.accuracy(split) for split in splits])
        means = table.mean(axis=0)
        also = f"; over subnetworks this mean runs from {span(means[1:])}" if len(means) > 1 else ""
        words.append(
            f"Out of domain, as the mean over {len(splits)} cases, the {whole} reaches {percent(means[0])}{also}."
        )
    if len(evaluation.names) > 2 and splits:
        spread = np.ptp(table[:, 1:], axis=1)
        widest = splits[int(spread.argmax())]
        words.append(
            f"Subnetworks differ most on {widest} ({span(evaluation.accuracy(widest)[1:])}; {whole} "
            f"{percent(evaluation.accuracy(widest)[0])})."
        )
    return words


def _most(core: HeuristicCore) -> str:
    return "all" if core.share == 1 else f"at least {percent(core.share, 0)} of"


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
    idle = len(frame) - int(tested.sum())
    out = (
        f" {idle} of them lead nowhere (the receiver is not downstream of the sender) and have effect 0."
        if idle
        else ""
    )
    dropped = f"; {edges.dropped} pairs were not aligned and dropped" if edges.dropped else ""
    return [
        f"{len(edges)} paths were patched one at a time on {len(edges.ids)} pairs (route {edges.route}{dropped}): the "
        "sender takes its corrupt value, only the named input of the receiver sees it, and the metric "
        f"({edges.metric}) is read at the output.{out}",
        f"{int((frame['q'] < 0.05).sum())} of the {int(tested.sum())} paths that can carry anything have q < 0.05. "
        "Single paths are small where heads are many: the joint test below adds them up.",
    ]


def reading_words(verdict: Verdict) -> list[str]:
    words = [verdict.sentence()]
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
    return ", ".join(f"{share(interval)} ({source})" for source, interval in intervals.items()) or "not measured"


# The sentences of a section of the report, by the section's name and the kind of part that they describe.
WORDS: dict[str, tuple[type, Callable[[Any], list[str]]]] = {
    "accuracy": (Evaluation, evaluation_words),
    "heuristic-core": (HeuristicCore, core_words),
    "generalizing": (GeneralizingHeads, generalizing_words),
    "paths-between": (PathEffects, edge_words),
    "reads-from": (Verdict, reading_words),
    "what-travels": (Probe, probe_words),
}


def section_words(run: RunResults) -> dict[str, list[str]]:
    """The sentences of each section of which the run has the part."""
    parts = {section: run.get(kind) for section, (kind, _) in WORDS.items()}
    return {section: WORDS[section][1](part) for section, part in parts.items() if part is not None}
