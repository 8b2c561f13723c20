"""The command line, called in this process as a user would."""

import sys

import pytest

from hc_interp import cli


class Done:
    """Exit code, standard output and standard error of a call."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


def call(monkeypatch, capsys, *arguments: str) -> Done:
    monkeypatch.setattr(sys, "argv", ["hc-interp", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return Done(int(stop.value.code or 0), captured.out, captured.err)
