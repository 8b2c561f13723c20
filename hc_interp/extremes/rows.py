"""The rows on which ends are searched, and those on which they are reported: other words, templates and cases."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from hc_interp.data.units import Levels
from hc_interp.errors import DataError
from hc_interp.evaluation.score_data import Block
from hc_interp.statistics.units import SOURCE

SELECT, TEST, HELD_OUT = "select", "test", "held_out"
TEMPLATE = "template"  # the unit of templates: a premise pattern and a hypothesis pattern
DRAWS = 50  # divisions of the words that are tried
LEAST_ROWS = 5  # of a case, in each part that it is in

Blocks = dict[str, Block]
Sides = dict[str, np.ndarray]


def split_rows(blocks: Mapping[str, Block], held_out: Collection[str], most: int, seed: int) -> dict[str, Blocks]:
    """The rows of each part by case: "select", "test" and "held_out".

    The levels of every unit but source and template (verbs, nouns) are divided in two halves. A row whose words are all
    in the first half can be selected on, and one whose words are all in the second half is for reporting; rows with
    words of both are in no part. A case with several templates has some of them in select and the others in test. Cases
    of which no row names its words are divided by source. `held_out` cases are in no other part. No source is in both
    select and another part. Of several random divisions the one with the most rows in its smallest case is taken, and
    at most `most` rows of each case are then drawn for select.

    Raises `DataError` if a case has fewer than `LEAST_ROWS` rows in a part.
    """
    units = {case: block.units for case, block in blocks.items()}
    divisions = (_divided(units, held_out, np.random.default_rng([seed, 7, i])) for i in range(DRAWS))
    parts = max(divisions, key=lambda parts: min(len(rows) for rows in _each(parts)))
    for part, by_case in parts.items():
        for case, rows in by_case.items():
            if len(rows) < LEAST_ROWS:
                raise DataError(
                    f"Case {case!r} has {len(rows)} examples for {part!r}, of {len(blocks[case])}: words, and "
                    "templates where a case has several, are divided between the parts. Expected at least "
                    f"{LEAST_ROWS}. Give the task more examples of the case, or leave the case out of it."
                )
    chosen = {part: {c: blocks[c].rows(rows) for c, rows in by_case.items()} for part, by_case in parts.items()}
    chosen[SELECT] = {case: block.sample(most, seed) for case, block in chosen[SELECT].items()}
    return chosen


def _each(parts: Mapping[str, Sides]) -> Iterator[np.ndarray]:
    return (rows for by_case in parts.values() for rows in by_case.values())


def _divided(
    units: Mapping[str, Mapping[str, Levels]], held_out: Collection[str], rng: np.random.Generator
) -> dict[str, Sides]:
    """The row numbers of each part by case, for one random division of words, sources and templates."""
    first: dict[str, set[str]] = {}
    for unit in dict.fromkeys(name for by_unit in units.values() for name in by_unit if name != TEMPLATE):
        levels = sorted({level for by_unit in units.values() for row in by_unit.get(unit, ()) for level in row})
        first[unit] = set(rng.permutation(levels)[: len(levels) // 2].tolist())
    parts: dict[str, Sides] = {SELECT: {}, TEST: {}, HELD_OUT: {}}
    taken: set[str] = set()
    for case, by_unit in units.items():
        if case in held_out:
            continue
        templates = sorted({level for row in by_unit.get(TEMPLATE, ()) for level in row})
        mine = set(rng.permutation(templates)[: -(-len(templates) // 2)].tolist())
        inside, outside = _sides(by_unit, first)
        if len(templates) > 1:
            known = np.array([set(row) <= mine for row in by_unit[TEMPLATE]])
            inside, outside = inside & known, outside & ~known
        parts[SELECT][case], parts[TEST][case] = np.flatnonzero(inside), np.flatnonzero(outside)
        taken |= {by_unit[SOURCE][row][0] for row in parts[SELECT][case]}
    parts[HELD_OUT] = {case: np.flatnonzero(_sides(units[case], first)[1]) for case in units if case in held_out}
    for part in (TEST, HELD_OUT):
        for case, rows in parts[part].items():
            parts[part][case] = np.array([row for row in rows if units[case][SOURCE][row][0] not in taken], dtype=int)
    return {part: by_case for part, by_case in parts.items() if by_case}


def _sides(by_unit: Mapping[str, Levels], first: Mapping[str, set[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of a case have words of the first halves alone, and which have none of them."""
    words = {unit: rows for unit, rows in by_unit.items() if unit not in (SOURCE, TEMPLATE)}
    if not any(row for rows in words.values() for row in rows):
        words = {SOURCE: by_unit[SOURCE]}
    flat = [
        [level in first[unit] for unit, levels in words.items() for level in levels[row]]
        for row in range(len(by_unit[SOURCE]))
    ]
    return np.array([bool(row) and all(row) for row in flat]), np.array([bool(row) and not any(row) for row in flat])
