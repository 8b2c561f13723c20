"""Sentences on the probes of a run: each compared with the word alone, and before and after paths are cut.

"The word alone" is a prediction of the feature from the identity of the word.
"""

from collections.abc import Mapping
from typing import Any

from hc_interp.components import Head
from hc_interp.figures.numbers import score
from hc_interp.probing.differences import METRIC_NAMES, change, gain, metric
from hc_interp.probing.probe import Probe
from hc_interp.statistics.tests import Interval

INPUT_WORDS = {"q": "queries (q)", "k": "keys (k)", "v": "values (v)"}
SOURCE_WORDS = {
    "MeanActivations": "mean activations",
    "Donors": "values in another example",
    "ContrastPairs": "values in the corrupt example",
}


def probe_words(probes: Mapping[str, Probe]) -> list[str]:
    """A paragraph for each probe, one for the meaning of each cut, and one for the changes between probes."""
    clean = next((name for name, probe in probes.items() if probe.interventions == ()), None)
    words = [_one(name, probe) for name, probe in probes.items()]
    words += [_cut(name, probe.interventions) for name, probe in probes.items() if probe.interventions]
    if clean is not None:
        reference = probes[clean]
        others = {name: probe for name, probe in probes.items() if name != clean and probe.site == reference.site}
        words += [_changes(clean, reference, others)] if others else []
        over_word = gain(reference)
        if over_word is not None and not over_word.low > 0:
            words.append(
                f"The probe on {clean} activations was not shown to read more than the identity of the word. So "
                "neither its score nor a change of its score shows what the paths carry."
            )
    return words


def _one(name: str, probe: Probe) -> str:
    main, feature = metric(probe), probe.places.feature.name
    scored = f"{METRIC_NAMES[main]} {score(probe.scores[main])}"
    text = f"{name}: a linear probe at {probe.site} predicts {feature} with {scored}"
    over_word = gain(probe)
    if over_word is None:
        return f"{text}."
    word = probe.scores[f"word_{main}"]
    overlap = word.low <= probe.scores[main].high and probe.scores[main].low <= word.high
    return (
        f"{text}; the word alone predicts it with {score(word)} (the intervals {'' if overlap else 'do not '}overlap). "
        f"The difference is {score(over_word, '+')}: {_compared(over_word)}."
    )


def _compared(over_word: Interval) -> str:
    if over_word.low > 0:
        return "the probe reads more than the identity of the word"
    if over_word.high < 0:
        return "the probe predicts less well than the identity of the word"
    return "the probe was not shown to read more than the identity of the word"


def _changes(clean: str, reference: Probe, others: Mapping[str, Probe]) -> str:
    changes = []
    for name, probe in others.items():
        interval = change(probe, reference)
        if interval is None:
            changes.append(f"{name}: not measured at the same positions, so not comparable")
            continue
        meaning = "a drop" if interval.high < 0 else "a rise" if interval.low > 0 else "not distinguishable from 0"
        changes.append(f"{name}: {score(interval, '+')}, {meaning}")
    return f"Change of {METRIC_NAMES[metric(reference)]} from {clean}, at the same positions. {'; '.join(changes)}."


def _cut(name: str, interventions: tuple[dict[str, Any], ...]) -> str:
    """The senders, receivers, inputs and replacement values that a name such as "core paths cut" means."""
    if [item["type"] for item in interventions] != ["PatchPath"]:
        return f"“{name}” means: read under [{', '.join(item['words'] for item in interventions)}]."
    path = interventions[0]
    senders, receivers, source = path["senders"], path["receivers"], path["source"]
    inputs = "input"  # an MLP and the output have one input only
    if any(isinstance(item, Head) for item in receivers):
        inputs = ", ".join(INPUT_WORDS[letter] for letter in path["through"])
    values = SOURCE_WORDS.get(source["type"], source["words"]) if isinstance(source, dict) else source
    many = len(senders) > 1
    return (
        f"“{name}” means: the {inputs} of {', '.join(map(str, receivers))} {'is' if inputs == 'input' else 'are'} "
        f"computed with the output{'s' * many} of the sender{'s' * many} {', '.join(map(str, senders))} replaced by "
        f"{values} (route {path['route']}); everything else stays clean."
    )
