"""Do intervals cover new words and templates? Simulated pairs and examples that share them, by three variances.

    python experiments/unit_coverage.py                 # 1,000 designs of each statistic
    python experiments/unit_coverage.py --designs 100

A design has 8 to 24 templates, 8 to 60 verbs, 8 to 60 nouns, 60 to 300 rows, and a spread of the effects of each. Rows
have one template, one verb and three nouns. For every data set templates and words get new effects, so that the truth
is that over all templates and words. The statistics are those of the verdict: T (a ratio of sums), S (one minus a ratio
of ratios), and the separation (an AUC of two cases with templates of their own and the same words).

"by source" counts every row as independent. "sharing" sums products over all rows that share any unit, never below the
largest one-way value. "units" is `statistics.units.Units`, which the verdict uses. Widths are in units of the interval
that would be right if the spread over the design's data sets were known.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from hc_interp.statistics.units import Units, auc_influences, ratio_influences

SETS = 24  # data sets of each design
NOUNS_PER_ROW = 3
SPREADS = (0.0, 0.2, 0.4, 0.6)  # of the effects of a unit; that of a row alone is 1
T, R_G, R_O = 0.6, 0.7, 0.3


@dataclass(frozen=True)
class Design:
    """Sizes, and the spreads of the effects of templates, verbs and nouns."""

    levels: tuple[int, int, int]
    n: int
    spreads: tuple[float, float, float]

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Design":
        levels = (int(rng.integers(8, 25)), int(rng.integers(8, 61)), int(rng.integers(8, 61)))
        template, verb, noun = rng.choice(SPREADS, 3)
        return cls(levels, int(rng.integers(60, 301)), (template, verb, noun / NOUNS_PER_ROW**0.5))


@dataclass(frozen=True)
class Rows:
    """The levels of each row by unit, [row, k], and their effects: a function that draws new ones."""

    codes: tuple[np.ndarray, np.ndarray, np.ndarray]
    design: Design

    @classmethod
    def drawn(cls, design: Design, n: int, templates: tuple[int, int], rng: np.random.Generator) -> "Rows":
        """`n` rows with templates of this range."""
        _, n_verbs, n_nouns = design.levels
        nouns = np.stack([rng.choice(n_nouns, NOUNS_PER_ROW, replace=False) for _ in range(n)])
        return cls((rng.integers(*templates, size=(n, 1)), rng.integers(n_verbs, size=(n, 1)), nouns), design)

    def effects(self, rng: np.random.Generator) -> np.ndarray:
        """New effects of all levels, summed by row, and what is the row's own."""
        return sum(self.of_levels(self.draw(rng)), rng.normal(size=len(self.codes[0])))

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        """New effects of all levels by unit."""
        both = zip(self.design.spreads, self.design.levels, strict=True)
        return [rng.normal(0, spread, n) for spread, n in both]

    def of_levels(self, effects: list[np.ndarray]) -> list[np.ndarray]:
        return [effect[codes].sum(axis=1) for effect, codes in zip(effects, self.codes, strict=True)]


Drawn = tuple[float, float, np.ndarray, list[Rows]]  # truth, value, influences, and the blocks of rows


def draw_T(design: Design, rng: np.random.Generator) -> Drawn:
    rows = Rows.drawn(design, design.n, (0, design.levels[0]), rng)
    node = 2 + 0.4 * rows.effects(rng)
    path = T * node + 0.3 * rows.effects(rng)
    value, influence = ratio_influences(path, node)
    return T, float(value), influence, [rows]


def draw_S(design: Design, rng: np.random.Generator) -> Drawn:
    rows = Rows.drawn(design, design.n, (0, design.levels[0]), rng)
    found = []
    for response in (R_G, R_O):
        extent = 2 + 0.4 * rows.effects(rng)
        found.append(ratio_influences(response * extent + 0.2 * rows.effects(rng), extent))
    (of_g, u_g), (of_o, u_o) = found
    return 1 - R_O / R_G, float(1 - of_o / of_g), u_g * of_o / of_g**2 - u_o / of_g, [rows]


