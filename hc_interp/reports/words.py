"""The sentences of a report. They are computed from its results and claim no more than these show."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from hc_interp.components import Head
from hc_interp.evaluation.result import VALIDATION, WHOLE, Evaluation
from hc_interp.figures.numbers import percent, share, span
from hc_interp.heads.core import HeuristicCore
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.patching.effects import PathEffects
from hc_interp.probing.probe import Probe
from hc_interp.reading.premise_result import Premises
from hc_interp.reading.records import DirectionRecord
from hc_interp.reading.sentences import DIRECTION_WORDS, parts_text
from hc_interp.reading.verdict import Verdict
from hc_interp.reports.probe_words import probe_words
from hc_interp.runs.results import RunResults

MAX_NAMED = 40  # a sentence names so many heads and counts the others


def about(run: RunResults) -> str:
    """The model, task, case and pairs of a run, and its date, as far as they are recorded."""
    manifest = run.manifest
    parts = (run.verdict, run.paths, run.evaluation, run.search, run.generalizing, *run.probes.values())
    models = [part.provenance.get("model_name") for part in parts if part is not None]
    model = _entry(manifest, "model", "name") or next(filter(None, models), "")
    task = _entry(manifest, "data", "task") or _entry(manifest, "arguments", "task")
    facts = [" on ".join(filter(None, (f"Model {model}" if model else "", f"task {task}" if task else "")))]
    kinds: Any = manifest.get("pairs")
    kinds = kinds if isinstance(kinds, Mapping) else {}
    for case in dict.fromkeys(item["case"] for item in kinds.values()):
        counts = [f"{item['n']} {kind}" for kind, item in kinds.items() if item["case"] == case]
        facts.append(f"tested on {' and '.join(counts)} pairs of {case}")
    date = next((str(manifest[name]) for name in ("date", "started", "finished") if manifest.get(name)), "")
    facts.append(f"run on {date}" if date else "")
    return "; ".join(filter(None, facts))


def _entry(manifest: Mapping[str, Any], group: str, name: str) -> str:
    record = manifest.get(group)
    return str(record.get(name) or "") if isinstance(record, Mapping) else ""


def lead(run: RunResults, tested: bool = True) -> list[tuple[str, str]]:
    """The main numbers of a run, as (name, value), for the top of the report; those of the verdict only if `tested`."""
    numbers = []
    if run.evaluation is not None:
        if VALIDATION in run.evaluation.splits:
            numbers.append(("full model, in domain", percent(run.evaluation.accuracy(VALIDATION)[0])))
        numbers.append(("subnetworks", str(len(run.evaluation.names) - 1)))
    if run.core is not None:
        below = "" if run.verdict is None else f" ({len(run.verdict.core)} of them below a generalizing head)"
        numbers.append(("core heads, in all subnetworks", f"{len(run.core.heads)}{below}"))
    if run.generalizing is not None:
        numbers.append(("generalizing heads", str(len(run.generalizing.heads))))
    for kind, record in () if run.verdict is None or not tested else run.verdict.records.items():
        numbers += [
            (f"T, {kind} pairs, {DIRECTION_WORDS[way]}", share(found.T)) for way, found in record.directions.items()
        ]
    return numbers


def _names(heads: Iterable[Head | str]) -> str:
    names = [str(head) for head in heads]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return (", ".join(names[:MAX_NAMED]) + more) or "none"


def evaluation_words(evaluation: Evaluation) -> list[str]:
    words, whole, sets = [], WHOLE[evaluation.names[0]], _by_sparsity(evaluation)
    splits = [split for split in evaluation.splits if split != VALIDATION]
    if VALIDATION in evaluation.splits:
        values = evaluation.accuracy(VALIDATION)
        also = [f"its {len(rows)} subnetworks{at} answer {span(values[rows])} correctly" for at, rows in sets.items()]
        words.append(
            "; ".join([f"In domain the {whole} answers {percent(values[0])} of the examples correctly", *also])
        )
        words[-1] += "."
        words += [f"Warning: {evaluation.suspicion}"] * bool(evaluation.suspicion)
    if splits:
        table = np.stack([evaluation.accuracy(split) for split in splits])
        means = table.mean(axis=0)
        also = [f"for its subnetworks{at} this mean is {span(means[rows])}" for at, rows in sets.items()]
        words.append(
            "; ".join([f"The mean accuracy of the {whole} over {len(splits)} cases is {percent(means[0])}", *also])
            + "."
        )
        for at, rows in sets.items():
            if len(rows) > 1:
                widest = int(np.ptp(table[:, rows], axis=1).argmax())
                words.append(
                    f"Subnetworks{at} differ most on {splits[widest]} ({span(table[widest, rows])}; {whole} "
                    f"{percent(table[widest, 0])})."
                )
    return words


def _by_sparsity(evaluation: Evaluation) -> dict[str, list[int]]:
    """The rows of the subnetworks, by words for their sparsity ("" where all have the same)."""
    several = len(evaluation.by_sparsity) > 1
    return {
        f" at {percent(sparsity, 0)} sparsity" * several: [evaluation.names.index(name) for name in names]
        for sparsity, names in evaluation.by_sparsity.items()
    }


def _most(core: HeuristicCore) -> str:
    return "all" if core.share == 1 else f"at least {percent(core.share, 0)} of"


def core_words(core: HeuristicCore) -> list[str]:
    return [
        f"{len(core.heads)} heads and {len(core.mlps)} MLPs are kept by {_most(core)} {core.subnetworks} "
        f"subnetworks; random subnetworks of these sizes would share {core.size_by_chance:.2g} components.",
        f"The core's heads: {_names(core.heads)}.",
        *(f"Note: {note}." for note in core.notes),
    ]


def premise_words(premises: Premises) -> list[str]:
    """The answers in one sentence, the reasons of each, and what the score is."""
    reasons = [
        f"{name.replace('_', ' ').capitalize()}: {answer}; {'; '.join(premises.reasons[name])}."
        for name, answer in premises.answers.items()
    ]
    return [
        premises.sentence(),
        "All numbers are of the score s, the log odds of the heuristic's answer, without a threshold: accuracies also "
        "change when an intervention shifts all answers alike.",
        *reasons,
        *(f"Note: {note}." for note in premises.notes),
    ]


def generalizing_words(generalizing: GeneralizingHeads) -> list[str]:
    words = [
        f"Of {len(generalizing.table)} heads outside the core, {len(generalizing.heads)} pass as generalizing by the "
        f"method “{generalizing.method}”, on data that the test below does not use: {_names(generalizing.heads)}.",
        "A head that passes carries generalization on this data. This does not show that no other head does, or which "
        "heads it reads from.",
    ]
    if "carries_answer" in generalizing.table and not generalizing.unscreened:
        refused = generalizing.table.loc[generalizing.table["carries_answer"], "head"]
        words.append(
            "Each has a larger share of the effect of these pairs than of the effect of a replaced word that takes the "
            f"heuristic's answer away. Heads that fail only this, and may carry the answer alone: {_names(refused)}."
        )
    if generalizing.relay:
        words.append(f"Heads left out, because no core head is upstream of them: {_names(generalizing.relay)}.")
    return [*words, *(f"Note: {note}." for note in generalizing.notes)]


def edge_words(edges: PathEffects) -> list[str]:
    frame: Any = edges.to_frame()
    tested = frame["q"].notna()
    idle = len(frame) - int(tested.sum())
    out = f" For {idle} of them the receiver is not downstream of the sender, so their effect is 0." if idle else ""
    dropped = f"; {edges.dropped} pairs were dropped, because their sides are not aligned" if edges.dropped else ""
    return [
        f"{len(edges)} paths were patched one at a time on {len(edges.ids)} pairs (route {edges.route}{dropped}). For "
        "each path, the sender takes its corrupt value, the named input of the receiver is computed from it, and the "
        f"effect is the change of the metric ({edges.metric}) at the output.{out}",
        f"{int((frame['q'] < 0.05).sum())} of the {int(tested.sum())} paths that can have an effect have a q value "
        "(Benjamini-Hochberg) below 0.05. If many heads share the work, the effect of each single path is small; the "
        "test below patches the paths from all core heads together.",
    ]


def reading_words(verdict: Verdict) -> list[str]:
    words = [verdict.sentence()]
    for kind, record in verdict.records.items():
        if not record.informative:
            words.append(f"{kind.capitalize()} pairs are not informative: {record.why}.")
            continue
        words += [_direction_words(kind, DIRECTION_WORDS[way], found) for way, found in record.directions.items()]
    if any(record.informative for record in verdict.records.values()):
        words.append(
            "Necessity is the share of the generalizing heads' contribution that is lost if their inputs from the core "
            "are replaced; sufficiency is the share that remains if all their inputs except the core's are replaced. "
            "In brackets is the source of the replacement. Both may be below 0 or above 1."
        )
    if verdict.unread:
        words.append(f"Core heads that are not upstream of any generalizing head: {_names(verdict.unread)}.")
    return [*words, *(f"Note: {note}." for note in verdict.notes)]


def _direction_words(kind: str, way: str, found: DirectionRecord) -> str:
    specific = found.specificity["all"]
    compared = [str(head) for head, mine in zip(specific.heads, specific.is_G, strict=True) if not mine]
    others = f"other heads of their layers ({len(compared)})" if compared else "no other heads"
    parts = parts_text(found)
    return (
        f"{kind.capitalize()} pairs, {way} ({len(found.ids)}): T {share(found.T)}{f' ({parts})' if parts else ''}, "
        f"p = {found.p:.2g}; the generalizing heads respond to the core by {share(specific.R_G)}, {others} by "
        f"{share(specific.R_O)}, so S is {share(specific.S)} (p of D = {specific.p_D:.2g}); as many heads of largest "
        f"effect reach T = {percent(found.important_T)}; necessity {_sources(found.necessity)}; sufficiency "
        f"{_sources(found.sufficiency)}."
    )


def _sources(intervals: Mapping[str, Any]) -> str:
    return ", ".join(f"{share(interval)} ({source})" for source, interval in intervals.items()) or "not measured"


# For a section of the report: the kind of result that it is about, and the function that writes its sentences.
SENTENCES: dict[str, tuple[type, Callable[[Any], list[str]]]] = {
    "premises": (Premises, premise_words),
    "accuracy": (Evaluation, evaluation_words),
    "heuristic-core": (HeuristicCore, core_words),
    "generalizing": (GeneralizingHeads, generalizing_words),
    "paths-between": (PathEffects, edge_words),
    "reads-from": (Verdict, reading_words),
    "what-travels": (Probe, probe_words),
}


def section_words(run: RunResults) -> dict[str, list[str]]:
    """The sentences of each section whose result the run has."""
    parts = {section: run.get(kind) for section, (kind, _) in SENTENCES.items()}
    return {section: SENTENCES[section][1](part) for section, part in parts.items() if part is not None}
