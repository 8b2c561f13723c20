"""What the probes of a run show, in words: against the word alone, and before and after paths are cut."""

from collections.abc import Mapping
from typing import Any

from hc_interp.components import Head
from hc_interp.figures.numbers import score
from hc_interp.probing.differences import METRIC_NAMES, change, gain, metric
from hc_interp.probing.probe import Probe
from hc_interp.statistics.tests import Interval

INPUTS = {"q": "queries (q)", "k": "keys (k)", "v": "values (v)"}
SOURCES = {
    "MeanActivations": "their mean activations",
    "Donors": "those in another example",
    "ContrastPairs": "those in the corrupt example",
}


def probe_words(probes: Mapping[str, Probe]) -> list[str]:
    """A paragraph for each probe, and one for what they show together."""
    clean = next((name for name, probe in probes.items() if probe.interventions == ()), None)
    words = [_one(name, probe) for name, probe in probes.items()]
    words += [_cut(name, probe.interventions) for name, probe in probes.items() if probe.interventions]
    if clean is not None:
        reference = probes[clean]
        others = {name: probe for name, probe in probes.items() if name != clean and probe.site == reference.site}
        words += [_changes(clean, reference, others)] if others else []
        found = gain(reference)
        if found is not None and not found.low > 0:
            words.append(
                f"Because the probe on {clean} activations shows no more than the word alone, neither its score nor a "
                "change of it says what travels on the paths."
            )
    return words


def _one(name: str, probe: Probe) -> str:
    main, feature = metric(probe), probe.places.feature.name
    said = (
        f"{name}: at {probe.site} a linear probe reads {feature} with {METRIC_NAMES[main]} {score(probe.scores[main])}"
    )
    found = gain(probe)
    if found is None:
        return f"{said}."
    word = probe.scores[f"word_{main}"]
    overlap = word.low <= probe.scores[main].high and probe.scores[main].low <= word.high
    return (
        f"{said}; the word alone predicts it with {score(word)} ({'the intervals overlap' if overlap else 'apart'}). "
        f"The difference is {score(found, '+')}: {_beyond(found)}."
    )


def _beyond(found: Interval) -> str:
    if found.low > 0:
        return "it reads more there than which word it is"
    if found.high < 0:
        return "it reads less there than the word alone tells"
    return "that it reads more there than which word it is was not shown"


def _changes(clean: str, reference: Probe, others: Mapping[str, Probe]) -> str:
    said = []
    for name, probe in others.items():
        found = change(probe, reference)
        if found is None:
            said.append(f"{name}: not measured on the same places, so not comparable")
            continue
        verdict = "a drop" if found.high < 0 else "a rise" if found.low > 0 else "not distinguishable from 0"
        said.append(f"{name}: {score(found, '+')}, {verdict}")
    return f"Change of {METRIC_NAMES[metric(reference)]} against {clean}, on the same places. {'; '.join(said)}."


def _cut(name: str, interventions: tuple[dict[str, Any], ...]) -> str:
    """Which senders, receivers, inputs and source a name such as "core paths cut" stands for."""
    if [item["type"] for item in interventions] != ["PatchPath"]:
        return f"“{name}” means: read under [{', '.join(item['words'] for item in interventions)}]."
    path = interventions[0]
    senders, receivers, source = path["senders"], path["receivers"], path["source"]
    inputs = "input"  # the one that an MLP and the output have
    if any(isinstance(item, Head) for item in receivers):
        inputs = ", ".join(INPUTS[letter] for letter in path["through"])
    values = SOURCES.get(source["type"], source["words"]) if isinstance(source, dict) else source
    ends = ", ".join(map(str, receivers))
    return (
        f"“{name}” means: what {'the' if len(senders) > 1 else 'the one'} sender{'s' * (len(senders) > 1)} "
        f"{', '.join(map(str, senders))} give{'s' * (len(senders) == 1)} the {inputs} of "
        f"{ends} is replaced by {values} (route {path['route']}); everything else stays clean."
    )
