"""The package's own imports stand at the top of their files; pyproject.toml says which room may import which."""

import ast
from pathlib import Path

import pytest

import hc_interp

PACKAGE = Path(hc_interp.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def own_imports(nodes: list[ast.stmt]) -> set[int]:
    """Lines on which these statements, or what stands inside them, import from the package."""
    found = set()
    for node in (inner for statement in nodes for inner in ast.walk(statement)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] == "hc_interp" for name in names):
            found.add(node.lineno)
    return found


@pytest.mark.parametrize("file", FILES)
def test_no_import_of_the_package_hides_in_a_function_or_a_branch(file: str) -> None:
    statements = ast.parse((PACKAGE / file).read_text(encoding="utf-8")).body
    at_the_top = {node.lineno for node in statements if isinstance(node, ast.Import | ast.ImportFrom)}
    assert own_imports(statements) <= at_the_top


def test_hidden_imports_are_seen() -> None:
    text = "if TYPE_CHECKING:\n    from hc_interp.files import atomic\ndef f():\n    import hc_interp.files\n"
    hidden = ast.parse(text)
    assert own_imports(hidden.body) == {2, 4}
