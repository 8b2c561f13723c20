"""The package's own imports stand at the top of their files; pyproject.toml says which room may import which."""

import ast
import json
import subprocess
import sys
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


def undefined_names(folder: Path) -> list[str]:
    """Names that no code defines, as ruff finds them, without the axis names inside jaxtyping's strings."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--no-cache",
        "--select=F821",
        "--output-format=json",
    ]
    run = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    names = []
    for item in json.loads(run.stdout):
        path, row, column = Path(item["filename"]), item["location"]["row"], item["location"]["column"]
        if not any(
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (node.lineno, node.col_offset) < (row, column) <= (node.end_lineno, node.end_col_offset)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        ):
            names.append(f"{path.name}:{row}: {item['message']}")
    return names


def test_every_name_is_defined() -> None:
    assert undefined_names(PACKAGE) == []


def test_undefined_names_are_seen(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def f(x: \"Int[Tensor, 'pos']\"):\n    return missing(x)\n")
    assert [line.split(": ", 1)[0] for line in undefined_names(tmp_path)] == ["one.py:2"]
