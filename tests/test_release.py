"""What a release says of itself is true: one version, files with their sizes, licences, what workflows call."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import hc_interp as hc

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hc_interp"
PAGE = (ROOT / "docs/release.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w./*-]+)` \| (?:(\d+) x )?(\d+) \| [^|]* \| ([\w.-]*) ?\|$", re.MULTILINE)
DATA = ("*.safetensors", "*.json", "*.md", "*.txt", "*.woff2")


def shipped() -> dict[str, tuple[int, int, str]]:
    """The table of the page: for each pattern how many files, their bytes, their licence."""
    return {name: (int(n or 1), int(size), licence) for name, n, size, licence in ROW.findall(PAGE)}


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "hc_interp/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", hc.__version__)


def test_changes_and_citation_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    first = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first
    assert (first[1], first[2]) == (hc.__version__, str(citation["date-released"]))
    assert citation["version"] == hc.__version__
    assert f"version = {{{hc.__version__}}}" in PAGE
    assert citation["title"].split(":")[1] in PAGE


def test_the_page_has_every_data_file_with_its_size() -> None:
    table = shipped()
    seen = set()
    for pattern, (count, size, _) in table.items():
        files = sorted(PACKAGE.glob(pattern))
        assert [file.stat().st_size for file in files] == [size] * count, pattern
        seen |= set(files)
    folders = (PACKAGE / "models/zoo_data", PACKAGE / "figures/fonts")
    texts = {PACKAGE / "cli/explanations.md"}
    assert seen == texts | {file for folder in folders for pattern in DATA for file in folder.rglob(pattern)}


def test_every_licence_that_the_page_names_is_declared_and_its_text_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {licence for *_, licence in shipped().values() if licence}
    assert named == set(project["license"].split(" AND "))
    texts = "".join((ROOT / name).read_text(encoding="utf-8") for name in project["license-files"])
    for words in ("MIT License", "Apache License", "SIL Open Font License"):
        assert words.lower() in texts.lower()


@pytest.mark.parametrize("name", ["test", "publish"])
def test_workflows_call_what_is_there(name) -> None:
    flow = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8"))
    runs = "\n".join(step.get("run", "") for job in flow["jobs"].values() for step in job["steps"])
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake ([\w-]+)", runs)) <= set(targets)
    assert all((ROOT / path).exists() for path in re.findall(r"(?:^|\s)(\.ci/\w+|hc_interp/\S+)", runs))
    assert (".ci/run" if name == "test" else "make dist-check") in runs


def test_a_tag_publishes_without_a_token() -> None:
    text = (ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8")
    flow = yaml.safe_load(text)
    assert flow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads the key `on` as true
    assert flow["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert flow["jobs"]["publish"]["needs"] == "build"
    assert "secrets." not in text
    assert f'__version__ = "{hc.__version__}"' in (PACKAGE / "__init__.py").read_text(encoding="utf-8").splitlines()
