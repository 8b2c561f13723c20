"""Spans: the characters of each row's texts that play a role, such as its subject. It loads without torch.

`{"subject": [(4, 9), (4, 10)]}` gives one span for each of two rows of single texts. Where rows have two texts a span
says which one it is in: `(4, 9, "first")` or `(4, 9, "second")`.
"""

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from hc_interp.components import check_role
from hc_interp.errors import DataError

TEXTS = ("first", "second")
EVERYWHERE = ("cls", "sep", "last")  # roles that every row's tokens decide, so that no span can
Span = tuple[int, int, str]  # start, end and the text that it is in
Spans = dict[str, tuple[tuple[Span, ...], ...]]  # of each role, row by row; () for a row without the role


def as_spans(spans: Mapping[str, Sequence[Any]] | None, first: Sequence[str], second: Sequence[str] | None) -> Any:
    """The spans as they are stored, in `Spans`. A row may give one span, several, or None.

    Raises `DataError`, which names role and row, for what is no span of the row's texts, and `ComponentError` for a
    text that can name no role.
    """
    if spans is None:
        return None
    stored: Spans = {}
    for role, rows in spans.items():
        if check_role(role) in EVERYWHERE:
            raise DataError(
                f"Examples.spans names the role {role!r}, whose positions the tokens of a row decide. Choose another "
                "name."
            )
        if isinstance(rows, str) or len(rows) != len(first):
            raise DataError(
                f"Examples.spans has {len(rows)} entries for the role {role!r} and {len(first)} rows; expected the "
                "span of each row: spans={'subject': [(4, 9), (4, 10), ...]}."
            )
        stored[role] = tuple(
            tuple(_span(span, role, row, first, second) for span in _listed(entry)) for row, entry in enumerate(rows)
        )
    return stored


def span_rows(spans: Spans | None, indices: Sequence[int]) -> Spans | None:
    """The spans of these rows."""
    return None if spans is None else {role: tuple(rows[i] for i in indices) for role, rows in spans.items()}


def joined_spans(parts: Sequence[tuple[Spans | None, int]]) -> Spans | None:
    """The spans of all rows of parts with so many rows each. Rows of a part without a role do not have it."""
    names = dict.fromkeys(role for spans, _ in parts for role in spans or {})
    return {role: tuple(row for spans, n in parts for row in (spans or {}).get(role, ((),) * n)) for role in names} or (
        None
    )


def filled(template: str, **values: str) -> tuple[str, dict[str, list[tuple[int, int]]]]:
    """The text of a template with its fields filled, and the start and end of each mention of a field."""
    formatter, text, places = Formatter(), "", {name: [] for name in values}
    for literal, name, spec, conversion in formatter.parse(template):
        text += literal
        if name is not None:
            value = formatter.format_field(formatter.convert_field(values[name], conversion), spec or "")
            places[name].append((len(text), len(text) + len(value)))
            text += value
    return text, places


def _listed(entry: Any) -> Sequence[Any]:
    """The spans of a row: of None none, of a single span that one."""
    if entry is None:
        return ()
    if isinstance(entry, str) or not isinstance(entry, Sequence):
        return (entry,)
    several = not entry or (isinstance(entry[0], Sequence) and not isinstance(entry[0], str))
    return entry if several else (entry,)


def _span(span: Any, role: str, row: int, first: Sequence[str], second: Sequence[str] | None) -> Span:
    known = TEXTS if second is not None else TEXTS[:1]
    parts = list(span) if isinstance(span, Sequence) and not isinstance(span, str) else []
    if len(parts) == 2 and second is None:
        parts.append(TEXTS[0])
    usual = len(parts) == 3 and all(isinstance(end, int) and not isinstance(end, bool) for end in parts[:2])
    if usual and parts[2] in known:
        start, end, name = parts
        text = first[row] if name == TEXTS[0] or second is None else second[row]
        if 0 <= start < end <= len(text):
            return start, end, name
    expected = "(start, end)" if second is None else '(start, end, "first") or (start, end, "second")'
    texts = f"its text {first[row]!r}" if second is None else f"its texts {first[row]!r} and {second[row]!r}"
    raise DataError(
        f"Examples.spans holds {span!r} for the role {role!r} in row {row}. Expected {expected}, in characters with "
        f"0 <= start < end, inside {texts}; several spans as a list of these, None for a row without the role."
    )
