"""`hc-interp explain`: what an error class means, its usual causes and messages, and the mend.

The texts are in `explanations.md`, a section for each class. The page docs/errors.md of the site is made of them too.
"""

import difflib
import re
from functools import cache
from importlib.resources import files
from typing import Annotated

import typer

from hc_interp.cli.about import ABOUT
from hc_interp.cli.shell import command
from hc_interp.cli.show import Shown
from hc_interp.errors import HCError

TEXTS = "explanations.md"


@cache
def explanations() -> dict[str, str]:
    """The explanation of each error class, by the class's name, as Markdown without its heading."""
    text = files("hc_interp.cli").joinpath(TEXTS).read_text(encoding="utf-8")
    _, *parts = re.split(r"^## (\w+)\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


@command("explain", panel=ABOUT)
def explain(
    names: Annotated[list[str] | None, typer.Argument(help="Names of errors, such as AlignmentError.")] = None,
) -> Shown:
    """Explain an error: what it means, its usual causes, and the mend. Without a name, list all errors."""
    texts = explanations()
    if not names:
        first = {name: " ".join(text.split("\n\n")[0].split()) for name, text in texts.items()}
        lines = [f"{name:<18} {text.split('. ')[0].rstrip('.')}." for name, text in first.items()]
        return Shown({"errors": first}, "\n".join([*lines, "", "Explain one: hc-interp explain AlignmentError"]))
    chosen = {name: texts[name] for name in map(_known, names)}
    return Shown(chosen, "\n\n\n".join(f"{name}\n\n{text}" for name, text in chosen.items()))


def _known(name: str) -> str:
    """The class that is meant, whatever its case. Raises `HCError` for a name of none."""
    by_lower = {known.lower(): known for known in explanations()}
    if name.lower() not in by_lower:
        near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0)
        raise HCError(
            f"{name!r} is no error of hc_interp; did you mean {by_lower[near[0]]}? Expected one of "
            f"{', '.join(explanations())}."
        )
    return by_lower[name.lower()]