def draw_separation(design: Design, rng: np.random.Generator) -> Drawn:
    """Words have an effect common to both cases and one for each."""
    half = design.levels[0] // 2
    blocks, scores = [], []
    common: list[np.ndarray] | None = None
    for templates in ((0, half), (half, design.levels[0])):
        rows = Rows.drawn(design, design.n // 2, templates, rng)
        effects = rows.draw(rng)
        common = rows.draw(rng) if common is None else common
        mixed = [effects[0], *((a + b) / 2**0.5 for a, b in zip(effects[1:], common[1:], strict=True))]
        scores.append(sum(rows.of_levels(mixed), rng.normal(size=design.n // 2)))
        blocks.append(rows)
    value, *influences = auc_influences(*scores)
    return 0.5, value, np.concatenate(influences), blocks


STATISTICS: dict[str, Callable[[Design, np.random.Generator], Drawn]] = {
    "T": draw_T, "S": draw_S, "separation": draw_separation,
}  # fmt: skip


def halves(influence: np.ndarray, blocks: list[Rows]) -> dict[str, float]:
    """The half width of the 95 % interval by each variance."""
    codes = [np.concatenate([block.codes[k] for block in blocks]) for k in range(3)]
    n = len(influence)
    named = {
        name: [tuple(map(str, row)) for row in part.tolist()]
        for name, part in zip(("template", "verb", "noun"), codes, strict=True)
    }
    units = Units.of({"source": [(str(i),) for i in range(n)], **named}, [len(block.codes[0]) for block in blocks])
    share, one_way = np.eye(n, dtype=bool), influence @ influence
    for part in codes:
        member = np.zeros((n, part.max() + 1))
        member[np.arange(n)[:, None], part] = 1
        levels = int(member.any(axis=0).sum())
        share |= member @ member.T > 0
        one_way = max(one_way, levels / (levels - 1) * ((member.T @ influence) ** 2).sum())
    found = units.interval(0.0, influence)
    return {
        "by source": 1.96 * (influence @ influence) ** 0.5,
        "sharing": student.ppf(0.975, units.degrees) * max(influence @ share @ influence, one_way) ** 0.5,
        "units": float(found.high),
    }


def measure(statistic: str, design: Design, rng: np.random.Generator) -> list[dict[str, float]]:
    """Coverage and relative width of each variance over the data sets of one design."""
    drawn = [STATISTICS[statistic](design, rng) for _ in range(SETS)]
    misses = np.array([value - truth for truth, value, _, _ in drawn])
    right = 1.96 * (misses @ misses / SETS) ** 0.5
    found = pd.DataFrame([halves(influence, blocks) for _, _, influence, blocks in drawn])
    return [
        {"variance": name, "covered": float((np.abs(misses) <= half).mean()), "width": float(half.mean() / right)}
        for name, half in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=1_000, help="of each statistic")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started = time.monotonic()
    rows = []
    for statistic in STATISTICS:
        rng = np.random.default_rng(given.seed)
        for _ in range(given.designs):
            design = Design.drawn(rng)
            few = "8 to 15 levels" if min(design.levels) < 16 else "16 or more"
            rows += [{"statistic": statistic, "fewest": few, **row} for row in measure(statistic, design, rng)]
    frame = pd.DataFrame(rows)
    print("| statistic | fewest levels of a unit | designs | by source | sharing | units |\n" + "| --- " * 6 + "|")
    for statistic, of_statistic in frame.groupby("statistic", sort=False):
        parts = {"any": of_statistic, **dict(iter(of_statistic.groupby("fewest", sort=False)))}
        for few, part in parts.items():
            means = part.groupby("variance")[["covered", "width"]].mean()
            cells = [f"{means.covered[v]:.3f}, {means.width[v]:.2f}" for v in ("by source", "sharing", "units")]
            print(f"| {statistic} | {few} | {len(part) // 3} | {' | '.join(cells)} |")
    print(f"\ncovered, and width; {given.designs} designs of {SETS} data sets; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
