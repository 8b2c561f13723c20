"""Intervals over rows that share words: against slow loops, closed forms, and coverage in simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from hc_interp.errors import DataError
from hc_interp.statistics.units import Units, auc_influences


def sources(n: int) -> list[tuple[str]]:
    return [(f"s{i}",) for i in range(n)]


def slow_variance(
    u: np.ndarray, units: dict[str, list[tuple[str, ...]]], blocks: list[int] | None = None, least: int = 5
) -> float:
    """The docstring's formula, by loops over levels."""
    block_of = [b for b, size in enumerate(blocks or [len(u)]) for _ in range(size)]
    total = 0.0
    for name, rows in units.items():
        levels = sorted({level for row in rows for level in row})
        if name != "source" and len(levels) < least:
            continue

        def divided(i: int, level: str, rows: list[tuple[str, ...]] = rows) -> float:
            block = [j for j in range(len(u)) if block_of[j] == block_of[i]]
            share = sum(level in rows[j] for j in block) / len(block)
            return u[i] / (1 - share) if share < 1 else 0.0

        def square(level: str, inside: list[int], rows: list[tuple[str, ...]] = rows) -> float:
            return sum(divided(i, level, rows) for i in inside if level in rows[i]) ** 2

        squares = sum(square(level, list(range(len(u)))) for level in levels)
        if name != "source":
            for level, source in itertools.product(levels, sorted({row[0] for row in units["source"]})):
                squares -= square(level, [i for i in range(len(u)) if units["source"][i] == (source,)])
            squares = max(0.0, squares)
        total += (len(levels) - 1) / len(levels) * squares
    return total


