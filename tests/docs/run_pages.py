"""`make docs-test`: the code of every page and notebook of the site and of README.md runs, and prints what is shown.

Not a part of `make test`, which checks pages without running them (`test_site.py`). Commands of the README and of
docs/command_line.md run in `tests/cli/test_steps.py`, the recipes of CONTRIBUTING.md in `test_contributing.py`,
docs/four_ways.md in `test_pages.py`.
"""

import json
import re
from pathlib import Path

import pytest
from browser import need_browser
from notebook_code import NOTEBOOKS, is_as_stored, notebooks, run_notebook
from page_code import pages, run_page

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "four_ways.md",  # run by tests/docs/test_pages.py
    IN_PYTHON := "in_python.md",  # on a small model, below
    "spread.md",  # 24 searches, and a cluster; tests/spread runs such calls on small models
}
# In docs/in_python.md: the large model of the zoo and the real data become the small model and the grammar.
SMALL = {
    "zoo:minilm-nli": "zoo:tiny-overlap@6500",
    '["L2H9"], ["L3H4", "L4H1"]': '["L1H2"], ["L2H5", "L3H4"]',
    "L2H9": "L1H2",
    "seeds=range(4)": "seeds=range(2), steps=20",
    "max_pairs=128": "max_pairs=32",
    "n_sets=20, max_per_case=16": "n_sets=3, max_per_case=4",
    "n_permutations=79": "n_permutations=9",
    ".sample(64)": ".sample(16)",
    ".sample(256)": ".sample(64)",
    "task=world.task, ": "n_permutations=19, ",  # without the premises, which tutorial 6 checks on this world
    # The small model may have no generalizing head among so few pairs, and needs no browser.
    "premises = hc.premises(": "gen = chosen(gen)\npremises = hc.premises(",
    '"circuit.svg"': '"circuit.html"',
}
CHOSEN = """
from dataclasses import replace

def chosen(gen):
    return replace(gen, heads=tuple(head for head in (hc.Head(3, 4), hc.Head(3, 5)) if head not in gen.core))
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """A terminal of a fixed width, and no colour: the tables of commands do not depend on where the test runs."""
    for name, value in {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("page", ["../README.md", *(name for name in pages() if name not in ELSEWHERE)])
def test_the_page_prints_what_it_shows(page, tmp_path) -> None:
    for step in run_page((ROOT / "docs" / page).read_text(encoding="utf-8"), tmp_path, Path(page).stem):
        shown = step.shown.text if step.shown is not None else ""
        where = f"docs/{page}, line {step.code.line}"
        assert step.is_as_shown, f"{where}, shows\n{shown}\nand the code printed\n{step.text}"


@pytest.mark.parametrize("name", notebooks())
def test_the_notebook_gives_what_it_shows(name, tmp_path) -> None:
    need_browser()  # it draws pictures
    notebook = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
    for cell, outputs in run_notebook(notebook, tmp_path):
        assert is_as_stored(cell, outputs), f"docs/notebooks/{name}, {cell['id']} shows other outputs than {outputs}"


def test_the_whole_experiment_in_python_runs(tmp_path) -> None:
    text = (ROOT / "docs" / IN_PYTHON).read_text(encoding="utf-8")
    for before, after in SMALL.items():
        assert before in text, f"SMALL replaces {before!r}, which is no longer in docs/{IN_PYTHON}"
        text = text.replace(before, after)
    code = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    printed = list(run_page("".join(f"```python\n{block}```\n\n" for block in [CHOSEN, *code]), tmp_path, "whole"))
    assert len(printed) == len(code) + 1
    assert (tmp_path / "circuit.html").exists()
