"""Text that is not ours (tokens, cases, names) as plotly prints it letter by letter, cut to the room that it has.

Plotly reads every tick, title, legend entry and hover text as a small HTML in which `<s>` is a tag and `&lt;` a letter,
and hands what stands between two dollar signs to MathJax.
"""

import unicodedata
from typing import Any

from hc_interp.figures.style import text_width

MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}


def plain(text: Any, room: float | None = None) -> str:
    """The text with plotly's markup escaped; `room`, in points at the usual size, cuts it and ends it with "…".

    Control characters, which no SVG may hold, are written as in Python: a newline as `\\n`.
    """
    letters = [repr(x)[1:-1] if unicodedata.category(x) in ("Cc", "Cs") else x for x in str(text)]
    if room is not None and sum(map(text_width, letters)) > room:
        room -= text_width("…")
        while letters and sum(map(text_width, letters)) > room:
            letters.pop()
        letters.append("…")
    return "".join(MARKUP.get(x, x) for x in letters)
