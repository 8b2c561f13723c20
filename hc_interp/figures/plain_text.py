"""Escapes text from data (tokens, cases, names) for plotly, so that it is printed letter by letter, and shortens it.

Plotly reads every tick, title, legend entry and hover text as a simple HTML: `<s>` is a tag, `&lt;` is a letter, and
text between two dollar signs is given to MathJax.
"""

import unicodedata

from hc_interp.figures.style import text_width

MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}


def plain(text: object, room: float | None = None) -> str:
    """The text with plotly's markup escaped. A text wider than `room` (points, at the usual size) is cut with "…".

    An SVG file may not contain control characters; they are written as in Python, a newline as `\\n`.
    """
    letters = [repr(x)[1:-1] if unicodedata.category(x) in ("Cc", "Cs") else x for x in str(text)]
    if room is not None and sum(map(text_width, letters)) > room:
        room -= text_width("…")
        while letters and sum(map(text_width, letters)) > room:
            letters.pop()
        letters.append("…")
    return "".join(MARKUP.get(x, x) for x in letters)
