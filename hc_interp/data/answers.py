"""Answers and foils: the words of each row by which a language model is scored, as texts. It loads without torch."""

from collections.abc import Iterable, Sequence

from hc_interp.errors import DataError

Words = tuple[tuple[str, ...], ...]  # the words of each row


def as_words(words: Iterable[str | Sequence[str]] | None, n_rows: int, name: str) -> Words | None:
    """The words as they are stored: a tuple for each row. Raises `DataError` for rows that are not words."""
    if words is None:
        return None
    stored = () if isinstance(words, str) else tuple((row,) if isinstance(row, str) else tuple(row) for row in words)
    if len(stored) != n_rows:
        given = f"the one text {words!r}" if isinstance(words, str) else f"{len(stored)} entries"
        raise DataError(
            f"Examples.{name} is {given} for {n_rows} rows; expected a word, or a tuple of words, for each row: "
            f"{name}=[' Mary', (' 51', ' 52'), ...]."
        )
    for index, row in enumerate(stored):
        if not row or not all(isinstance(word, str) and word for word in row) or len(set(row)) != len(row):
            raise DataError(
                f"Examples.{name} is {row!r} in row {index}; expected one word, or a tuple of different words, as the "
                "text would go on with them: ' Mary'."
            )
    return tuple(tuple(str(word) for word in row) for row in stored)


def check_words(answer: Words | None, foil: Words | None) -> None:
    """Raise `DataError` unless there are both or neither, and no word of a row is answer and foil."""
    if (answer is None) != (foil is None):
        given, missing = ("foil", "answer") if answer is None else ("answer", "foil")
        raise DataError(
            f"Examples has {given}= but no {missing}=; a row is scored by the difference of both. Give both."
        )
    for index, (right, wrong) in enumerate(zip(answer or (), foil or (), strict=True)):
        if both := set(right) & set(wrong):
            raise DataError(f"Row {index} has {sorted(both)[0]!r} as answer and as foil; expected different words.")
