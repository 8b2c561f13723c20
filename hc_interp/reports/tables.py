"""The tables of a report: every number, as text and as a CSV file to download, and all settings."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hc_interp.records.provenance import versions
from hc_interp.runs.results import RunResults

MAX_ROWS_ON_PAGE = 300  # the file of a table has all its rows


def tables(run: RunResults) -> list[dict[str, Any]]:
    """A table for each result of the run, in the order of the report."""
    frames: list[tuple[str, str, pd.DataFrame]] = []
    if run.premises is not None:
        frames.append(("premises", "Scores of the heuristic's answer by system", run.premises.to_frame()))
    if run.evaluation is not None:
        frames.append(("accuracy", "Accuracy by subnetwork and case", run.evaluation.to_frame(long=True)))
        if run.evaluation.heuristic_scores is not None:
            frames.append(("scores", "Scores without thresholds by subnetwork", run.evaluation.scores()))
    if run.search is not None:
        frames.append(("search", "Mask searches", run.search.to_frame()))
    if run.core is not None:
        frames.append(("core", "Components and how many subnetworks keep them", run.core.to_frame()))
    if run.generalizing is not None:
        frames.append(("generalizing", "Candidates for generalizing heads", run.generalizing.to_frame()))
    if run.paths is not None:
        frames.append(("paths", "Path effects", run.paths.to_frame()))
    if run.verdict is not None:
        frames.append(("reads-from", "The reads-from test by kind of pairs and route", run.verdict.to_frame()))
    if run.probes:
        scores = [probe.to_frame().assign(probe=name) for name, probe in run.probes.items()]
        frames.append(("probes", "Probe scores", pd.concat(scores, ignore_index=True)))
    for name, extra in run.extras.items():
        frames.append((f"extra-{name}", f"{type(extra).__name__}: {name}", extra.to_frame()))
    return [table(*item) for item in frames]


def table(name: str, title: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Columns, the first rows as text, and the whole as a CSV `data:` link."""
    csv = base64.b64encode(frame.to_csv(index=False, lineterminator="\n").encode()).decode()
    rows = [[_cell(value) for value in row] for row in frame.head(MAX_ROWS_ON_PAGE).itertuples(index=False, name=None)]
    text = {"columns": [str(column) for column in frame.columns], "rows": rows, "n": len(frame)}
    return {"id": name, "title": title, "uri": f"data:text/csv;charset=utf-8;base64,{csv}", **text}


def _cell(value: Any) -> dict[str, Any]:
    if value is pd.NA or value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return {"text": "\u2013", "number": True}
    if isinstance(value, bool | np.bool_):
        return {"text": "yes" if value else "no", "number": False}
    if isinstance(value, float | np.floating):
        return {"text": f"{value:.4g}", "number": True}
    return {"text": str(value), "number": isinstance(value, int | np.integer)}


def settings_groups(run: RunResults) -> list[dict[str, Any]]:
    """The settings behind the numbers: the manifest, the settings and provenance of each result, and versions."""
    # A report is written before its run ends, so the run's status and its files are not known yet.
    known = {name: value for name, value in run.manifest.items() if name not in ("status", "figures")}
    groups = [{"title": "Run", "rows": _flat(known)}] if known else []
    recorded: dict[str, Any] = {}
    for name in ("search", "evaluation", "generalizing", "premises", "edges", "verdict"):
        part = run.paths if name == "edges" else getattr(run, name)
        if part is None:
            continue
        origin = dict(part.provenance)
        recorded = recorded or origin.get("versions", {})
        origin.pop("versions", None)
        rows = _flat({**getattr(part, "settings", {}), **{"origin": origin}})
        if rows:
            groups.append({"title": f"{name.capitalize()}", "rows": rows})
    packages = recorded or run.manifest.get("versions") or versions()
    return [*groups, {"title": "Versions", "rows": _flat(packages)}]


def _flat(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """The entries of nested mappings as (name, text), where a name joins its keys by dots."""
    rows: list[tuple[str, str]] = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", f"{value:g}" if isinstance(value, float) else str(value)))
    return rows
