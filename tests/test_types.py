"""What an editor and a type checker know of `hc.*`: signatures, not `Any`; and the code of pages has no type error."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hc_interp as hc

ROOT = Path(__file__).parents[1]
# The pages whose code a type checker reads: the README, and those that its longer code moved to.
PAGES = {"readme": "README.md", "whole": "docs/in_python.md", "language": "docs/how_to/language_models.md"}
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
    settings = {"extraPaths": [str(ROOT)], "typeCheckingMode": "basic", "reportUndefinedVariable": True}
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
    return {
        name: [f"{m['severity']}: {m['message']}" for m in messages if Path(m["file"]).name == f"{name}.py"]
        for name in (*PAGES, "wrong", "names")
    }


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_has_no_type_error(report, page) -> None:
    assert report[page] == []


def test_a_wrong_argument_and_a_wrong_attribute_are_seen(report) -> None:
    assert len(report["wrong"]) == 2
    assert 'No parameter named "batch"' in report["wrong"][0]
    assert 'attribute "subnetwork"' in report["wrong"][1]


def test_every_public_name_has_a_type(report) -> None:
    types = dict(re.findall(r'Type of "hc\.(\w+)" is "(.*)"', "\n".join(report["names"])))
    assert sorted(types) == sorted(hc.__all__)
    assert [name for name, kind in types.items() if kind in ("Any", "Unknown")] == []
    returned = {name: kind.rsplit("->", 1)[-1].strip() for name, kind in types.items() if "->" in kind}
    assert returned["load"] == "HookedModel"
    assert [name for name, kind in returned.items() if kind in ("Any", "Unknown") and name != "read"] == []
