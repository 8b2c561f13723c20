"""Every public name says what it is: arguments, errors, shapes and sources, as far as a program can check docstrings.

A parameter is named in the docstring, in that of its class or module, or of the function that the docstring points
to ("as in `fit_probe`"), or it means the same everywhere (`SHARED` of the reference).
"""

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hc_interp as hc
from hc_interp.records.result import Result

sys.path.insert(0, str(Path(__file__).parents[1] / "docs/hooks"))
from reference import SHARED

# Functions and classes that follow papers: their docstrings name them.
FROM_PAPERS = (
    "Erase", "attention_profile", "attribution_patching", "faithfulness", "faithfulness_curve", "features.negation",
    "fit_probe", "gradient_importance", "path_effects", "sample_subnetworks", "search_extremes", "search_masks",
)  # fmt: skip
TENSOR = re.compile(r"\b(Tensor|ndarray)\b")
TYPED = re.compile(r"\b(Float|Float32|Float64|Int|Int64|Bool|Shaped|UInt8|Real|Num)\[|jaxtyping")
SHAPE = re.compile(r"\[[\w*.]+(, ?[\w*.]+)*\]|\bshapes?\b|broadcast|one number")
SAME = re.compile(r"as in `(\w+)`")
OTHERS = re.compile(r"`(\w+)` at each[^`]*`sites`.*Other arguments", re.DOTALL)  # `probe_map`


@dataclass(frozen=True)
class Named:
    """A public function, method, property or class, and the docstrings that readers see beside its own."""

    name: str
    value: Any
    kind: str
    around: str = ""

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.value) or ""

    @property
    def text(self) -> str:
        return f"{self.doc}\n{self.around}"

    @cached_property
    def function(self) -> Callable[..., Any]:
        return inspect.unwrap(self.value)


def functions_of(cls: type) -> Iterator[tuple[str, Any, str]]:
    """The public methods and properties that a class defines itself, without those that override a documented one."""
    for name, value in vars(cls).items():
        above = any(getattr(getattr(base, name, None), "__doc__", None) for base in cls.__mro__[1:])
        if name.startswith("_") or (above and not getattr(value, "__doc__", None)):
            continue
        value = getattr(value, "__func__", value)
        if inspect.isfunction(value):
            yield name, value, "method"
        elif (getter := getattr(value, "fget", None) or getattr(value, "func", None)) is not None:
            yield name, getter, "property"


def of_module(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The functions and classes that a public module offers: those in `__all__`, or else its own."""
    for name in getattr(module, "__all__", None) or [key for key in vars(module) if not key.startswith("_")]:
        item = getattr(module, name)
        is_own = hasattr(module, "__all__") or getattr(item, "__module__", "").startswith(module.__name__)
        if is_own and (inspect.isfunction(item) or inspect.isclass(item)):
            yield name, item


def public() -> Iterator[Named]:
    """Everything that the reference shows, and the functions and classes of public modules."""
    for name in hc.__all__:
        value = getattr(hc, name)
        if inspect.isclass(value):
            yield Named(name, value, "class")
            for own, function, kind in functions_of(value):
                yield Named(f"{name}.{own}", function, kind, inspect.getdoc(value) or "")
        elif inspect.isfunction(value):
            yield Named(name, value, "function")
        elif inspect.ismodule(value):
            yield Named(name, value, "module")
            for own, item in of_module(value):
                kind = "class" if inspect.isclass(item) else "function"
                yield Named(f"{name}.{own}", item, kind, inspect.getdoc(sys.modules[item.__module__]) or "")


ALL = list(public())
CALLS = [item for item in ALL if item.kind in ("function", "method")]
BY_NAME = {item.name: item for item in ALL}


def unnamed(item: Named) -> list[str]:
    """The parameters that no docstring of a function explains."""
    pointed = [BY_NAME[name].doc for name in SAME.findall(item.doc) + OTHERS.findall(item.doc) if name in BY_NAME]
    text = "\n".join([item.text, *pointed])
    parameters = list(inspect.signature(item.function).parameters.values())
    first = next((p for p in parameters if p.name not in ("self", "cls")), None)
    missing = []
    for parameter in parameters:
        is_plain = parameter.name in ("self", "cls", *SHARED)
        is_result = parameter is first and inspect.isclass(first.annotation) and issubclass(first.annotation, Result)
        if not (is_plain or is_result or re.search(rf"\b{parameter.name}\b", text)):
            missing.append(parameter.name)
    return missing


def without_shape(item: Named) -> list[str]:
    """The tensors among a function's arguments and values, or a dataclass's fields, whose shape nothing tells."""
    if item.kind == "class":
        typed = {field.name: field.type for field in fields(item.value) if not field.name.startswith("_")}
    else:
        signature = inspect.signature(item.function)
        typed = {name: p.annotation for name, p in signature.parameters.items()} | {
            "value": signature.return_annotation
        }
    shown = {name: kind.__name__ if inspect.isclass(kind) else str(kind) for name, kind in typed.items()}
    tensors = [name for name, kind in shown.items() if TENSOR.search(kind) and not TYPED.search(kind)]
    return [name for name in tensors if name not in SHARED and not SHAPE.search(item.text)]


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_it_has_a_docstring(item: Named) -> None:
    assert len(item.doc.split()) >= 2


def test_parameters_are_explained() -> None:
    assert {item.name: missing for item in CALLS if (missing := unnamed(item))} == {}


def test_errors_are_named_where_they_are_raised() -> None:
    silent = []
    for item in CALLS:
        source = textwrap.dedent(inspect.getsource(item.function))
        if re.search(r"^\s+raise\b", source, re.MULTILINE) and not re.search(r"\b[Rr]aises?\b|\w+Error\b", item.doc):
            silent.append(item.name)
    assert silent == []


def test_tensors_have_shapes() -> None:
    data = [item for item in ALL if item.kind == "class" and is_dataclass(item.value)]
    assert {item.name: missing for item in [*CALLS, *data] if (missing := without_shape(item))} == {}


@pytest.mark.parametrize("name", FROM_PAPERS)
def test_what_follows_a_paper_names_it(name: str) -> None:
    assert re.search(r"\b(19|20)\d\d\b", BY_NAME[name].doc)
