"""The page of errors: the texts that `hc-interp explain` shows, which are shipped with the package."""

from reference import ROOT

TEXTS = ROOT / "hc_interp/cli/explanations.md"
INTRODUCTION = """# Errors

What each error of the package means, its usual causes, and the mend. In quotes stand words of its messages.
`hc-interp explain AlignmentError` shows the same in the terminal, and a traceback ends with that line. The code below
each raises the error."""


def errors() -> str:
    """The page."""
    return f"{INTRODUCTION}\n\n{TEXTS.read_text(encoding='utf-8')}"
