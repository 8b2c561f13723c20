"""`part_units`: what rows of data have in common, over all parts."""

from collections.abc import Sequence

from hc_interp.data.examples import Examples
from hc_interp.data.grammar.shared_words import units_of
from hc_interp.data.parts import DataPart
from hc_interp.data.units import Levels, stacked, with_source


def part_units(parts: Sequence[DataPart]) -> dict[str, Levels]:
    """The levels of each row by unit, "source" among them, over all parts.

    Where `Examples` name no units, they are those that the grammar can read. Each row of a `Batch` is a source.
    """
    return stacked(*(_levels(part, number) for number, part in enumerate(parts)))


def _levels(part: DataPart, number: int) -> dict[str, Levels]:
    if isinstance(part, Examples):
        return with_source(part.source, part.units if part.units is not None else units_of(part))
    return with_source([f"{number}:{row}" for row in range(len(part))], None)
