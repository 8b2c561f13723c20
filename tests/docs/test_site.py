"""The site's pages without running them: navigation, links, code that compiles; how shown output is compared."""

import json
import re
from pathlib import Path

import gallery_figures
import pytest
import yaml
from notebook_code import LARGEST, NOTEBOOKS, code_cells, is_as_stored, notebooks, run_notebook
from page_code import CAN_DIFFER, DOCS, OUTPUT, blocks, main, pages, run_page, same

import hc_interp as hc
from hc_interp.cli.shell import COMMANDS

ROOT = DOCS.parent
# By docs/hooks/site_pages.py, with those of rooms/ and notebooks/.
MADE = {"errors.md", "gallery.md", "reference.md", "readme.md", "results.md", "contributing.md", "changelog.md"}
RESULTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "experiments").glob("results/*.md"))
AT_THE_ROOT = ("README.md", "CHANGELOG.md", "experiments/README.md", *RESULTS)


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation_once() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = re.findall(r"[\w/]+\.md", str(settings["nav"]))
    assert len(listed) == len(set(listed))
    made = {page for page in listed if page in MADE or page.startswith(("rooms/", "results/", "notebooks/"))}
    assert set(listed) - made == set(pages())
    assert {f"experiments/{page}" for page in listed if page.startswith("results/")} == set(RESULTS)


