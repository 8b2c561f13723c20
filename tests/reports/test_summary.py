"""`summary.json` is flat, has the same fields for every run, and docs/files.md names each of them with its type."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_results import MAKERS

import hc_interp as hc
from hc_interp.reports.summary import VERSION

PAGE = Path(__file__).parents[2] / "docs/files.md"
ROW = re.compile(r"^\| (`[^|]+`) \| (text|number|true or false) \| ", re.MULTILINE)
TYPES = {"text": str, "number": int | float, "true or false": bool}


def fields(kinds=("order", "overlap")) -> dict[str, str]:
    """The fields of the page with their types, for these kinds of pairs."""
    found = {}
    for names, kind_of_value in ROW.findall(PAGE.read_text(encoding="utf-8")):
        for name in re.findall(r"`(\w+)`", names):
            for kind in kinds if "KIND" in name else ("",):
                for way in ("as_is", "reversed") if "WAY" in name else ("",):
                    found[name.replace("KIND", kind).replace("WAY", way)] = kind_of_value
    return found


@pytest.fixture(scope="module")
def run():
    manifest = {
        "model": {"name": "tiny", "fingerprint": "01"}, "data": {"task": "words"}, "device": "cpu", "dtype": "float32",
        "settings": {"case": "swap", "seed": 3, "sparsity": 0.5, "demo": False}, "seconds": {"all": 7.5},
        "versions": {"hc-interp": "0.2.0"},
    }  # fmt: skip
    probes = {name: MAKERS.probe(0.8) for name in ("clean", "core paths cut", "random paths cut")}
    return MAKERS.run(manifest=manifest, probes=probes, premises=MAKERS.premises())


def test_every_field_is_on_the_page_with_its_type(run) -> None:
    record = hc.reports.summary(run)
    assert set(record) == set(fields())
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    for name, kind in fields().items():
        value = record[name]
        assert isinstance(value, TYPES[kind]), f"{name} is {value!r}, no {kind}"
        assert isinstance(value, bool) == (kind == "true or false")
    assert record["summary_version"] == VERSION


def test_an_empty_run_has_the_same_fields_without_values(run) -> None:
    empty = hc.reports.summary(hc.RunResults())
    assert list(empty) == list(hc.reports.summary(run))
    assert {name for name, value in empty.items() if value is not None} == {"summary_version"}


def test_values_are_those_of_the_results(run) -> None:
    record = hc.reports.summary(run)
    found = run.verdict.records["overlap"].directions["reversed"]
    assert record["T_overlap_reversed"] == pytest.approx(float(found.T))
    assert record["T_overlap_reversed_high"] == pytest.approx(float(found.T.high))
    assert record["S_overlap_reversed_low"] == pytest.approx(float(found.S.low))
    assert (record["p_overlap"], record["p_overlap_reversed"]) == (0.01, found.p)
    assert record["core_heads"].split() == [str(head) for head in run.core.heads]
    accuracy = run.evaluation.accuracy("validation")
    assert record["accuracy_in_domain"] == pytest.approx(accuracy[0])
    assert record["subnetworks_in_domain"] == pytest.approx(accuracy[1:].mean())
    assert record["heads_generalize"] == run.premises.heads_generalize
    assert record["probe_auc_core_paths_cut_low"] == pytest.approx(run.probes["core paths cut"].scores["auc"].low)


@pytest.fixture(scope="module")
def other(run):
    """A run on one other kind of pairs, whose T is not defined."""
    records = {"names": MAKERS.record("names", float("nan"))}
    return replace(run, verdict=replace(run.verdict, records=records, p_holm={"names": float("nan")}))


def test_other_kinds_have_fields_too(other) -> None:
    record = hc.reports.summary(other)
    assert set(record) == set(fields(("order", "overlap", "names")))
    assert record["kinds"] == "names"


def test_undefined_numbers_are_null(other) -> None:
    record = hc.reports.summary(other)
    assert record["T_names_as_is"] is record["p_names"] is record["T_order_as_is"] is None
    assert record["n_names_as_is"] == 64
