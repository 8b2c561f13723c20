"""The list of mutants keeps up with the package: `python tests/mutants.py` tries them, which takes minutes."""

import ast

import pytest
from mutants import ROOT, Mutant, mutants

MUTANTS = mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.means}")
def test_the_line_stands_once_and_the_change_is_another_program(mutant: Mutant) -> None:
    original = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(mutant.mutated())) != ast.dump(ast.parse(original))


@pytest.mark.parametrize("test", sorted({mutant.test for mutant in MUTANTS}))
def test_the_named_test_exists(test: str) -> None:
    path, name = test.split("[")[0].split("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_line_that_moved_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"holds 0 times, not once: 'no such line'"):
        Mutant("hc_interp/shares.py", "no such line", "", "", "").mutated()
