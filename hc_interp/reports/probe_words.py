"""What the probes of a run show, in words: against the word alone, and before and after paths are cut."""

import re
from collections.abc import Mapping

from hc_interp.figures.numbers import score
from hc_interp.probing.differences import WORDS, change, gain, metric
from hc_interp.probing.probe import Probe
from hc_interp.statistics.tests import Interval

# How `PatchPath` stands in a probe's recorded settings.
PATH = re.compile(
    r"PatchPath\(senders=\(?(?P<senders>[^()]*?),?\)?, receivers=\(?(?P<receivers>[^()]*?),?\)?, "
    r"through=\((?P<through>[^()]*)\), source=(?P<source>.*), route='(?P<route>\w+)'\)"
)
INPUTS = {"q": "queries (q)", "k": "keys (k)", "v": "values (v)"}
SOURCES = {
    "MeanActivations": "their mean activations",
    "Donors": "those in another example",
    "ContrastPairs": "those in the corrupt example",
    "0": "0",
}


def probe_words(probes: Mapping[str, Probe]) -> list[str]:
    """A paragraph for each probe, and one for what they show together."""
    clean = next((name for name, probe in probes.items() if _edits(probe) == "[]"), None)
    words = [_one(name, probe) for name, probe in probes.items()]
    words += [_cut(name, probe) for name, probe in probes.items() if name != clean and _edits(probe)]
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


def _edits(probe: Probe) -> str:
    """The interventions that a probe's activations were read under, as its settings record them."""
    return str(probe.provenance.get("settings", {}).get("interventions", ""))


def _one(name: str, probe: Probe) -> str:
    main, feature = metric(probe), probe.places.feature.name
    said = f"{name}: at {probe.site} a linear probe reads {feature} with {WORDS[main]} {score(probe.scores[main])}"
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
    return f"Change of {WORDS[metric(reference)]} against {clean}, on the same places. {'; '.join(said)}."


def _cut(name: str, probe: Probe) -> str:
    """Which senders, receivers, inputs and source a name such as "core paths cut" stands for."""
    edits = _edits(probe)
    match = PATH.fullmatch(edits.removeprefix("[").removesuffix("]"))
    if match is None or "PatchPath(" in match["source"]:
        return f"“{name}” means: read under {edits}."
    senders = [item.strip(" '") for item in match["senders"].split(",")]
    receivers = match["receivers"].replace("'", "")
    inputs = "input"  # the one that an MLP and the output have
    if re.search(r"L\d+H", receivers):
        inputs = ", ".join(INPUTS[letter] for letter in re.findall("[qkv]", match["through"]))
    kind = match["source"].split("(")[0]
    return (
        f"“{name}” means: what {'the' if len(senders) > 1 else 'the one'} sender{'s' * (len(senders) > 1)} "
        f"{', '.join(senders)} give{'s' * (len(senders) == 1)} the {inputs} of {receivers} is replaced by "
        f"{SOURCES.get(kind, match['source'])} (route {match['route']}); everything else stays clean."
    )
