"""The names of tasks and cases, which the command line lists, load without torch and pandas."""

import subprocess
import sys

import pytest

from hc_interp.data.tables import TASK_TABLES, TASKS


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("tables", ("torch", "pandas", "numpy")),
        ("grammar", ("torch", "pandas")),
        ("pair_rules", ("torch", "pandas")),
    ],
)
def test_names_load_without_what_is_heavy(module, heavy):
    code = f"import sys, hc_interp.data.{module}; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_task_has_its_tables():
    assert TASK_TABLES.keys() == TASKS.keys()
    for table in (table for tables in TASK_TABLES.values() for table in tables):
        assert table.columns == [*table.texts, "label", *table.tags]
