"""Small changes of the package, each of which one named test must notice: `python tests/mutants.py [pattern ...]`.

`mutants.toml` lists them. Each is made in a copy of the package; its test must pass there before and fail after. With
patterns, only entries are tried whose file, meaning or test holds one of them. Prints a line for each and the counts.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("hc_interp", "tests", "pyproject.toml")
FAILED = 1  # pytest's exit status where tests ran and failed; an error before they run has another


@dataclass(frozen=True)
class Mutant:
    """`line` stands once in `file` and becomes `changed`; `test` then fails, since the package `means` otherwise."""

    file: str
    line: str
    changed: str
    test: str
    means: str

    def mutated(self, root: Path = ROOT) -> str:
        """The file's text after the change. Raises `ValueError` unless the line stands there exactly once."""
        text = (root / self.file).read_text(encoding="utf-8")
        if (n := text.count(self.line)) != 1:
            raise ValueError(f"{self.file} holds {n} times, not once: {self.line!r}")
        return text.replace(self.line, self.changed)


def mutants() -> list[Mutant]:
    entries = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8"))
    return [Mutant(**entry) for entry in entries["mutant"]]


def status(tests: Sequence[str], root: Path) -> int:
    """pytest's exit status for these tests in a copy. No bytecode is kept: it is known by the second it was made in."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False).returncode


def outcome(mutant: Mutant, root: Path) -> str:
    file, original = root / mutant.file, (root / mutant.file).read_text(encoding="utf-8")
    try:
        file.write_text(mutant.mutated(root), encoding="utf-8")
        code = status([mutant.test], root)
    finally:
        file.write_text(original, encoding="utf-8")
    return {0: "SURVIVED", FAILED: "killed"}.get(code, f"ERROR (pytest's status {code})")


def main(patterns: Sequence[str]) -> int:
    chosen = [
        item
        for item in mutants()
        if not patterns or any(p in text for p in patterns for text in (item.file, item.means, item.test))
    ]
    with tempfile.TemporaryDirectory(prefix="hc_interp-mutants-") as folder:
        root = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)
        for unwanted in root.rglob("__pycache__"):
            shutil.rmtree(unwanted)
        tests = sorted({item.test for item in chosen})
        if tests and status(tests, root):
            print("Some of the named tests fail on the package as it is. Mend these first.")
            return 1
        found = []
        for item in chosen:
            found.append(outcome(item, root))
            print(f"{found[-1]}: {item.file}: {item.means} ({item.test})", flush=True)
    print(f"{found.count('killed')} of {len(found)} killed")
    return int(found.count("killed") < len(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
