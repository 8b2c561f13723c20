"""The rows on which ends are searched, and those on which they are reported: other words, templates and cases."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from hc_interp.data.units import Levels
from hc_interp.errors import DataError
from hc_interp.evaluation.score_data import Block
from hc_interp.statistics.units import SOURCE

SELECT, TEST, HELD_OUT = "select", "test", "held_out"
TEMPLATE = "template"  # the unit of templates: a premise pattern and a hypothesis pattern
ARROW = " -> "  # between the two patterns
DRAWS = 50  # divisions of the words that are tried
LEAST_ROWS = 5  # of a case, in each part that it is in

Blocks = dict[str, Block]
Sides = dict[str, np.ndarray]


def split_rows(blocks: Mapping[str, Block], held_out: Collection[str], most: int, seed: int) -> dict[str, Blocks]:
    """The rows of each part by case: "select", "test" and "held_out".

    The levels of every unit but source and template (verbs, nouns) are divided in two halves. A row whose words are all
    in the first half can be selected on, and one whose words are all in the second half is for reporting; rows with
    words of both are in no part. A case with several premise patterns has some of them in select and the others in
    test; one premise pattern is on the same side in all of these cases, so that rows of both gold labels keep partners
    of their own pattern. A case with one premise pattern and several templates has some templates on each side. Cases
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
    searched = {case: by_unit for case, by_unit in units.items() if case not in held_out}
    selected = _patterns_of_select(searched, rng)
    for case, by_unit in searched.items():
        inside, outside = _sides(by_unit, first)
        known = _in_select(by_unit, selected, rng)
        inside, outside = inside & known[0], outside & known[1]
        parts[SELECT][case], parts[TEST][case] = np.flatnonzero(inside), np.flatnonzero(outside)
        taken |= {by_unit[SOURCE][row][0] for row in parts[SELECT][case]}
    parts[HELD_OUT] = {case: np.flatnonzero(_sides(units[case], first)[1]) for case in units if case in held_out}
    for part in (TEST, HELD_OUT):
        for case, rows in parts[part].items():
            parts[part][case] = np.array([row for row in rows if units[case][SOURCE][row][0] not in taken], dtype=int)
    return {part: by_case for part, by_case in parts.items() if by_case}


def _patterns_of_select(units: Mapping[str, Mapping[str, Levels]], rng: np.random.Generator) -> set[str]:
    """Of the premise patterns of all cases those of select: of each case with several about half.

    Cases are taken in random order; a pattern that an earlier case has placed keeps its place.
    """
    patterns = {case: _named_patterns(by_unit) for case, by_unit in units.items()}
    select: set[str] = set()
    test: set[str] = set()
    for case in rng.permutation(sorted(patterns)).tolist():
        free = rng.permutation(sorted(patterns[case] - select - test)).tolist()
        n_free = -(-len(patterns[case]) // 2) - len(patterns[case] & select)
        n_free = min(max(n_free, 0), len(free))
        if len(patterns[case]) > 1:
            select |= set(free[:n_free])
            test |= set(free[n_free:])
    return select


def _in_select(
    by_unit: Mapping[str, Levels], selected: set[str], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of a case may be in select by their template, and which in test."""
    levels, n_rows = by_unit.get(TEMPLATE, ()), len(by_unit[SOURCE])
    patterns, templates = _named_patterns(by_unit), sorted({level for row in levels for level in row})
    if len(templates) < 2:
        return np.ones(n_rows, dtype=bool), np.ones(n_rows, dtype=bool)
    mine = {level for level in templates if pattern_of(level) in selected}
    if len(patterns) < 2 or not 0 < len(mine) < len(templates):  # other cases have placed all patterns on one side
        mine = set(rng.permutation(templates)[: -(-len(templates) // 2)].tolist())
    known = np.array([set(row) <= mine for row in levels])
    return known, ~known


def _named_patterns(by_unit: Mapping[str, Levels]) -> set[str]:
    return {pattern_of(level) for row in by_unit.get(TEMPLATE, ()) for level in row}


def pattern_of(template: str) -> str:
    """The premise pattern of a template."""
    return template.split(ARROW)[0]


def premise_patterns(units: Mapping[str, Levels], n_rows: int) -> list[str]:
    """The premise pattern of each row; "" where the row has no template."""
    return [pattern_of(row[0]) if row else "" for row in units.get(TEMPLATE, ((),) * n_rows)]


def twins(right: Sequence[Mapping[str, Levels]], wrong: Sequence[Mapping[str, Levels]]) -> list[tuple[int, int]]:
    """Pairs of cases of both kinds by their units, so that as many rows as possible share premise patterns in a pair.

    Each case is in one pair at most. Twins are held out together: the partners of one would else have none left.
    """
    counts = [[Counter(premise_patterns(by_unit, len(by_unit[SOURCE]))) for by_unit in kind] for kind in (right, wrong)]
    common = [[sum((a & b).values()) - min(a[""], b[""]) for b in counts[1]] for a in counts[0]]
    first, second = linear_sum_assignment(np.array(common), maximize=True)
    return list(zip(first.tolist(), second.tolist(), strict=True))


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
