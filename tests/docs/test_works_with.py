"""docs/works_with.md has a row for every kind of model of a family, function and source, and all interventions.

`run_works_with.py` (`make docs-test`) tries what the cells say.
"""

import inspect

from test_interventions_everywhere import takers
from works_with import committed, committed_rows, families, given, kind_of, label, sources_table

import hc_interp as hc


def test_every_kind_of_model_of_every_family_has_one_row() -> None:
    rows = committed_rows("models")
    listed = [(kind, name) for kind, names, *_ in rows for name in names.split("; ")]
    expected = {(kind_of(architecture), name) for name, classes in families().items() for architecture in classes}
    assert len(listed) == len(set(listed))
    assert set(listed) == expected


def test_every_function_that_takes_interventions_has_a_row() -> None:
    listed = [name for names, *_ in committed_rows("interventions") for name in names.split(", ")]
    assert len(listed) == len(set(listed))
    assert {name.split("(")[0].strip("`") for name in listed} == set(takers())
    assert {label("path_effects, auto"), label("path_effects, attribution")} <= set(listed)


def test_every_intervention_has_a_column() -> None:
    classes = {name: getattr(hc, name) for name in hc.__all__ if inspect.isclass(getattr(hc, name))}
    public = {name for name, item in classes.items() if hc.Intervention in item.__mro__}
    names = set(given())
    assert names == public - {"Intervention"}
    assert committed("interventions").splitlines()[0].count("|") == len(names) + 3


def test_the_table_of_sources_is_what_interventions_take() -> None:
    assert committed("sources") == sources_table()
