"""Test whether generalizing heads read from heuristic heads, on any hooked transformer.

`import hc_interp as hc`. Names load when they are first used, so importing the package is cheap. `__init__.pyi` lists
them, for editors, type checkers and this file.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.2.0"

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_HOME = {
    alias.name: node.module or "" for node in _STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hc_interp' has no attribute {name!r}")
    home = f"hc_interp.{_HOME[name]}".rstrip(".")
    value = vars(import_module(home)).get(name)
    if value is None:  # a module: `hc.figures`, `hc.features`
        value = import_module(f"{home}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
