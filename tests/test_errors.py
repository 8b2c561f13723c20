"""A warning names the line outside the package that asked for the work."""

import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

import hc_interp
from hc_interp.errors import HCWarning, warn

PACKAGE = Path(hc_interp.__file__).parent


@pytest.mark.parametrize("file", [f"{PACKAGE}_own/mine.py", str(PACKAGE.parent / "contextlib_of_mine.py")])
def test_a_file_with_a_name_like_the_packages_is_outside(file) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(compile("\n\nwarn('look')", file, "exec"), {"warn": warn})
    assert [(item.filename, item.lineno, item.category) for item in caught] == [(file, 3, HCWarning)]


def test_the_packages_own_lines_and_decorators_are_passed() -> None:
    @contextmanager
    def around():
        yield

    inside = {"warn": warn, "around": around}
    exec(compile("@around()\ndef asked():\n    warn('look')", str(PACKAGE / "search" / "made.py"), "exec"), inside)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inside["asked"]()
    assert [item.filename for item in caught] == [__file__]
