"""Progress is shown where it can be: bars on a terminal, a renewed line in a notebook, plain lines elsewhere."""

import io
import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
from path_pairs import make_pairs
from tiny import tiny_batch

from hc_interp import progress
from hc_interp.progress import stage


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now.value)
    return now


@pytest.fixture
def notebook(monkeypatch):
    """A kernel's IPython: what is shown, by the number of its display, with every renewal."""
    shown: list[list[dict[str, str]]] = []

    def display(bundle, *, raw, display_id):
        assert raw
        assert display_id
        views = [bundle]
        shown.append(views)
        return SimpleNamespace(update=lambda bundle, *, raw: views.append(bundle))

    ipython, module = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_without_a_terminal_each_finished_part_is_a_line(clock, capsys) -> None:
    with stage("mask search", 4) as work:
        for part in ("one", "two"):
            for _ in range(2):
                clock.value += 40
                work.advance()
                with stage("exchanges", 1) as inner:
                    clock.value += 2
                    inner.advance()
            work.part(part)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "  exchanges: 1 of 1, 0:02",
        "  exchanges: 1 of 1, 0:02",
        "  mask search: 2 of 4, 1:24; finished one",
        "  exchanges: 1 of 1, 0:02",
        "  exchanges: 1 of 1, 0:02",
        "  mask search: 4 of 4, 2:48; finished two",
        "mask search: 4 of 4, 2:48",
    ]
    assert "\r" not in said.err
    assert "\x1b" not in said.err


def test_what_takes_no_second_is_not_said_and_what_stops_says_so(clock, capsys) -> None:
    with stage("quick", 3) as work:
        for part in range(3):
            clock.value += 0.3
            work.advance()
            work.part(str(part))
    assert capsys.readouterr().err == ""

    def fail() -> None:
        with stage("slow", 3) as work:
            work.advance()
            clock.value += 3700
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert capsys.readouterr().err == "slow: 1 of 3, 1:01:40; stopped\n"


def test_in_a_notebook_one_bar_is_renewed(clock, notebook, capsys) -> None:
    with stage("a <b>", 10) as work:
        for _ in range(10):
            clock.value += 1
            work.advance()
            work.part("nothing to say")
            with stage("inner", 2) as inner:
                clock.value += 1
                inner.advance()
    assert len(notebook) == 1
    views = [view["text/plain"] for view in notebook[0]]
    assert len(views) == 22
    assert views[0] == "a <b>: 0 of 10, 0:00"
    assert views[1] == "a <b>: 1 of 10, 0:01, 0:09 left"
    assert views[2] == "a <b>: 1 of 10, 0:02, 0:18 left; inner: 1 of 2, 0:01"
    assert views[-1] == "a <b>: 10 of 10, 0:20"
    assert '<progress value="1" max="10"></progress> a &lt;b&gt;: 1 of 10' in notebook[0][1]["text/html"]
    assert capsys.readouterr().err == ""


def test_a_notebook_is_not_flooded(clock, notebook) -> None:
    with stage("many", 1000) as work:
        for _ in range(1000):
            clock.value += 0.001
            work.advance()
    assert len(notebook[0]) < 8


def test_ipython_on_a_console_is_no_notebook(monkeypatch, clock, capsys) -> None:
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    with stage("work", 1) as work:
        clock.value += 5
        work.advance()
    assert capsys.readouterr().err == "work: 1 of 1, 0:05\n"


def test_on_a_terminal_there_are_bars(monkeypatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with stage("outer", 2) as outer:
        outer.advance()
        with stage("inner", 1) as inner:
            inner.advance()
        outer.part("not said")
        outer.advance()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "outer" in text
    assert "2/2" in text
    assert "not said" not in text
    with stage("next", 1) as after:
        after.advance()
    assert "next" in terminal.getvalue()


def test_a_search_and_a_sweep_say_each_finished_part(monkeypatch, capsys, tiny_bert) -> None:
    import hc_interp as hc

    monkeypatch.setattr(progress, "PAUSE", 0.0)
    hc.search_masks(tiny_bert, [tiny_batch(8, seed=i) for i in range(8)], 0.5, 2, 0, steps=2, exchanges=0, batch_size=4)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("; ")[1] for line in lines if ";" in line] == [
        "finished the mask of sparsity 0.5 and seed 0",
        "finished the mask of sparsity 0.5 and seed 1",
    ]
    monkeypatch.setattr("hc_interp.patching.shards.SENDERS_PER_BLOCK", 2)
    hc.path_effects(tiny_bert, make_pairs(4), ["L0H0", "L0H1", "L1H0"], ["L2H0"])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("; ")[1] for line in lines if ";" in line] == [
        f"finished block {block} of 2 of batch {batch} of 2" for batch in (1, 2) for block in (1, 2)
    ]
