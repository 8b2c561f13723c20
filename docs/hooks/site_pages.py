"""A hook of mkdocs: pages from elsewhere in the repository, notebooks and the reference join the site it builds."""

import posixpath
import re
from pathlib import Path

from errors import errors
from gallery import gallery
from mkdocs.structure.files import File
from notebooks import notebook_pages
from reference import ROOT, reference, result_tables, saved_fields

# Where a page stands in the repository, and its name on the site.
ELSEWHERE = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "experiments/README.md": "results.md",
    "hc_interp/patching/engine/README.md": "rooms/engine.md",
    "hc_interp/search/README.md": "rooms/search.md",
    "hc_interp/extremes/README.md": "rooms/extremes.md",
    "hc_interp/reading/README.md": "rooms/reading.md",
    "hc_interp/training/README.md": "rooms/training.md",
}
ELSEWHERE |= {
    path.relative_to(ROOT).as_posix(): f"results/{path.name}"
    for path in sorted((ROOT / "experiments/results").glob("*.md"))
}
_NAMED_BLOCK = re.compile(r"^```python \w+$", re.MULTILINE)  # the tests know blocks by name; Markdown does not
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


def moved(text: str, old: str, new: str) -> str:
    """A page's text with its links rewritten: it stands at `old` in the repository and at `new` on the site."""

    def relative(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(old), match[1]))
        where = ELSEWHERE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else target)
        where = re.sub(r"\.ipynb$", ".md", where)  # a notebook's page
        return f"]({posixpath.relpath(where, posixpath.dirname(new) or '.')}"

    return _LINK.sub(relative, _NAMED_BLOCK.sub("```python", text))


def pictures() -> dict[str, Path]:
    """The pictures that pages link to, by their path in the repository."""
    places = ("figures", "experiments/training_dynamics")
    return {f"{place}/{path.name}": path for place in places for path in (ROOT / place).glob("*.png")}


def on_files(files, config):
    """Add pages from elsewhere in the repository, the pictures that they show, the reference, gallery and notebooks."""
    for old, new in ELSEWHERE.items():
        text = (ROOT / old).read_text(encoding="utf-8")
        files.append(File.generated(config, new, content=moved(text, old, new)))
    for name, path in pictures().items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    files.append(File.generated(config, "CITATION.cff", abs_src_path=str(ROOT / "CITATION.cff")))
    files.append(File.generated(config, "reference.md", content=reference()))
    files.append(File.generated(config, "errors.md", content=errors()))
    page, drawn = gallery()
    files.append(File.generated(config, "gallery.md", content=page))
    for name, path in drawn.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for name, text in notebook_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """A page in docs/, with its links to pages that stand elsewhere in the repository."""
    name = page.file.src_uri
    markdown = markdown.replace("<!-- fields -->", saved_fields())
    markdown = markdown.replace("<!-- tables of results -->", result_tables())
    return markdown if page.file.generated_by else moved(markdown, f"docs/{name}", name)