@given(st.integers(0, 10_000), st.integers(2, 30), st.booleans())
@settings(max_examples=30, deadline=None)
def test_variance_is_that_of_loops(seed: int, n: int, in_blocks: bool) -> None:
    rng = np.random.default_rng(seed)
    units = {
        "source": [(f"s{rng.integers(n)}",) for _ in range(n)],
        "noun": [tuple(f"n{k}" for k in rng.choice(8, 3, replace=False)) for _ in range(n)],
        "verb": [(f"v{rng.integers(6)}",) for _ in range(n)],
    }
    units["source"][0] = ("s0",)
    units["source"][1] = ("s1",)
    u = rng.normal(size=n)
    blocks = [n // 2, n - n // 2] if in_blocks else None
    assert Units.of(units, blocks).variance(u) == pytest.approx(slow_variance(u, units, blocks), rel=1e-9)
    both = Units.of(units, blocks).variance(np.stack([u, 2 * u], 1))
    assert both == pytest.approx([slow_variance(u, units, blocks), 4 * slow_variance(u, units, blocks)], rel=1e-9)


def test_a_level_that_many_rows_have_counts_as_if_left_out() -> None:
    """For rows of one level each, the part of a unit is the jackknife over its levels of equal size."""
    rng = np.random.default_rng(5)
    rows = rng.normal(0, 3, 6)[np.arange(60) % 6] + rng.normal(size=60)
    verbs = np.arange(60) % 6
    left = np.array([rows[verbs != verb].mean() for verb in range(6)])
    jackknife = 5 / 6 * ((left - rows.mean()) ** 2).sum()
    u = (rows - rows.mean()) / 60
    alone = Units.of({"source": sources(60)}).variance(u)
    found = Units.of({"source": sources(60), "verb": [(f"v{verb}",) for verb in verbs]}).variance(u)
    assert found - alone == pytest.approx(jackknife - 5 / 6 * (u**2).sum() * (6 / 5) ** 2)


def test_without_shared_words_the_mean_has_its_usual_interval() -> None:
    values = np.random.default_rng(0).normal(size=40)
    found = Units.of({"source": sources(40)}).mean(values)
    half = student.ppf(0.975, 39) * values.std(ddof=1) / 40**0.5
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_a_unit_of_few_levels_does_not_count_and_is_named() -> None:
    units = Units.of({"source": sources(20), "template": [("one",)] * 20, "verb": [(f"v{i % 5}",) for i in range(20)]})
    assert units.left_out == {"template": 1}
    assert units.levels == {"source": 20, "verb": 5}
    assert units.degrees == 4


def test_ratio_is_undefined_where_its_denominator_may_be_0() -> None:
    units = Units.of({"source": sources(30)})
    noise = np.random.default_rng(1).normal(size=30)
    assert math.isnan(float(units.ratio(np.ones(30), noise).value))
    sure = units.ratio(np.stack([np.ones(30), noise], 1), np.full(30, 2.0))
    assert sure.value == pytest.approx([0.5, noise.mean() / 2])


def test_a_function_of_sums_has_the_interval_of_the_ratio() -> None:
    rng = np.random.default_rng(2)
    units = Units.of({"source": sources(50), "verb": [(f"v{i % 7}",) for i in range(50)]})
    top, bottom = rng.normal(1, 1, 50), rng.normal(5, 1, 50)
    ratio = units.ratio(top, bottom)
    found = units.of_sums(lambda sums: sums[0] / sums[1], np.stack([top, bottom], 1))
    assert (found.value, found.low, found.high) == pytest.approx((ratio.value, ratio.low, ratio.high), rel=1e-6)
    wider = units.of_sums(lambda sums: sums[0] / sums[1], np.stack([top, bottom], 1), more=1.0)
    assert wider.high - wider.value > student.ppf(0.975, 6)


def test_auc_influences_are_those_of_leaving_one_out() -> None:
    rng = np.random.default_rng(3)
    higher, lower = rng.integers(0, 9, 30).astype(float), rng.integers(-3, 6, 25).astype(float)

    def auc(a: np.ndarray, b: np.ndarray) -> float:
        return float((a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean())

    value, up, down = auc_influences(higher, lower)
    assert value == pytest.approx(auc(higher, lower))
    for i in range(30):  # leaving out row i changes the AUC by minus its influence, times n / (n - 1)
        assert (value - auc(np.delete(higher, i), lower)) * 29 / 30 == pytest.approx(up[i])
    for i in range(25):
        assert (value - auc(higher, np.delete(lower, i))) * 24 / 25 == pytest.approx(down[i])


@pytest.mark.parametrize("spread", [(0.0, 0.0), (0.6, 0.4)], ids=["pairs alone", "verbs and nouns"])
def test_intervals_cover_the_mean_over_new_words(spread: tuple[float, float]) -> None:
    """95 pairs of 16 verbs and 32 nouns, three nouns a pair. By source alone, .95 and .63 would be covered."""
    rng = np.random.default_rng(4)
    n, hits = 95, 0
    for _ in range(300):
        verbs = rng.integers(16, size=n)
        nouns = [rng.choice(32, 3, replace=False) for _ in range(n)]
        effect = rng.normal(0, spread[0], 16)[verbs] + rng.normal(0, spread[1], 32)[nouns].sum(1)
        units = Units.of(
            {
                "source": sources(n),
                "verb": [(str(v),) for v in verbs],
                "noun": [tuple(map(str, row)) for row in nouns],
            }
        )
        found = units.mean(effect + rng.normal(size=n))
        hits += bool(found.low <= 0 <= found.high)
    assert 0.90 <= hits / 300 <= 0.995


def test_units_without_sources_and_of_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="'source' among them"):
        Units.of({"verb": sources(3)})
    with pytest.raises(DataError, match="levels of each row"):
        Units.of({"source": sources(3), "verb": sources(4)})
    with pytest.raises(DataError, match="Expected sizes that add up to it"):
        Units.of({"source": sources(3)}, [1, 1])
    with pytest.raises(DataError, match="4 influences were given for 3 rows"):
        Units.of({"source": sources(3)}).variance(np.zeros(4))
