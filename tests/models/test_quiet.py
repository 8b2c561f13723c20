"""Loading a model says nothing: no warning of ours or of the adapters' registration reaches a user."""

import subprocess
import sys


def test_wrapping_a_classifier_prints_nothing() -> None:
    code = (
        "import torch; from tiny import LABELS, tiny_module; import hc_interp as hc\n"
        "hc.load(tiny_module('bert'), labels=LABELS).bridge\n"
        "hc.load('zoo:tiny-overlap@0')"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=__file__.rsplit("/", 2)[0]
    )
    assert process.stdout == ""
    assert process.stderr == ""
