"""The pages in docs/ run, and what they say is equal is."""

import re
import runpy
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "four_ways.md"
BLOCK = re.compile(r"^## ([^\n]+)$|^```python( setup)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """The page's code by its heading."""
    found, heading = {}, ""
    for title, setup, code in BLOCK.findall(PAGE.read_text()):
        heading = title or heading
        if code:
            found["setup" if setup else heading] = code
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Logits and z of each way; nnsight reads its block's source, so each is a file of its own."""
    code, found = blocks(), {}
    setup = code.pop("setup")
    for name, block in code.items():
        path = tmp_path_factory.mktemp("page") / "way.py"
        path.write_text(setup + block)
        found[name] = runpy.run_path(str(path))
    return found


def test_the_page_has_four_ways() -> None:
    assert list(blocks()) == ["setup", "hc_interp", "TransformerLens", "nnsight", "Plain torch"]


@pytest.mark.parametrize("way", ["TransformerLens", "nnsight", "Plain torch"])
def test_all_ways_give_the_same(results, way) -> None:
    ours, theirs = results["hc_interp"], results[way]
    for name in ("logits", "z"):
        torch.testing.assert_close(theirs[name], ours[name], atol=1e-6, rtol=0)


def test_the_ablation_did_something(results) -> None:
    found = results["hc_interp"]
    plain = found["model"].run(found["batch"], capture=[site := next(iter(found["run"].captured))])
    assert float((found["logits"] - plain.logits).abs().max()) > 1e-3
    assert float((found["z"] - plain.captured[site]).abs().max()) > 1e-3


def test_no_way_leaves_a_trace(results) -> None:
    for found in results.values():
        model, batch = found["model"], found["batch"]
        with torch.no_grad():
            expected = model.module(batch.input_ids, **found["inputs"]).logits
        assert torch.equal(model.logits(batch), expected)
