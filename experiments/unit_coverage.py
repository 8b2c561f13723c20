"""Do intervals cover a mean over new words? Simulated pairs that share verbs and nouns, by three variances.

    python experiments/unit_coverage.py

Pairs have one verb and three nouns; words have effects, drawn anew for each data set, and the mean over words is 0. "by
source" counts every pair as independent. "sharing" sums products over all rows that share any word. "units" is
`statistics.units.Units`, which `reads_from` uses.
"""

import numpy as np
from scipy.stats import t as student

from hc_interp.statistics.units import Units

SETS = 1500
DESIGNS = {"16 verbs, 32 nouns, 95 pairs": (16, 32, 95), "8 verbs, 16 nouns, 95 pairs": (8, 16, 95)}
EFFECTS = {"none": (0.0, 0.0), "nouns": (0.0, 0.5), "verbs": (0.6, 0.0), "both": (0.6, 0.4)}  # of verbs, of nouns


def covered(n_verbs: int, n_nouns: int, n: int, verb: float, noun: float) -> dict[str, float]:
    """The share of data sets whose 95 % interval holds 0, by variance."""
    rng = np.random.default_rng(0)
    hits = dict.fromkeys(("by source", "sharing", "units"), 0)
    quantile = student.ppf(0.975, min(n_verbs, n_nouns) - 1)
    for _ in range(SETS):
        verbs = rng.integers(n_verbs, size=n)
        nouns = np.stack([rng.choice(n_nouns, 3, replace=False) for _ in range(n)])
        y = rng.normal(0, verb, n_verbs)[verbs] + rng.normal(0, noun, n_nouns)[nouns].sum(1) + rng.normal(size=n)
        u = (y - y.mean()) / n
        shares = (verbs[:, None] == verbs) | (nouns[:, None, :, None] == nouns[None, :, None, :]).any((2, 3))
        units = Units.of(
            {
                "source": [(str(i),) for i in range(n)],
                "verb": [(str(v),) for v in verbs],
                "noun": [tuple(map(str, row)) for row in nouns],
            }
        )
        found = units.mean(y)
        hits["by source"] += bool(abs(y.mean()) <= 1.96 * (u @ u) ** 0.5)
        hits["sharing"] += bool(abs(y.mean()) <= quantile * max(u @ shares @ u, u @ u) ** 0.5)
        hits["units"] += bool(found.low <= 0 <= found.high)
    return {name: count / SETS for name, count in hits.items()}


def main() -> None:
    print("| words | effects of | by source | sharing | units |\n| --- | --- | --- | --- | --- |")
    for design, sizes in DESIGNS.items():
        for name, effects in EFFECTS.items():
            found = covered(*sizes, *effects)
            print(f"| {design} | {name} | {' | '.join(f'{share:.3f}' for share in found.values())} |", flush=True)


if __name__ == "__main__":
    main()
