"""The code of a page of the site: run block by block as a reader would, its shown output compared with what came out.

A page is run in an empty folder, its Python blocks in order in one namespace. A block with `title="NAME"` is a file of
that name. In a `sh` block the lines that begin with `hc-interp` are run. A `text` block with `title="Output"` shows
what the block before it printed: `...` stands for anything, and a number may be off by two of its last digit. Where
training decides what comes out, the title is "Output (can differ between machines)", and anything counts as the same.
A Python block whose title begins with "Not run here" needs a package that is no dependency; it only has to compile.

`python tests/page_code.py docs/PAGE.md` runs a page and writes what came out into its output blocks.
"""

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import textwrap
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
OUTPUT = "Output"
CAN_DIFFER = "Output (can differ between machines)"
NOT_RUN = "Not run here"
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?: +title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"-?\d*\.\d+(?:e[+-]?\d+)?|-?\d+(?:e[+-]?\d+)?")
_LAST_DIGITS = 2


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its title or "", its text, the line on which that begins, and its indent."""

    language: str
    title: str
    text: str
    line: int
    span: tuple[int, int]
    indent: str

    @property
    def is_output(self) -> bool:
        return self.title in (OUTPUT, CAN_DIFFER)

    @property
    def is_run(self) -> bool:
        return self.language in ("python", "sh") and not self.title.startswith(NOT_RUN)

    @property
    def commands(self) -> list[list[str]]:
        """The words of each `hc-interp` command of a shell block, without the program's name."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("hc-interp ")]


def pages() -> list[str]:
    """The pages of the site that are written by hand, by their path in docs/."""
    return sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order. Raises `ValueError` for a shown output that follows no code."""
    every = [
        Block(
            match["language"],
            match["title"] or "",
            _without(match["indent"], match["body"]),
            text[: match.start("body")].count("\n") + 1,
            match.span("body"),
            match["indent"],
        )
        for match in _FENCE.finditer(text)
    ]
    for before, block in zip([None, *every], every, strict=False):
        if block.is_output and (before is None or before.is_output or not before.is_run):
            raise ValueError(f"the output on line {block.line} follows no python or sh block that is run")
    return every


def _without(indent: str, body: str) -> str:
    return "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))


@dataclass(frozen=True)
class Printed:
    """What one block printed, and the block that shows it, if the page does."""

    code: Block
    text: str
    shown: Block | None
    seconds: float

    @property
    def is_as_shown(self) -> bool:
        """Whether the code printed what the page shows. True for a block whose output is not shown."""
        if self.shown is None:
            return True
        return bool(self.text.strip()) if self.shown.title == CAN_DIFFER else same(self.shown.text, self.text)


class _Stop(Exception):
    """A command's exit code, in place of the end of the process."""


def run_page(text: str, folder: Path, name: str = "page") -> Iterator[Printed]:
    """Run the code of a page in `folder`, one block a step, and give what each printed. An error ends the page."""
    every = blocks(text)
    names: dict[str, object] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        for index, block in enumerate(every):
            after = every[index + 1] if index + 1 < len(every) else None
            shown = after if after is not None and after.is_output else None
            if block.is_output or block.title.startswith(NOT_RUN):
                continue
            if block.title:
                Path(block.title).parent.mkdir(parents=True, exist_ok=True)
                Path(block.title).write_text(block.text, encoding="utf-8")
            if not block.is_run:
                continue
            began = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()) as out:
                _run(block, names, folder, f"{name}_{block.line}.py")
            yield Printed(block, out.getvalue(), shown, time.perf_counter() - began)


def _run(block: Block, names: dict[str, object], folder: Path, file_name: str) -> None:
    if block.language == "python":
        path = folder / ".code" / file_name  # a real file: nnsight reads the source of a trace
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")  # lines as on the page
        names["__file__"] = str(path)
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    for words in block.commands if block.language == "sh" else ():
        call(words)


def call(words: Sequence[str]) -> None:
    """One `hc-interp` command, in this process. Raises `_Stop` for an exit code other than 0."""
    from hc_interp import cli

    before, sys.argv = sys.argv, ["hc-interp", *words]
    try:
        cli.main()
    except SystemExit as stop:
        if stop.code:
            raise _Stop(f"hc-interp {shlex.join(words)} ended with {stop.code}") from stop
    finally:
        sys.argv = before


def same(shown: str, printed: str) -> bool:
    """Whether a page's output is what was printed, by the rules at the top. Space at the ends of lines is free."""
    parts = _tidy(shown).split("...")
    match = re.fullmatch(r"[\s\S]*?".join(map(_any_numbers, parts)), _tidy(printed))
    numbers = [number for part in parts for number in _NUMBER.findall(part)]
    return match is not None and all(map(_near, numbers, match.groups()))


def _any_numbers(text: str) -> str:
    """A pattern for the text with other numbers in it, each a group."""
    words = [re.escape(word) for word in _NUMBER.split(text)]
    return f"({_NUMBER.pattern})".join(words)


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def _near(shown: str, printed: str) -> bool:
    """Whole numbers are counts, and must be equal."""
    if "." not in shown:
        return Decimal(shown) == Decimal(printed)
    last_digit = Decimal(1).scaleb(int(Decimal(shown).as_tuple().exponent))
    return abs(Decimal(shown) - Decimal(printed)) <= _LAST_DIGITS * last_digit


def main(paths: Sequence[str]) -> int:
    """Run pages, and write what came out into the output blocks that do not show it. Returns how many pages failed."""
    failed = 0
    for path in map(Path, paths):
        text, steps = path.read_text(encoding="utf-8"), []
        try:
            with tempfile.TemporaryDirectory() as folder:
                for step in run_page(text, Path(folder), path.stem):
                    steps.append(step)
                    print(f"{path}:{step.code.line} {step.seconds:.1f} s\n{step.text}", flush=True)
        except Exception:
            failed += 1
            print(f"{path} failed\n{traceback.format_exc()}", flush=True)
        for step in reversed(steps):
            if step.shown is not None and (not step.is_as_shown or not step.shown.text.strip()):
                start, end = step.shown.span
                shown = textwrap.indent(f"{_tidy(step.text)}\n", step.shown.indent)
                text = f"{text[:start]}{shown}{text[end:]}"
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {sum(step.seconds for step in steps):.1f} s", flush=True)
    return failed


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "120")
    warnings.simplefilter("default")
    sys.exit(main(sys.argv[1:]))
