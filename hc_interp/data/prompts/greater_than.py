"""Greater-than: "The siege lasted from the year 1732 to the year 17" goes on with a year above 32.

The question and the corruption are those of Hanna et al. 2023 (arXiv 2305.00586); template and words are our own.
"""

from collections.abc import Sequence

import numpy as np

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.prompts.reader import PromptReader
from hc_interp.data.spans import filled
from hc_interp.data.tables import PROMPT_TASKS
from hc_interp.data.task import Task
from hc_interp.errors import DataError

TEMPLATE = "The {noun} lasted from the year {century}{year} to the year {century}"
NOUNS = (
    "siege", "war", "drought", "strike", "truce", "voyage", "lease", "tour", "trial", "famine", "plague", "revolt",
    "campaign", "reform", "project", "alliance", "dispute", "expedition", "experiment", "partnership",
)  # fmt: skip
CENTURIES = tuple(range(11, 20))
LOWEST = "01"  # the year of the corrupt side
((CASE, (KIND,)),) = PROMPT_TASKS["greater_than"].items()
ROLES = ("noun", "century", "year")  # the first mention of each
FEWEST = 10  # years of a century that the tokenizer must know
N_TRAIN, N_VALIDATION, N_CASE = 500, 150, 150


def greater_than(tokenizer: object, seed: int, max_per_case: int | None) -> Task:
    """The task; `tokenizer` is a model or a tokenizer.

    The answer is any year of the century above the first one, and the foil is any that is not above it. The pairs of
    kind "year_below" have the year 01 on the corrupt side. A year is used if its century and its last two digits are
    one token each. Components can stand at `noun`, `century` and `year` (its last two digits). Raises `DataError` if
    that is so for fewer than ten years of every century.
    """
    reader = PromptReader.of(tokenizer, "greater_than")
    years = {century: _years(reader, century) for century in CENTURIES}
    years = {century: known for century, known in years.items() if len(known) >= FEWEST and LOWEST in known}
    if not years:
        raise DataError(
            "The tokenizer splits no century's years into its first two and its last two digits (as ' 17' '32'), which "
            "the task 'greater_than' needs: one token is the answer. Use a tokenizer that does, such as GPT-2's."
        )
    n = N_CASE if max_per_case is None else max_per_case
    seeds = np.random.SeedSequence(seed).generate_state(3).tolist()
    train, validation, clean = (
        _examples(reader, years, _draw(years, size, seeds[i]), corrupt=False)
        for i, size in enumerate((N_TRAIN, N_VALIDATION, n))
    )
    corrupt = _examples(reader, years, _draw(years, n, seeds[2]), corrupt=True)
    pairs = ContrastPairs(clean, corrupt, kind=KIND)
    for part in (validation, pairs):  # the words of `train` are those of its centuries too
        reader.checked(part)
    return Task("greater_than", train=train, validation=validation, cases={CASE: clean}, pairs={(CASE, KIND): pairs})


def _years(reader: PromptReader, century: int) -> list[str]:
    """The years of a century that are one token after it, where it is one token itself and stays one before a year."""
    end = "The siege lasted to the year"
    if not reader.one_token(end, [f" {century}"]):
        return []
    return reader.one_token(f"{end} {century}", [f"{year:02d}" for year in range(100)])


def _draw(years: dict[int, list[str]], n: int, seed: int) -> list[tuple[str, int, str]]:
    """Noun, century and year of each prompt; some year is above it, and 01 is below."""
    rng = np.random.default_rng(seed)
    centuries = list(years)
    drawn = []
    for _ in range(n):
        century = centuries[int(rng.integers(len(centuries)))]
        choices = [year for year in years[century] if LOWEST < year < max(years[century])]
        drawn.append((NOUNS[int(rng.integers(len(NOUNS)))], century, choices[int(rng.integers(len(choices)))]))
    return drawn


def _examples(
    reader: PromptReader, years: dict[int, list[str]], drawn: Sequence[tuple[str, int, str]], *, corrupt: bool
) -> Examples:
    rows = [(noun, century, LOWEST if corrupt else year) for noun, century, year in drawn]
    texts = [filled(TEMPLATE, noun=noun, century=str(century), year=year) for noun, century, year in rows]
    return Examples(
        [text + reader.end for text, _ in texts],
        id=[f"greater-than-{row}" for row in range(len(rows))],
        source=[f"{noun} {century}{year}" for noun, century, year in drawn],
        units={"noun": [noun for noun, *_ in drawn], "century": [str(century) for _, century, _ in drawn]},
        answer=[tuple(other for other in years[century] if other > year) for _, century, year in rows],
        foil=[tuple(other for other in years[century] if other <= year) for _, century, year in rows],
        spans={role: [places[role][0] for _, places in texts] for role in ROLES},
    )
