"""What docs/architecture.md and the rooms' own pages say of files is true: they exist, and each arrow is an import."""

import re
from itertools import pairwise
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/families.md",
    "hc_interp/extremes/README.md",
    "hc_interp/patching/engine/README.md",
    "hc_interp/reading/README.md",
    "hc_interp/search/README.md",
    "hc_interp/training/README.md",
)
TEXT = (ROOT / "docs/architecture.md").read_text()
WALKS = TEXT[TEXT.index("## Walks from") : TEXT.index("## Definitions")]
LONGEST = 6  # files from a public call to a room's arithmetic


def walks() -> list[list[str]]:
    """The chains of files that arrows join, in the order of the page."""
    chain = re.compile(r"`[\w/]+\.py`(?:[^`→;.]*→\s+`[\w/]+\.py`)+")
    return [re.findall(r"`([\w/]+\.py)`", match) for match in chain.findall(WALKS)]


def module(path: str) -> str:
    return "hc_interp." + path.removesuffix(".py").replace("/", ".")


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    folder = (ROOT / page).parent
    text = (ROOT / page).read_text()
    named = re.findall(r"`((?:[\w-]+/)*[\w-]+(?:\.py|\.toml|/))(?:::\w+)?`", text)
    places = (ROOT, ROOT / "hc_interp", folder)
    assert named
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not (folder / link).exists()] == []


def test_walks_lead_from_public_calls_along_imports() -> None:
    graph = grimp.build_graph("hc_interp")
    found = walks()
    calls = re.findall(r"^- `hc\.(\w+)`", WALKS, re.MULTILINE)
    names = (
        "search_masks",
        "sample_subnetworks",
        "search_extremes",
        "path_effects",
        "reads_from",
        "fit_probe",
        "evaluate",
        "over_training",
        "premises",
    )
    assert tuple(calls) == names
    assert len(found) >= len(calls)
    assert max(map(len, found)) <= LONGEST
    wrong = [
        f"{first} -> {second}"
        for files in found
        for first, second in pairwise(files)
        if not graph.direct_import_exists(importer=module(first), imported=module(second))
    ]
    assert wrong == []


def test_every_file_of_the_walks_is_in_a_chain() -> None:
    assert {name for files in walks() for name in files} == set(re.findall(r"`([\w/]+\.py)`", WALKS))
