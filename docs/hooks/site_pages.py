"""The site's pages that stand elsewhere in the repository, and its reference: made when the site is built."""

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# Where a page stands in the repository, and its name on the site.
ELSEWHERE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "experiments/README.md": "results.md",
    "hc_interp/patching/engine/README.md": "rooms/engine.md",
    "hc_interp/search/README.md": "rooms/search.md",
    "hc_interp/extremes/README.md": "rooms/extremes.md",
    "hc_interp/reading/README.md": "rooms/reading.md",
    "hc_interp/training/README.md": "rooms/training.md",
}
_NAMED_BLOCK = re.compile(r"^```python \w+$", re.MULTILINE)  # the tests know blocks by name; Markdown does not
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
# The rooms of the reference, in the order of an experiment, with the heading of each.
SECTIONS = {
    "models": "Models",
    "components": "Components",
    "data": "Data",
    "interventions": "Interventions",
    "search": "Search",
    "patching": "Path patching",
    "probing": "Probing",
    "evaluation": "Evaluation",
    "attention": "Attention",
    "heads": "Core and generalizing heads",
    "extremes": "The good subnetworks that generalize least and most",
    "reading": "Premises and verdict",
    "training": "Training",
    "dynamics": "Over training",
    "experiment": "A whole run",
    "runs": "A whole run",
    "figures": "Figures and reports",
    "reports": "Figures and reports",
    "testbeds": "Test beds",
    "records": "Results and files",
    "metrics": "Metrics",
    "errors": "Errors",
}


def public_names() -> dict[str, list[str]]:
    """The public names of `hc_interp/__init__.pyi` by section of the reference, each with the path of its module."""
    tree = ast.parse((ROOT / "hc_interp/__init__.pyi").read_text(encoding="utf-8"))
    sections: dict[str, list[str]] = {heading: [] for heading in SECTIONS.values()}
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            path = ".".join(["hc_interp", *filter(None, [node.module]), alias.name])
            sections[SECTIONS[path.split(".")[1]]].append(path)
    return sections


def reference() -> str:
    """The page of all public names: a heading for each room, and the docstring of each name."""
    text = ["# Public names", "Everything that `import hc_interp as hc` gives, from its docstrings."]
    for heading, paths in public_names().items():
        text.append(f"## {heading}")
        for path in sorted(paths, key=lambda path: path.rsplit(".", 1)[1].lower()):
            name = f"hc.{path.rsplit('.', 1)[1]}"
            text.append(f'::: {path}\n    options: {{ heading: "{name}", toc_label: "{name}" }}')
    return "\n\n".join(text) + "\n"


def saved_fields() -> str:
    """A table of the fields of every public kind of result, as its dataclass declares them."""
    rows = ["| kind | fields |", "| --- | --- |"]
    for path in sorted(path for paths in public_names().values() for path in paths):
        *module, name = path.split(".")
        file = ROOT.joinpath(*module).with_suffix(".py")
        tree = ast.parse(file.read_text(encoding="utf-8")) if file.exists() else ast.Module([], [])
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name and "Result" in map(ast.unparse, node.bases):
                fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
                names = ", ".join(f"`{field.id}`" for field in fields if isinstance(field, ast.Name))
                rows.append(f"| [`{name}`](reference.md#{path}) | {names} |")
    return "\n".join(rows)


def moved(text: str, old: str, new: str) -> str:
    """A page's text with its links rewritten: it stands at `old` in the repository and at `new` on the site."""

    def relative(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(old), match[1]))
        where = ELSEWHERE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else target)
        return f"]({posixpath.relpath(where, posixpath.dirname(new) or '.')}"

    return _LINK.sub(relative, _NAMED_BLOCK.sub("```python", text))


def pictures() -> dict[str, Path]:
    """The pictures that pages link to, by their path in the repository."""
    places = ("figures", "experiments/training_dynamics")
    return {f"{place}/{path.name}": path for place in places for path in (ROOT / place).glob("*.png")}


def on_files(files, config):
    """Add the pages that stand elsewhere, the pictures that they show, and the reference."""
    for old, new in ELSEWHERE.items():
        text = (ROOT / old).read_text(encoding="utf-8")
        files.append(File.generated(config, new, content=moved(text, old, new)))
    for name, path in pictures().items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    files.append(File.generated(config, "reference.md", content=reference()))
    return files


def on_page_markdown(markdown, page, config, files):
    """A page in docs/, with its links to pages that stand elsewhere in the repository."""
    name = page.file.src_uri
    markdown = markdown.replace("<!-- fields -->", saved_fields())
    return markdown if page.file.generated_by else moved(markdown, f"docs/{name}", name)
