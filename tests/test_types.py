"""What an editor and a type checker know of `hc.*`: signatures, not `Any`; the code of pages has no type error.

Scripts in experiments/ are not type-checked, but they must call the package's functions as these are today.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hc_interp as hc

ROOT = Path(__file__).parents[1]
# The pages whose code a type checker reads: the README, and those that its longer code moved to.
PAGES = {"readme": "README.md", "whole": "docs/in_python.md", "language": "docs/how_to/language_models.md"}
# What a type checker says of a call that the function does not take. transformers' configs take any name.
OUTDATED = re.compile(
    r'Arguments? missing for|No parameter named "(?!num_labels")|Expected \d+ (more )?positional|unknown import symbol'
    "|is not a known attribute of module"
)
WRONG = "hc.load('zoo:minilm-nli', batch=3)\nhc.evaluate(model, task, subnetworks=found.subnetwork)\n"


def code_of(page: str) -> str:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    return "\n".join(blocks)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """pyright's messages on the pages' code, on code that is wrong, and the type of every public name."""
    folder = tmp_path_factory.mktemp("types")
    code = {name: code_of(page) for name, page in PAGES.items()}
    for name, text in (code | {"wrong": code["whole"] + WRONG}).items():
        (folder / f"{name}.py").write_text(text)
    names = "".join(f"reveal_type(hc.{name})\n" for name in hc.__all__)
    (folder / "names.py").write_text(f"import hc_interp as hc\n{names}")
    scripts = [str(ROOT / "experiments" / part) for part in ("", "benchmarks", "series")]
    settings = {
        "include": [".", os.path.relpath(scripts[0], folder)],
        "extraPaths": [str(ROOT), *scripts],
        "typeCheckingMode": "basic",
        "reportUndefinedVariable": True,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--project",
        str(folder),
        "--pythonpath",
        sys.executable,
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    messages = json.loads(run.stdout)["generalDiagnostics"]
    found = {
        name: [f"{m['severity']}: {m['message']}" for m in messages if Path(m["file"]) == folder / f"{name}.py"]
        for name in (*PAGES, "wrong", "names")
    }
    of_scripts = [m for m in messages if Path(m["file"]).is_relative_to(scripts[0])]
    assert of_scripts  # they were read
    return found | {"scripts": [f"{m['file']}: {m['message']}" for m in of_scripts if OUTDATED.search(m["message"])]}


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_has_no_type_error(report, page) -> None:
    assert report[page] == []


def test_scripts_call_functions_as_they_are(report) -> None:
    assert report["scripts"] == []


def test_a_wrong_argument_and_a_wrong_attribute_are_seen(report) -> None:
    assert len(report["wrong"]) == 2
    assert 'No parameter named "batch"' in report["wrong"][0]
    assert OUTDATED.search(report["wrong"][0])
    assert 'attribute "subnetwork"' in report["wrong"][1]


def test_every_public_name_has_a_type(report) -> None:
    types = dict(re.findall(r'Type of "hc\.(\w+)" is "(.*)"', "\n".join(report["names"])))
    assert sorted(types) == sorted(hc.__all__)
    assert [name for name, kind in types.items() if kind in ("Any", "Unknown")] == []
    returned = {name: kind.rsplit("->", 1)[-1].strip() for name, kind in types.items() if "->" in kind}
    assert returned["load"] == "HookedModel"
    assert [name for name, kind in returned.items() if kind in ("Any", "Unknown") and name != "read"] == []
