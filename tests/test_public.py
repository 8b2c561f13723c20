"""The public surface: every promised name is there, and importing the package stays cheap."""

import subprocess
import sys

import pytest

import hc_interp as hc

HEAVY = ("torch", "transformers", "transformer_lens", "nnsight", "plotly", "sklearn", "pandas", "datasets")


@pytest.mark.parametrize("name", hc.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(hc, name) is not None


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, hc_interp; print([m for m in {HEAVY} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hc.nonsense  # noqa: B018
