"""`hc-interp explain`: every error has a text whose quoted messages are in the code and whose example raises it."""

import ast
import pickle
import re
import traceback
import warnings
from functools import cache
from pathlib import Path

import pytest

import hc_interp as hc
from hc_interp import errors
from hc_interp.cli.explain import explanations
from hc_interp.figures.images import NoBrowser

PACKAGE = Path(hc.__file__).parent
KINDS = [name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__]
QUOTED = re.compile(r'^- "(.+?)":', re.MULTILINE)


@cache
def texts_in_code() -> str:
    """Every text of the package, f-strings with a blank for each value; their parts are joined as Python joins them."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_error_is_explained_in_the_order_of_the_code() -> None:
    assert list(explanations()) == KINDS


@pytest.mark.parametrize("name", KINDS)
def test_a_text_has_its_parts_and_quotes_messages_that_exist(name) -> None:
    text = explanations()[name]
    places = [text.index(part) for part in ("**Usual causes**", "**Mend**", "```python")]
    assert places == sorted(places)
    assert len(QUOTED.findall(text)) >= 2
    assert [words for words in QUOTED.findall(text) if words not in texts_in_code()] == []


@pytest.mark.parametrize("name", KINDS)
def test_the_example_raises_the_error(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"^```python\n(.*?)^```", explanations()[name], re.MULTILINE | re.DOTALL)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error" if name == "HCWarning" else "ignore")
        with pytest.raises(getattr(errors, name)) as caught:
            exec(compile(code, "example", "exec"), {})
    assert caught.type is getattr(errors, name)


def test_a_traceback_ends_with_the_command_and_the_message_stays_as_it_is() -> None:
    error = hc.ComponentError("'x' is not a component.")
    assert str(error) == "'x' is not a component."
    assert traceback.format_exception(error)[-1] == "More: hc-interp explain ComponentError\n"
    for kind in (errors.HCError, NoBrowser):
        assert kind("a").__notes__ == ["More: hc-interp explain HCError"]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__notes__) == (hc.ComponentError, str(error), error.__notes__)


def test_the_command_explains_lists_and_suggests(hc_interp_call) -> None:
    one = hc_interp_call("explain", "alignmenterror")
    assert one.out.startswith("AlignmentError\n\nThe two sides of a contrast pair have different layouts")
    listed = hc_interp_call("explain").out
    assert all(name in listed for name in KINDS)
    wrong = hc_interp_call("explain", "AlignError")
    assert wrong.code == 2
    assert "did you mean AlignmentError" in wrong.err
    assert wrong.err.endswith("More: hc-interp explain HCError\n")