@pytest.mark.parametrize("page", RESULTS)
def test_a_result_says_claim_command_finding_and_time(page) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [name for name in ("Claim", "Found", "Time") if f"| **{name}** | " not in text] == []
    scripts = re.findall(r"^    python (experiments/[\w/]+\.py)", text, re.MULTILINE)
    assert scripts
    assert [script for script in scripts if not (ROOT / script).exists()] == []
    assert f"(results/{Path(page).name})" in (ROOT / "experiments/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [*pages(), "../README.md"])
def test_code_compiles_and_commands_exist(page) -> None:
    for block in blocks(text_of(page)):
        if block.language == "python":
            compile(block.text, f"docs/{page}:{block.line}", "exec")
        if block.language == "sh":
            assert block.commands, f"docs/{page}:{block.line} has no command"
            assert {words[0] for words in block.commands} <= {*COMMANDS, "doctor"}


@pytest.mark.parametrize("page", [*pages(), *(f"../{name}" for name in AT_THE_ROOT)])
def test_links_lead_to_files(page) -> None:
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text_of(page)) if "://" not in link]
    made = [link for link in links if Path(link).name in MADE]
    assert [link for link in links if link not in made and not ((DOCS / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in pages() if page.startswith(("tutorials/", "concepts/", "how_to/"))])
def test_names_of_the_package_are_public(page) -> None:
    names = re.findall(r"\bhc\.(\w+)", text_of(page))
    assert [name for name in names if name not in hc.__all__] == []


@pytest.mark.parametrize("name", notebooks())
def test_a_notebook_is_small_and_readable_offline(name, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    from notebooks import notebook_pages

    notebook = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
    assert (NOTEBOOKS / name).stat().st_size < LARGEST
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    pictures = [output for output in outputs if "Figure(" in "".join(output.get("data", {}).get("text/plain", ""))]
    assert pictures
    assert all("image/png" in output["data"] for output in pictures)
    page = notebook_pages()[f"notebooks/{Path(name).stem}.md"]
    assert page.count("<img ") == len(pictures)
    assert page.count("```python") == len(cells)
    assert "http" not in page
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", page) if link != name]
    assert [
        link for link in links if not (NOTEBOOKS / link.replace("_experiment.md", "_experiment.ipynb")).exists()
    ] == []


def test_a_notebook_runs_as_jupyter_would(tmp_path) -> None:
    def cell(source, *outputs, tags=()):
        return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {"tags": list(tags)}}

    def result(text):
        return {"output_type": "execute_result", "data": {"text/plain": [text]}}

    printed = {"output_type": "stream", "name": "stdout", "text": ["x\n"]}
    cells = [cell("a = 1.25\nprint('x')\na", printed, result("1.26")), cell("a;"), cell("a == 2", result("True"))]
    cells += [cell("a == 2", result("True"), tags=["can-differ"]), cell("a", tags=["can-differ"])]
    steps = list(run_notebook({"cells": [{"cell_type": "markdown", "source": "text"}, *cells]}, tmp_path))
    assert [is_as_stored(*step) for step in steps] == [True, True, False, True, False]


def test_every_public_name_is_in_the_reference(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    import reference

    names = {path.rsplit(".", 1)[1] for paths in reference.public_names().values() for path in paths}
    assert names == set(hc.__all__)
    row = "| [`Verdict`](reference.md#hc_interp.reading.verdict.Verdict) | `answer`, `reason`, "
    assert row in reference.saved_fields()


def test_the_gallery_has_every_figure(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    import gallery

    functions = {name for name in hc.figures.__all__ if name.islower()} - {"circuit_graph", "draw", "write_all"}
    assert set(gallery_figures.LINES) == functions
    assert all(f"hc.figures.{name}(" in line for name, line in gallery_figures.LINES.items())
    quick = {name: gallery_figures.LINES[name] for name in ("head_frequency", "path_matrix", "calibration")}
    monkeypatch.setattr(gallery_figures, "LINES", quick)
    written = []
    monkeypatch.setattr(hc.figures, "write_all", lambda figures, folder, formats: written.extend(figures))
    page, pictures = gallery.gallery()
    assert list(pictures) == [f"gallery/{name}.svg" for name in quick]
    for name, line in quick.items():
        assert f"```python\n{line}\n```\n\n![{gallery_figures.drawn(name).title}](gallery/{name}.svg)" in page
    assert "Draw a panel for each input of the receivers" in page
    assert len(written) + sum(path.exists() for path in pictures.values()) == 3


def test_every_kind_of_result_says_what_its_table_has(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    import reference

    kinds = {name for name in hc.__all__ if name != "Result" and _is_result(getattr(hc, name))}
    rows = dict(re.findall(r"^\| \[`(\w+)`\]\(\S+\) \| (.+) \|$", reference.result_tables(), re.MULTILINE))
    assert set(rows) == kinds
    assert [name for name, said in rows.items() if said == "None" or "|" in said] == []


def _is_result(item) -> bool:
    return isinstance(item, type) and issubclass(item, hc.Result)


def test_a_page_runs_block_by_block_in_one_folder(tmp_path) -> None:
    page = """
```csv title="rows.csv"
a,b
```

```python
x = open("rows.csv").read()
print(x, 0.123)
```

```text title="Output"
a,b
 0.12
```

=== "tab"

    ```python
    print(len(x))
    ```

```sh
echo lines of other programs are not run
```
"""
    steps = list(run_page(page, tmp_path))
    assert [step.text for step in steps] == ["a,b\n 0.123\n", "4\n", ""]
    assert [step.shown is not None for step in steps] == [True, False, False]
    assert steps[0].shown.text == "a,b\n 0.12\n"


def test_a_block_that_needs_another_package_is_marked_and_not_run(tmp_path) -> None:
    page = '```python title="Not run here: needs pyvene"\nimport no_such_package\n```\n\n```python\nprint(1)\n```\n'
    assert [step.text for step in run_page(page, tmp_path)] == ["1\n"]
    assert [path.name for path in tmp_path.iterdir()] == [".code"]
    with pytest.raises(ValueError, match="line 6 follows no python or sh block that is run"):
        blocks(page.split("```python\n")[0] + '```text title="Output"\n1\n```\n')


def test_output_that_can_differ_must_only_be_there(tmp_path) -> None:
    page = """```python
print({})
```

```text title="{}"
1.5
```
"""
    cases = [(1.5, OUTPUT, True), (2.5, OUTPUT, False), (2.5, CAN_DIFFER, True), ("''", CAN_DIFFER, False)]
    for value, title, is_as_shown in cases:
        (step,) = run_page(page.format(value, title), tmp_path)
        assert step.is_as_shown is is_as_shown


def test_output_in_a_tab_is_written_with_its_indent(tmp_path) -> None:
    page = tmp_path / "page.md"
    before = '=== "tab"\n\n    ```python\n    print("a\\n  b")\n    ```\n\n    ```text title="Output"\n'
    page.write_text(before + "    ```\n")
    assert main([str(page)]) == 0
    assert page.read_text() == before + "    a\n      b\n    ```\n"


def test_an_error_on_a_page_names_its_line(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(run_page("\n\n```python\nx = 1\nx / 0\n```\n", tmp_path))
    assert caught.traceback[-1].lineno + 1 == 5


def test_a_command_that_fails_fails_the_page(tmp_path) -> None:
    with pytest.raises(Exception, match=r"hc-interp report nothing\.json ended with 2"):
        list(run_page("```sh\nhc-interp report nothing.json\n```\n", tmp_path))


def test_output_without_code_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2 follows no python or sh block that is run"):
        blocks('```text title="Output"\nx\n```\n')


@pytest.mark.parametrize(
    ("shown", "printed", "is_same"),
    [
        ("a 0.12", "a 0.14\n", True),
        ("a 0.12", "a 0.15", False),
        ("a 0.12", "b 0.12", False),
        ("a -0.01", "a 0.01", True),
        ("3 of 4", "3 of 5", False),
        ("L2H5  1.0", "L2H6  1.0", False),
        ("a\n...\nb 1.5", "a\nx\ny\nb 1.5", True),
        ("a ...", "b 1", False),
        ("1e-05", "1e-05", True),
        ("a\nb", "a", False),
    ],
)
def test_what_counts_as_the_same_output(shown, printed, is_same) -> None:
    assert same(shown, printed) is is_same
