"""`summary`: the answer of a run and the numbers behind it, as one flat record for other programs.

docs/files.md says what each field is; a test compares. `VERSION` grows when a field changes its meaning or goes away.
"""

import math
from collections.abc import Mapping
from typing import Any

from hc_interp.evaluation.result import VALIDATION
from hc_interp.reading.decision import AS_IS, REVERSED
from hc_interp.reading.premise_result import Premises
from hc_interp.runs.results import RunResults
from hc_interp.statistics.tests import Interval

FILE = "summary.json"
VERSION = 1
KINDS = ("order", "overlap")  # have fields in every summary; other kinds have them where they were tested
PREMISES = ("model_generalizes", "core_is_heuristic", "heads_generalize")
PROBES = ("clean", "core paths cut", "random paths cut")
Plain = str | int | float | bool | None


def summary(run: RunResults) -> dict[str, Plain]:
    """The fields of `summary.json`: texts, numbers, true or false. What the run lacks, or is not defined, is None.

    Shares and accuracies are from 0 to 1 (T and S can be beyond). The ends of intervals are `_low` and `_high`.
    """
    fields = {"summary_version": VERSION, **_made_with(run.manifest), **_verdict(run), **_heads(run)}
    fields |= {**_accuracy(run), **_premises(run.premises), **_readings(run), **_probes(run)}
    return {name: _plain(value) for name, value in fields.items()}


def _made_with(manifest: Mapping[str, Any]) -> dict[str, Any]:
    model, data, settings, seconds, versions = (
        part if isinstance(part := manifest.get(name), Mapping) else {}
        for name in ("model", "data", "settings", "seconds", "versions")
    )
    return {
        "hc_interp": versions.get("hc-interp"),
        "model": model.get("name"),
        "model_fingerprint": model.get("fingerprint"),
        "task": data.get("task"),
        "device": manifest.get("device"),
        "dtype": manifest.get("dtype"),
        "case": settings.get("case"),
        "seed": settings.get("seed"),
        "sparsity": settings.get("sparsity"),
        "demo": settings.get("demo"),
        "seconds": seconds.get("all"),
    }


def _verdict(run: RunResults) -> dict[str, Any]:
    names = ("answer", "reason", "reading", "reading_reason")
    return {name: None if run.verdict is None else getattr(run.verdict, name) for name in names} | {
        "sentence": None if run.verdict is None else run.verdict.sentence(),
        "kinds": None if run.verdict is None else " ".join(run.verdict.records),
    }


def _heads(run: RunResults) -> dict[str, Any]:
    """Heads by name, with blanks between them."""
    core = None if run.core is None else run.core.heads
    generalizing = None if run.generalizing is None else run.generalizing.heads
    fields: dict[str, Any] = {}
    for name, heads in (("core_heads", core), ("generalizing_heads", generalizing)):
        fields[f"n_{name}"] = None if heads is None else len(heads)
        fields[name] = None if heads is None else " ".join(map(str, heads))
    return fields


def _accuracy(run: RunResults) -> dict[str, Any]:
    """Accuracy in domain: of the full model, and the mean over the subnetworks of the verdict's sparsity."""
    found = run.evaluation
    names = [] if found is None or not found.by_sparsity else next(iter(found.by_sparsity.values()))
    fields: dict[str, Any] = {"n_subnetworks": None if found is None else len(names)}
    fields |= {"accuracy_in_domain": None, "subnetworks_in_domain": None}
    if found is not None and VALIDATION in found.splits:
        values = dict(zip(found.names, found.accuracy(VALIDATION), strict=True))
        fields["accuracy_in_domain"] = values[found.names[0]]
        if names:
            fields["subnetworks_in_domain"] = sum(values[name] for name in names) / len(names)
    return fields


def _premises(found: Premises | None) -> dict[str, Any]:
    """The state of each premise, and the separation of the full model."""
    states = {} if found is None else found.answers
    separation = None if found is None else found.numbers.get("separation")
    return {**{name: states.get(name) for name in PREMISES}, **_interval("separation", separation)}


def _readings(run: RunResults) -> dict[str, Any]:
    """The numbers of each kind of pairs and each direction."""
    records = {} if run.verdict is None else run.verdict.records
    fields: dict[str, Any] = {}
    for kind in dict.fromkeys([*KINDS, *records]):
        record = records.get(kind)
        fields[f"p_{kind}"] = None if run.verdict is None else run.verdict.p_holm.get(kind)
        for direction in (AS_IS, REVERSED):
            found = None if record is None else record.directions.get(direction)
            name = f"{kind}_{direction}"
            fields[f"n_{name}"] = None if found is None else len(found.ids)
            fields |= _interval(f"T_{name}", None if found is None else found.T)
            fields[f"p_{name}"] = None if found is None else found.p
            fields |= _interval(f"S_{name}", None if found is None else found.S)
    return fields


def _probes(run: RunResults) -> dict[str, Any]:
    """The AUC of the probe for word overlap, with and without paths."""
    fields: dict[str, Any] = {}
    for name in PROBES:
        scores = run.probes[name].scores if name in run.probes else {}
        fields |= _interval(f"probe_auc_{name.replace(' ', '_')}", scores.get("auc"))
    return fields


def _interval(name: str, found: Interval | None) -> dict[str, Any]:
    value, low, high = (None, None, None) if found is None else (found.value, found.low, found.high)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _plain(value: Any) -> Plain:
    """A value of JSON: Python's own kinds of numbers; None for a number that is not finite."""
    if value is None or isinstance(value, str | bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
