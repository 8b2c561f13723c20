"""`digest`: a hash of everything that shaped a result, by which resumed work is recognised as the same work.

Fields and source text are hashed, never bytecode: two versions of Python compile the same text to different code.
"""

import ast
import dataclasses
import hashlib
import inspect
import textwrap
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from hc_interp.errors import HCError

PLAIN = frozenset((str, int, float, bool, bytes, type(None)))  # hashed by their repr; a vocabulary has thousands
NOT_HASHED = {"hashed": False}  # metadata of a dataclass field


@runtime_checkable
class Identified(Protocol):
    """An object whose `identity()` is hashed in its place. Models and contrast pairs have one."""

    def identity(self) -> Any: ...


def digest(*values: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the values' content.

    Of a function, the name, the source text, the defaults and the values of the variables that it closes over are
    hashed. Of a function written in C it is the name, and of any other callable object the type and the attributes.
    What a function looks up in its module is not hashed. An object that has `identity()` is replaced by the value which
    that returns. Fields of a dataclass that are marked `NOT_HASHED` tell where its content came from. They are left
    out.

    Raises `HCError` for a function whose source text cannot be read.
    """
    sha = hashlib.sha256()
    _feed(sha, values)
    return sha.hexdigest()[:16]


def _feed(sha: Any, value: Any, inside: frozenset[int] = frozenset()) -> None:
    """Add a value to the hash. `inside` holds the ids of the objects that contain it: no object is entered twice."""
    if type(value) in PLAIN:
        sha.update(repr(value).encode())
        return
    if id(value) in inside:
        sha.update(b"itself")
        return
    if isinstance(value, Tensor | np.ndarray):
        array = torch.as_tensor(value).detach().cpu().contiguous()
        sha.update(repr((array.dtype, tuple(array.shape))).encode())
        sha.update(array.flatten().view(torch.uint8).numpy().data if array.numel() else b"")
    elif isinstance(value, Identified) and callable(value.identity) and not isinstance(value, type):
        _feed(sha, value.identity(), inside)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        hashed = [field for field in dataclasses.fields(value) if field.init and field.metadata.get("hashed", True)]
        fields = {field.name: getattr(value, field.name) for field in hashed}
        _feed(sha, (type(value).__name__, fields), inside)
    elif isinstance(value, dict):
        _feed(sha, tuple(value.items()), inside)
    elif isinstance(value, list | tuple):
        sha.update(f"{type(value).__name__} of {len(value)}".encode())
        for item in value:
            _feed(sha, item, inside)
    elif isinstance(value, set | frozenset):  # its order differs between processes
        _feed(sha, (type(value).__name__, sorted(digest(item) for item in value)), inside)
    elif isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if not _empty(cell)]
        parts = (value.__qualname__, _source(value), value.__defaults__, value.__kwdefaults__, cells)
        _feed(sha, parts, inside | {id(value)})
    elif isinstance(value, MethodType):
        _feed(sha, (value.__func__, value.__self__), inside)
    elif isinstance(value, BuiltinFunctionType):
        owner = value.__self__  # the module of a function, the object of a method
        module = owner is None or isinstance(owner, ModuleType)
        _feed(sha, (value.__module__, value.__qualname__, None if module else owner), inside)
    elif isinstance(value, partial):
        _feed(sha, (value.func, value.args, value.keywords), inside)
    elif isinstance(value, torch.nn.Module):
        _feed(sha, (type(value).__qualname__, value.state_dict()), inside)
    elif callable(value) or type(value).__repr__ is object.__repr__:  # a repr that is an address
        attributes = {} if isinstance(value, type) else getattr(value, "__dict__", {})
        name = getattr(value, "__qualname__", getattr(value, "__name__", type(value).__qualname__))
        _feed(sha, (name, attributes), inside | {id(value)})
    else:
        sha.update(repr(value).encode())


def _empty(cell: Any) -> bool:
    """Whether the variable that a function closes over has no value yet."""
    try:
        cell.cell_contents  # noqa: B018 - an empty cell says so by raising
    except ValueError:
        return True
    return False


def _source(function: FunctionType) -> str:
    """The text of a function's definition in its file, also if the function was made to look like another one."""
    code = function.__code__
    try:
        lines = inspect.findsource(code)[0]
        nodes = [node for node in ast.walk(ast.parse("".join(lines))) if _defines(node, code)]
    except (OSError, TypeError, SyntaxError) as error:
        raise _sourceless(function) from error
    if len(nodes) > 1:  # several lambdas begin on one line
        nodes = sorted((node for node in nodes if _holds(node.body, code)), key=lambda node: -node.col_offset)[:1]
    if not nodes:
        raise _sourceless(function)
    if isinstance(nodes[0], ast.Lambda):
        return ast.get_source_segment("".join(lines), nodes[0]) or ""
    return textwrap.dedent("".join(lines[code.co_firstlineno - 1 : nodes[0].end_lineno]))


def _defines(node: ast.AST, code: CodeType) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]:
    """Whether code with this name and first line (that of the first decorator) can come from this node."""
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
    return code.co_name == node.name and first == code.co_firstlineno


def _holds(body: Any, code: CodeType) -> bool:
    """Whether all instructions of the code come from this body of a lambda, by the positions that Python records."""
    begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    spans = [((line, col), (end_line, end_col)) for line, end_line, col, end_col in code.co_positions() if end_col]
    return bool(spans) and all(begin <= first and last <= end for first, last in spans)


def _sourceless(function: FunctionType) -> HCError:
    return HCError(
        f"The source text of the function {function.__qualname__} cannot be read ({function.__code__.co_filename}), so "
        "work with it could not be recognised when it is resumed. Expected a function that is written in a file: "
        "define it in a module, one lambda on a line, or leave resume= out."
    )
