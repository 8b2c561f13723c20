"""Units: what rows have in common besides their source, such as a verb. Rows that share a level are not independent.

`{"verb": (("saw",), ("saw",), ("helped",))}` gives the levels of unit "verb" for three rows. A row may have several
levels of a unit (two nouns), or none.
"""

from collections.abc import Mapping, Sequence

from hc_interp.errors import DataError

UnitLevels = Mapping[str, Sequence[str | Sequence[str]]]
Levels = tuple[tuple[str, ...], ...]  # the levels of one unit, row by row


def as_unit_levels(units: UnitLevels | None, n_rows: int) -> dict[str, Levels] | None:
    """The units as they are stored, where a text is one level. Raises `DataError` for a unit with other rows."""
    if units is None:
        return None
    stored = {}
    for name, rows in units.items():
        if isinstance(rows, str) or len(rows) != n_rows:
            raise DataError(
                f"The unit {name!r} has {len(rows)} entries for {n_rows} rows. Expected the levels of each row, such "
                "as its verbs: {'verb': [['saw'], ['saw', 'met'], ...]}."
            )
        stored[str(name)] = tuple((row,) if isinstance(row, str) else tuple(map(str, row)) for row in rows)
    return stored


def with_source(sources: Sequence[str], units: UnitLevels | None) -> dict[str, Levels]:
    """The units with "source" among them: what intervals take as dependent."""
    return {"source": tuple((source,) for source in sources), **(as_unit_levels(units, len(sources)) or {})}


def unit_rows(units: UnitLevels | None, indices: Sequence[int]) -> UnitLevels | None:
    """The levels of these rows."""
    return None if units is None else {name: tuple(rows[i] for i in indices) for name, rows in units.items()}


def joined_sides(*sides: Mapping[str, Levels] | None) -> dict[str, Levels] | None:
    """The levels that a row has on any side, for each unit of any side; None if no side names units."""
    known = [side for side in sides if side is not None]
    names = dict.fromkeys(name for side in known for name in side)
    return {
        name: tuple(
            tuple(dict.fromkeys(level for levels in rows for level in levels))
            for rows in zip(*(side[name] for side in known if name in side), strict=True)
        )
        for name in names
    } or None


def stacked(*parts: Mapping[str, Levels]) -> dict[str, Levels]:
    """The levels of all rows of one part after the other. Rows of a part without a unit have no level of it."""
    n_rows = [max(map(len, part.values()), default=0) for part in parts]
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: tuple(row for part, n in zip(parts, n_rows, strict=True) for row in part.get(name, ((),) * n))
        for name in names
    }
