"""The script that times two source trees: what a tree's process answers, and the ratios."""

import importlib.util
import io
import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments/benchmarks/two_trees.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("two_trees", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "two_trees", module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module


@pytest.fixture
def answers(script, monkeypatch, capsys):
    """What the process of a tree answers to questions."""
    threads = torch.get_num_threads()

    def ask(folder, *questions):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{json.dumps(words)}\n" for words in questions)))
        script.serve(folder)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    yield ask
    torch.set_num_threads(threads)


def test_a_tree_answers_by_seconds_and_a_number(script, answers) -> None:
    questions = [("gpt2", "tiny", task) for task in script.TASKS]
    found = answers(ROOT, *questions, questions[0])
    assert all(seconds > 0 and number > 0 for seconds, number in found)
    assert len({number for _, number in found}) == len(script.TASKS)
    assert found[0][1] == found[-1][1]  # the same number of the same task


def test_a_tree_computes_with_its_own_package(answers, tmp_path) -> None:
    with pytest.raises(SystemExit, match=f"not from {tmp_path}"):
        answers(tmp_path)


@pytest.mark.parametrize(("number", "marked"), [(2.0001, False), (2.001, True)])
def test_ratios_are_new_by_old(script, number, marked) -> None:
    compared = script.Compared("bert tiny load", [1.0, 2.0, 1.0, 4.0], [2.0, 2.0, 2.0, 2.0], (2.0, number))
    assert compared.ratios == [2, 1, 2, 0.5]
    assert " 1500.0 ->   2000.0 ms   1.500 (quartiles 0.625 to 2.000), of minima 2.000" in str(compared)
    assert ("ANOTHER NUMBER: 2 became 2.001" in str(compared)) is marked
    other = script.Compared("bert tiny load", [1.0], [3.0], (2.0, 2.0))
    both = script.joined([other, compared])
    assert both.ratios == [3, 2, 1, 2, 0.5]
    assert both.same is not marked
