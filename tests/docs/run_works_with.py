"""`make docs-test`: what the tables of docs/works_with.md say works does, and what they do not is refused."""

import pytest
from works_with import cases, cells_of, committed_rows, families, interventions_row, kind_of, label

ARCHITECTURES = [(name, architecture) for name, classes in families().items() for architecture in classes]


@pytest.mark.parametrize(("name", "architecture"), ARCHITECTURES)
def test_the_row_of_a_kind_of_model_is_what_works(name, architecture) -> None:
    rows = [
        cells
        for kind, names, *cells in committed_rows("models")
        if kind == kind_of(architecture) and name in names.split("; ")
    ]
    assert rows == [list(cells_of(architecture))]


@pytest.mark.parametrize("case", cases())
def test_the_row_of_a_function_is_what_it_takes(case) -> None:
    rows = [cells for names, *cells in committed_rows("interventions") if label(case) in names.split(", ")]
    assert rows == [list(interventions_row(case))]
